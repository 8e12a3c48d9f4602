"""Runs that are cut off and go on: the same pixels in every frame, whoever is chosen."""

import functools
import hashlib
import itertools
import json

import cv2
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.locations import Location
from apgan_jax.face.tracking import FaceTracker, TrackedFace
from apgan_jax.files import array_tree
from apgan_jax.identity_file import SHIPPED_IDENTITY
from apgan_jax.inference import jobs, swap
from apgan_jax.inference.casting import Anonymous, read_map
from apgan_jax.inference.face_counts import FaceCounts, PersonCounts
from apgan_jax.inference.frame_swapper import FrameSwapper
from apgan_jax.inference.identity_means import IdentityMeans
from apgan_jax.inference.session import Session, SessionState
from apgan_jax.inference.sources import load_source
from apgan_jax.inference.swapper import Swapper
from apgan_jax.video import segments, writer
from apgan_jax.video.reader import Frame
from support.embeddings import VECTORS, crop_of, embed_by_colour
from support.faces import head, write_photos
from support.scenes import add_face, empty, write_clip
from support.video_clips import read_rgb

FRAMES = 36
SEGMENT_SECONDS = 0.3
JOINS = 11
SELECTORS = ['largest', 'all', 'left', 'right', '1', '2', 'like:head.png']


@pytest.fixture(scope='module')
def folder(tmp_path_factory, stranger):
    """Person 1 is on the right from the start, person 2 comes in on the left."""
    folder = tmp_path_factory.mktemp('session')
    pictures = []
    for number in range(FRAMES):
        picture = add_face(empty(), (880 - number, 340), 190 + number % 7)
        if number >= JOINS:
            picture = add_face(picture, (330 + 2 * number, 330), 175 + number, stranger)
        pictures.append(cv2.resize(picture, (640, 360), interpolation=cv2.INTER_AREA))
    write_clip(folder / 'clip.mp4', pictures)
    write_photos(folder, {'head.png': head(), 'stranger.png': stranger})
    (folder / 'who.toml').write_text(
        f'[[person]]\nlike = "stranger.png"\nsource = "{SHIPPED_IDENTITY}"\n'
        '[[person]]\nlike = "head.png"\nsource = "stranger.png"\n'
    )
    return folder


@pytest.fixture(scope='module')
def swapper(tiny_bundle):
    """Random weights, which flicker: what is not steadied as before shows."""
    return Swapper(tiny_bundle)


def make_job(kind, swapper, folder):
    if kind == 'anonymise':
        return jobs.anonymise_job(swapper)
    if kind == 'map':
        entries = read_map(folder / 'who.toml')
        people = {each.like: load_source(each.source, swapper).identity for each in entries}
        return jobs.map_job(swapper, people)
    face = kind.replace('like:', f'like:{folder}/')
    return jobs.swap_job(swapper, [SHIPPED_IDENTITY], face=face)[0]


@pytest.fixture
def painted(monkeypatch):
    """Hashes of the frames that encoders were given, by their time: of the last run's, if twice."""
    seen = {}
    encode = segments.SegmentEncoder.encode

    def spy(self, frame):
        seen[frame.pts] = hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()
        encode(self, frame)

    monkeypatch.setattr(segments.SegmentEncoder, 'encode', spy)
    monkeypatch.setattr(
        swap, 'VideoWriter', functools.partial(writer.VideoWriter, segment_seconds=SEGMENT_SECONDS)
    )
    return seen


class KilledError(Exception):
    """As sudden as an exception can be."""


def run(job, clip, output, *, kill_after=None, resume=False):
    frames = itertools.count(1)

    def on_frame():
        if next(frames) == kill_after:
            raise KilledError

    return swap.swap_file(clip, output, job=job, how=swap.Output(resume=resume), on_frame=on_frame)


@pytest.mark.parametrize('kind', [*SELECTORS, 'map', 'anonymise'])
def test_a_run_that_goes_on_paints_what_an_uninterrupted_one_does(
    kind, swapper, folder, painted, tmp_path
):
    job, clip = make_job(kind, swapper, folder), folder / 'clip.mp4'
    straight = run(job, clip, tmp_path / 'straight.mp4')
    expected = dict(painted)
    assert len(expected) == FRAMES
    rng = np.random.default_rng(SELECTORS.index(kind) if kind in SELECTORS else 99)
    for kill_after in sorted(rng.choice(np.arange(13, FRAMES), 3, replace=False)):
        painted.clear()
        output = tmp_path / f'{kill_after}.mp4'
        with pytest.raises(KilledError):
            run(job, clip, output, kill_after=kill_after)
        assert not output.exists()
        report = run(job, clip, output, resume=True)
        assert painted == expected
        assert report.counts == straight.counts


def test_the_second_person_stays_the_second_one(swapper, folder, painted, tmp_path):
    """Whom they call 2 is on the left, before a seam and after it."""
    clip, output = folder / 'clip.mp4', tmp_path / 'out.mp4'
    job = make_job('2', swapper, folder)
    with pytest.raises(KilledError):
        run(job, clip, output, kill_after=27)
    report = run(job, clip, output, resume=True)
    assert report.counts.left == FRAMES
    both = zip(read_rgb(clip), read_rgb(output), strict=True)
    for number, (before, after) in enumerate(both):
        difference = np.abs(before.astype(int) - after).mean(axis=(0, 2))
        # The right half holds person 1, who is there all the time and never changed.
        assert difference[320:].mean() < 3
        assert number <= JOINS or difference[100:300].mean() > 3, number


def test_another_format_of_segments_is_refused(swapper, folder, painted, tmp_path):
    clip, output = folder / 'clip.mp4', tmp_path / 'out.mp4'
    job = make_job('largest', swapper, folder)
    with pytest.raises(KilledError):
        run(job, clip, output, kill_after=20)
    path = tmp_path / '.out.mp4.parts' / 'job.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'format_version': 1}))
    with pytest.raises(UserError, match='format_version was 1'):
        run(job, clip, output, resume=True)


class Crowd(FaceTracker):
    """A tracker that sees somebody new in every frame, and people of before."""

    def __init__(self):
        super().__init__()
        self.numbers = []

    def track(self, frames):
        for frame in frames:
            person = self._people.add()
            self._people[person].seen(Location(complex(frame.number), 20.0), frame.time)
            shown = {person, person // 2, person // 3}
            points = np.array([[10.0, 10.0], [30.0, 30.0]], np.float32)
            yield frame, [TrackedFace(each, points + each) for each in sorted(shown)]


class Unswappable(FrameSwapper):
    """Casts and counts; the faces have two points, which nobody can align."""

    def _prepare(self, frame, faces):
        for face in faces:
            self._means.observe(face.person, crop_of(face.person % 8))
        roles = self._casting(faces)
        work = super()._prepare(frame, [])
        work.done.counts.others.left = len(roles)
        return work


def black():
    return np.zeros((4, 4, 3), np.uint8)


def crowd_session(swapper):
    means = IdentityMeans(embed_by_colour, every=2)
    casting = Anonymous(VECTORS, list(range(len(VECTORS))), means)
    return Session(Crowd(), Unswappable(swapper, casting, means))


def test_states_belong_to_their_frames_while_other_threads_add_people(swapper):
    """Taken after every frame, in a run of stages that are frames ahead of each other."""
    count = 600
    frames = [Frame(black, n / 25, n, None, True) for n in range(count)]
    seen = 0
    for done, state in crowd_session(swapper).run(iter(frames)):
        number = done.frame.number
        assert len(state.tracking['people']) == number + 1
        given = state.swapping['casting']
        assert sorted(map(int, given)) == list(range(number + 1))
        assert state.counts.frames == number + 1
        seen += 1
    assert seen == count


def test_a_state_survives_a_file(swapper):
    frames = [Frame(black, n / 25, n, None, n == 9) for n in range(10)]
    *_, (_, state) = crowd_session(swapper).run(iter(frames))
    document, arrays = array_tree.split(state.tree())
    again = SessionState.of_tree(array_tree.join(json.loads(json.dumps(document)), arrays))
    left = sum(len({n, n // 2, n // 3}) for n in range(10))
    assert again.counts == state.counts == FaceCounts(10, 10, others=PersonCounts(left=left))
    session = crowd_session(swapper)
    session.restore(again)
    ((_, after),) = session.run([Frame(black, 10 / 25, 10, None, True)])
    assert after.counts.frames == 11
    assert len(after.tracking['people']) == 11
    assert after.swapping['casting'].items() >= state.swapping['casting'].items()
