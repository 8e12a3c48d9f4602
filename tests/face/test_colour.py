"""Skin of a generated face takes over the target's colour and light."""

import cv2
import numpy as np
import pytest

from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.colour import is_grey, match_skin, without_colour
from apgan_jax.face.skin import skin_mask
from support.faces import portrait

SIZE = 128


@pytest.fixture(scope='module')
def aligned(portrait_face):
    return align_face(portrait(), portrait_face.landmarks, CropSpec(size=SIZE))


def lab(picture):
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def skin_of(picture, aligned):
    return np.median(lab(picture)[skin_mask(aligned.landmarks, SIZE)], axis=0)


def test_a_picture_matches_itself_but_for_highlights(aligned):
    matched = match_skin(aligned.crop, aligned.crop, aligned.landmarks)
    bright = lab(aligned.crop)[..., 0] > 60
    assert np.abs(matched[~bright].astype(int) - aligned.crop[~bright]).max() <= 2


@pytest.mark.parametrize('colour', [(0.6, 0.6, 0.6), (1.0, 0.8, 0.7), (0.7, 0.8, 1.0)])
def test_skin_of_another_colour_gets_the_targets(aligned, colour):
    other = np.round(aligned.crop * np.array(colour)).astype(np.uint8)
    before = np.linalg.norm(skin_of(other, aligned) - skin_of(aligned.crop, aligned))
    matched = match_skin(other, aligned.crop, aligned.landmarks)
    assert np.linalg.norm(skin_of(matched, aligned) - skin_of(aligned.crop, aligned)) < 1
    assert before > 8


def test_hair_of_the_target_does_not_darken_the_skin(aligned):
    """A fringe in the target's crop, where the generator shows a forehead."""
    fringe = aligned.crop.copy()
    fringe[: round(aligned.landmarks[9, 1])] = (30, 20, 15)
    plain = match_skin(aligned.crop, aligned.crop, aligned.landmarks)
    matched = match_skin(aligned.crop, fringe, aligned.landmarks)
    cheek = tuple(np.rint(aligned.landmarks[205][::-1]).astype(int))
    assert np.abs(matched[cheek].astype(int) - plain[cheek]).max() < 8


def test_what_does_not_show_says_nothing_of_the_skin(aligned):
    """A hand before half of the target's face, and something unlike it generated there."""
    left = np.arange(SIZE) < SIZE // 2
    target, darker = aligned.crop.copy(), np.round(0.8 * aligned.crop).astype(np.uint8)
    target[:, left] = (90, 60, 160)
    darker[:, left] = (10, 240, 10)
    shown = np.broadcast_to(~left, (SIZE, SIZE))
    matched = match_skin(darker, target, aligned.landmarks, shown=shown)
    skin = skin_mask(aligned.landmarks, SIZE) & shown
    ours, theirs, everywhere = (
        np.median(lab(each)[skin], axis=0)
        for each in (matched, aligned.crop, match_skin(darker, target, aligned.landmarks))
    )
    assert np.linalg.norm(ours - theirs) < 1
    assert np.linalg.norm(everywhere - theirs) > 10
    nothing = match_skin(darker, target, aligned.landmarks, shown=np.zeros_like(shown))
    np.testing.assert_array_equal(nothing, darker)


def test_light_from_one_side_is_taken_over(aligned):
    slope = np.linspace(0.92, 1.08, SIZE)[None, :, None]
    lit = np.clip(aligned.crop * slope, 0, 255).astype(np.uint8)
    matched = lab(match_skin(aligned.crop, lit, aligned.landmarks))[..., 0]
    plain = lab(match_skin(aligned.crop, aligned.crop, aligned.landmarks))[..., 0]
    left, right = (tuple(np.rint(aligned.landmarks[n][::-1]).astype(int)) for n in (205, 425))
    assert (matched - plain)[right] - (matched - plain)[left] > 1


def test_a_dark_picture_has_no_blotches(aligned):
    """Colours of skin in the light, taken over by a face in the dark, would be all there is."""
    dark = np.round(aligned.crop * 0.1).astype(np.uint8)
    matched = match_skin(aligned.crop, dark, aligned.landmarks)
    skin = skin_mask(aligned.landmarks, SIZE)
    spread = lab(matched)[skin][:, 1:].std(axis=0)
    assert spread.max() < 1.5 * lab(dark)[skin][:, 1:].std(axis=0).max() + 1
    assert matched[skin].max() < 60


def test_points_that_coincide_leave_the_picture(aligned):
    points = np.full((478, 2), -50, np.float32)
    assert match_skin(aligned.crop, aligned.crop, points) is aligned.crop


def test_grey_pictures_are_told_from_pale_ones(aligned):
    grey = without_colour(aligned.crop)
    assert is_grey(grey)
    noise = np.random.default_rng(0).integers(-2, 3, grey.shape)
    assert is_grey(np.clip(grey + noise, 0, 255).astype(np.uint8))
    assert not is_grey(aligned.crop)
    pale = np.round(0.2 * aligned.crop + 0.8 * grey).astype(np.uint8)
    assert not is_grey(pale)
