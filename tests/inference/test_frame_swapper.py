import dataclasses

import numpy as np
import pytest

from apgan_jax.face import blending
from apgan_jax.face.aligned import align_face
from apgan_jax.face.hair import without_hair
from apgan_jax.face.tracking import TrackedFace
from apgan_jax.inference.anonymity import blurred_patch
from apgan_jax.inference.blend import Blend
from apgan_jax.inference.casting import EveryFace, OneSource, Role
from apgan_jax.inference.frame_swapper import FaceCounts, FrameSwapper
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


def test_every_frame_comes_back_in_order_with_its_own_face(swapper, identity, face):
    frames = [Photo(brighter(portrait(), 1 - 0.05 * number)) for number in range(7)]
    faces = [[face], [], [face], [face, face], [face], [], [face]]
    stage = FrameSwapper(swapper, everybody(identity), batch_size=3, blend=Blend(steady=False))
    done = list(stage.run(zip(frames, faces, strict=True)))
    assert [each.frame for each in done] == frames
    assert [len(each.patches) for each in done] == [len(each) for each in faces]
    for each in done:
        for patch in each.patches:
            aligned = align_face(each.frame.rgb, face.landmarks, swapper.bundle.crop_spec)
            alone = swapper.swap(aligned.crop[None], aligned.boundary_map[None], identity)[0]
            assert np.abs(patch.picture.astype(int) - alone).max() <= 1
            np.testing.assert_array_equal(patch.picture_from_frame, aligned.crop_from_frame)


def patches_of(swapper, identity, face, **blend):
    stage = FrameSwapper(swapper, everybody(identity), blend=Blend(**blend))
    (done,) = stage.run([(Photo(portrait()), [face])])
    return done.patches


def test_the_face_alone_or_the_whole_crop_is_blended(swapper, identity, face):
    (alone,) = patches_of(swapper, identity, face)
    (whole,) = patches_of(swapper, identity, face, whole_crop=True)
    np.testing.assert_array_equal(alone.picture, whole.picture)
    np.testing.assert_array_equal(whole.mask, blending.blending_mask(whole.mask.shape[0]))
    landmarks = align_face(portrait(), face.landmarks, swapper.bundle.crop_spec).landmarks
    expected = blending.face_mask(landmarks, whole.mask.shape[0])
    np.testing.assert_array_equal(alone.mask, expected)


def test_hair_is_kept_when_asked(swapper, identity, face):
    (alone,) = patches_of(swapper, identity, face)
    (kept,) = patches_of(swapper, identity, face, keep_hair=True)
    aligned = align_face(portrait(), face.landmarks, swapper.bundle.crop_spec)
    shown = without_hair(aligned.crop, kept.picture, aligned.landmarks)
    np.testing.assert_array_equal(kept.picture, alone.picture)
    np.testing.assert_array_equal(kept.mask, alone.mask * shown)
    assert kept.mask.sum() < alone.mask.sum()


def pictures_of(frames, swapper, casting, **blend):
    """Of the faces of each frame: a list of patches' pictures."""
    stage = FrameSwapper(swapper, casting, batch_size=2, blend=Blend(**blend))
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

    def casting(picture, faces):
        calls.append(len(faces))
        return [Role(each, *((identity, 0) if len(calls) == 1 else (another, 1))) for each in faces]

    calls = []
    steady = pictures_of(flickering([face], [face]), swapper, casting)
    calls.clear()
    alone = pictures_of(flickering([face], [face]), swapper, casting, steady=False)
    np.testing.assert_array_equal(steady, alone)


def test_colours_are_matched_where_the_patch_shows(swapper, identity, face):
    crop = align_face(portrait(), face.landmarks, swapper.bundle.crop_spec).crop
    (plain,) = patches_of(swapper, identity, face)
    (matched,) = patches_of(swapper, identity, face, colour_match=True)

    def mean(picture):
        return (picture * plain.mask[..., None]).sum((0, 1)) / plain.mask.sum()

    np.testing.assert_allclose(mean(matched.picture), mean(crop), atol=6)
    assert np.abs(mean(plain.picture) - mean(crop)).max() > 12


def test_no_frame_waits_for_more_than_a_batch(swapper, identity, face):
    given = []

    def frames():
        for number in range(12):
            given.append(number)
            yield Photo(portrait()), []

    done = FrameSwapper(swapper, everybody(identity), batch_size=4).run(frames())
    next(done)
    assert len(given) == 4


def test_faces_are_counted(swapper, identity, face):
    nobody = OneSource(identity, lambda picture, faces: faces[:1])
    stage = FrameSwapper(swapper, nobody)
    other = TrackedFace(4, face.landmarks)
    total = FaceCounts()
    photo = Photo(portrait())
    for each in stage.run([(photo, [face, other]), (photo, []), (photo, [other])]):
        total.add(each.counts)
    assert total == FaceCounts(
        frames=3, without_face=1, swapped=2, blurred=0, left=1, people={3: 1, 4: 2}
    )


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
