import dataclasses

import numpy as np
import pytest

from apgan_jax.face import blending
from apgan_jax.face.aligned import align_face
from apgan_jax.face.colour import match_skin, without_colour
from apgan_jax.face.detail import agreement
from apgan_jax.face.hair import without_hair
from apgan_jax.face.tracking import TrackedFace
from apgan_jax.inference.anonymity import blurred_patch
from apgan_jax.inference.blend import Blend
from apgan_jax.inference.casting import EveryFace, OneSource, Role, parse_selector
from apgan_jax.inference.face_counts import FaceCounts, PersonCounts
from apgan_jax.inference.frame_swapper import FrameSwapper
from apgan_jax.inference.swapper import Swapper
from support.faces import brighter, portrait


@dataclasses.dataclass(frozen=True)
class Photo:
    rgb: np.ndarray


@pytest.fixture(scope='module')
def swapper(tiny_bundle):
    return Swapper(tiny_bundle)


@pytest.fixture(scope='module')
def identity(swapper):
    size = swapper.bundle.crop_spec.size
    return swapper.embed_source([np.full((size, size, 3), 120, np.uint8)])


@pytest.fixture
def face(portrait_face):
    return TrackedFace(3, portrait_face.landmarks)


def everybody(identity):
    return OneSource(identity, EveryFace())


@pytest.mark.parametrize('room', [1.0, 0.3])
def test_every_frame_comes_back_in_order_with_its_own_face(swapper, identity, face, room):
    frames = [Photo(brighter(portrait(), 1 - 0.05 * number)) for number in range(7)]
    faces = [[face], [], [face], [face, face], [face], [], [face]]
    stage = FrameSwapper(
        swapper, everybody(identity), batch_size=3, blend=Blend(**PLAIN, steady=False)
    )
    done = list(stage.run(zip(frames, faces, strict=True), room=room))
    assert [each.frame for each in done] == frames
    assert [len(each.patches) for each in done] == [len(each) for each in faces]
    for each in done:
        for patch in each.patches:
            aligned = align_face(each.frame.rgb, face.landmarks, swapper.bundle.crop_spec)
            alone = swapper.swap(aligned.crop[None], aligned.boundary_map[None], identity)
            assert np.abs(patch.picture.astype(int) - alone.pictures[0]).max() <= 1
            np.testing.assert_array_equal(patch.picture_from_frame, aligned.crop_from_frame)


# As the generator gave it, in the face's outline: what the tests of single choices start from.
PLAIN = {'strength': 1.0, 'keep_colour': True, 'whole_face': True, 'detail': False}


def patch_of(swapper, identity, face, *, photo=None, **blend):
    photo = Photo(portrait()) if photo is None else photo
    stage = FrameSwapper(swapper, everybody(identity), blend=Blend(**{**PLAIN, **blend}))
    (done,) = stage.run([(photo, [face])])
    (patch,) = done.patches
    return patch


def test_the_face_alone_or_the_whole_crop_is_blended(swapper, identity, face):
    alone = patch_of(swapper, identity, face)
    whole = patch_of(swapper, identity, face, whole_crop=True)
    np.testing.assert_array_equal(alone.picture, whole.picture)
    np.testing.assert_array_equal(whole.mask, blending.blending_mask(whole.mask.shape[0]))
    landmarks = align_face(portrait(), face.landmarks, swapper.bundle.crop_spec).landmarks
    expected = blending.face_mask(landmarks, whole.mask.shape[0])
    np.testing.assert_array_equal(alone.mask, expected)


def test_hair_is_kept_unless_the_whole_face_is_asked_for(swapper, identity, face):
    alone = patch_of(swapper, identity, face)
    kept = patch_of(swapper, identity, face, whole_face=False)
    aligned = align_face(portrait(), face.landmarks, swapper.bundle.crop_spec)
    shown = without_hair(aligned.crop, kept.picture, aligned.landmarks)
    np.testing.assert_array_equal(kept.picture, alone.picture)
    np.testing.assert_array_equal(kept.mask, alone.mask * shown)
    assert kept.mask.sum() < alone.mask.sum()


def test_skin_takes_over_the_targets_colour(swapper, identity, face):
    aligned = align_face(portrait(), face.landmarks, swapper.bundle.crop_spec)
    plain = patch_of(swapper, identity, face)
    matched = patch_of(swapper, identity, face, keep_colour=False)
    expected = match_skin(plain.picture, aligned.crop, aligned.landmarks)
    np.testing.assert_array_equal(matched.picture, expected)
    assert np.abs(matched.picture.astype(int) - plain.picture).mean() > 5


class Masked(Swapper):
    """A model whose mask is made by hand, uint8 (size, size)."""

    def __init__(self, swapper, mask):
        generator = swapper.bundle.generator.clone(mask=True)
        super().__init__(dataclasses.replace(swapper.bundle, generator=generator))
        self.plain, self.mask = swapper, mask

    def swap(self, targets, boundary_maps, identity):
        painted = self.plain.swap(targets, boundary_maps, identity)
        return painted._replace(masks=np.stack([self.mask] * len(targets)))


def left_closed(swapper):
    """Nothing in the left half, all in the right one, a third between."""
    size = swapper.bundle.crop_spec.size
    mask = np.zeros((size, size), np.uint8)
    mask[:, size // 2] = 85
    mask[:, size // 2 + 1 :] = 255
    return mask


def test_a_mask_of_the_generators_own_decides_what_shows(swapper, identity, face):
    mask = left_closed(swapper)
    masked = Masked(swapper, mask)
    patch = patch_of(masked, identity, face, whole_face=False)
    plain = patch_of(swapper, identity, face)
    np.testing.assert_array_equal(patch.picture, plain.picture)
    # The rule for hair is not asked.
    np.testing.assert_array_equal(patch.mask, plain.mask * (mask / np.float32(255)))
    whole = patch_of(masked, identity, face, whole_crop=True)
    expected = blending.blending_mask(len(mask)) * (mask / np.float32(255))
    np.testing.assert_array_equal(whole.mask, expected)


@pytest.mark.parametrize('blend', [{}, {'detail': True, 'keep_colour': False}])
def test_where_the_mask_is_closed_the_frame_keeps_its_own_pixels(swapper, identity, face, blend):
    mask = left_closed(swapper)
    patch = patch_of(Masked(swapper, mask), identity, face, **blend)
    frame = portrait()
    blending.paste(frame, patch)
    height, width = frame.shape[:2]
    (a, b, c), _ = patch.picture_from_frame
    x = a * np.arange(width)[None] + b * np.arange(height)[:, None] + c
    closed = x < len(mask) // 2 - 1
    np.testing.assert_array_equal(frame[closed], portrait()[closed])
    changed = np.abs(frame.astype(int) - portrait())[~closed]
    assert (changed.max(axis=-1) > 5).sum() > 500


def test_colours_are_matched_where_the_face_shows(swapper, identity, face):
    mask = left_closed(swapper)
    aligned = align_face(portrait(), face.landmarks, swapper.bundle.crop_spec)
    plain = patch_of(swapper, identity, face)
    patch = patch_of(Masked(swapper, mask), identity, face, keep_colour=False)
    expected = match_skin(plain.picture, aligned.crop, aligned.landmarks, shown=mask > 127)
    np.testing.assert_array_equal(patch.picture, expected)


@pytest.mark.parametrize('keep_colour', [False, True])
def test_faces_of_grey_pictures_are_grey(swapper, identity, face, keep_colour):
    photo = Photo(without_colour(portrait()))
    patch = patch_of(swapper, identity, face, photo=photo, keep_colour=keep_colour)
    assert np.ptp(patch.picture, axis=-1).max() == 0
    assert patch.picture.std() > 1


def test_detail_is_that_of_the_frame_where_it_fits(swapper, identity, face):
    plain = patch_of(swapper, identity, face)
    assert plain.detail is None
    detailed = patch_of(swapper, identity, face, detail=True)
    crop = align_face(portrait(), face.landmarks, swapper.bundle.crop_spec).crop
    np.testing.assert_array_equal(detailed.covered, crop)
    np.testing.assert_array_equal(detailed.detail, agreement(crop, plain.picture))


def test_strength_leads_away_from_the_targets_own_identity(swapper, identity, face):
    """What the generator is given is between, at, or beyond the source, seen from the target."""
    seen = []

    class Spy(Swapper):
        def swap(self, targets, boundary_maps, given):
            seen.append(np.asarray(given.vector)[0])
            return super().swap(targets, boundary_maps, given)

    spy = Spy(swapper.bundle)
    for strength in (0.5, 1.0, 1.5):
        patch_of(spy, identity, face, strength=strength)
    crop = align_face(portrait(), face.landmarks, swapper.bundle.crop_spec).crop
    own = swapper.embed_vectors(crop[None])[0]
    towards = [float(vector @ own) for vector in seen]
    assert towards[0] > towards[1] > towards[2]
    np.testing.assert_allclose(seen[1], np.asarray(identity.vector)[0], rtol=1e-6)


def pictures_of(frames, swapper, casting, **blend):
    """Of the faces of each frame: a list of patches' pictures."""
    blend = Blend(**{**PLAIN, **blend})
    stage = FrameSwapper(swapper, casting, batch_size=2, blend=blend)
    return [[patch.picture for patch in done.patches] for done in stage.run(frames)]


def flickering(*faces):
    """The same photo with less and less light, which a random generator answers with flicker."""
    return [(Photo(brighter(portrait(), 1 - 0.02 * n)), each) for n, each in enumerate(faces)]


def test_a_person_is_steadied_from_frame_to_frame(swapper, identity, face):
    frames = flickering([face], [face], [face], [], [face])
    steady = pictures_of(frames, swapper, everybody(identity))
    alone = pictures_of(frames, swapper, everybody(identity), steady=False)
    same = [np.array_equal(*pair) for pair in zip(steady, alone, strict=True)]
    # A face that comes back after a frame without it begins anew.
    assert same == [True, False, False, True, True]


def test_people_are_steadied_each_by_their_own_past(swapper, identity, face):
    other = TrackedFace(7, face.landmarks + np.float32([40, 25]))
    both = pictures_of(flickering([face, other], [other, face]), swapper, everybody(identity))
    (_, (first,)) = pictures_of(flickering([face], [face]), swapper, everybody(identity))
    (_, (second,)) = pictures_of(flickering([other], [other]), swapper, everybody(identity))
    np.testing.assert_array_equal(both[1], [second, first])


def test_somebody_who_becomes_somebody_else_begins_anew(swapper, identity, face):
    size = swapper.bundle.crop_spec.size
    another = swapper.embed_source([np.full((size, size, 3), 40, np.uint8)])

    def casting(faces):
        calls.append(len(faces))
        return [Role(each, *((identity, 0) if len(calls) == 1 else (another, 1))) for each in faces]

    calls = []
    steady = pictures_of(flickering([face], [face]), swapper, casting)
    calls.clear()
    alone = pictures_of(flickering([face], [face]), swapper, casting, steady=False)
    np.testing.assert_array_equal(steady, alone)


@pytest.mark.parametrize(('room', 'batch'), [(1.0, 4), (0.5, 2), (0.01, 1)])
def test_no_frame_waits_for_more_than_three_batches(swapper, identity, face, room, batch):
    given = []

    def frames():
        for number in range(40):
            given.append(number)
            yield Photo(portrait()), []

    done = FrameSwapper(swapper, everybody(identity), batch_size=4).run(frames(), room=room)
    for yielded, _ in enumerate(done):
        # The thread that prepares and generates is ahead by as much as there is room for.
        assert len(given) <= min(40, batch * (yielded // batch) + 3 * batch)
    assert len(given) == 40


def test_faces_are_counted(swapper, identity, face):
    leftmost = OneSource(identity, parse_selector('left', like=None))
    stage = FrameSwapper(swapper, leftmost)
    other = TrackedFace(4, face.landmarks)
    total = FaceCounts()
    photo = Photo(portrait())
    for each in stage.run([(photo, [face, other]), (photo, []), (photo, [other])]):
        total.add(each.counts)
    people = {3: PersonCounts(1, swapped=1), 4: PersonCounts(2, swapped=1, left=1)}
    assert total == FaceCounts(frames=3, without_face=1, people=people)


def test_a_face_that_stays_too_alike_is_blurred(swapper, identity, face):
    asked = []

    def check(picture, tracked, crop, patch):
        asked.append(tracked.person)
        return len(asked) == 1

    stage = FrameSwapper(swapper, everybody(identity), check=check)
    photo = Photo(portrait())
    first, second = stage.run([(photo, [face]), (photo, [face])])
    assert asked == [3, 3]
    assert (first.counts.blurred, first.counts.swapped) == (1, 0)
    assert (second.counts.blurred, second.counts.swapped) == (0, 1)
    expected = blurred_patch(portrait(), face.box)
    np.testing.assert_array_equal(first.patches[0].picture, expected.picture)


@pytest.mark.parametrize('checked', [True, False])
def test_what_cannot_be_aligned_is_blurred_only_when_anonymising(swapper, identity, checked):
    point = TrackedFace(0, np.full((478, 2), 50.0, np.float32))
    check = (lambda *arguments: False) if checked else None
    stage = FrameSwapper(swapper, everybody(identity), check=check)
    (done,) = stage.run([(Photo(portrait()), [point])])
    assert len(done.patches) == done.counts.blurred == int(checked)
