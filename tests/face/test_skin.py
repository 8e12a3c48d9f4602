"""Where a face shows skin."""

import numpy as np

from apgan_jax.face import landmarks
from apgan_jax.face.drawing import filled
from apgan_jax.face.skin import skin_mask, typical_pixels
from support.faces import portrait


def test_skin_is_neither_eyes_nor_lips(portrait_face):
    points, shape = portrait_face.landmarks, portrait().shape[:2]
    skin = skin_mask(points, shape)
    features = (landmarks.LEFT_EYE, landmarks.RIGHT_EYE, landmarks.OUTER_LIP)
    assert not (skin & filled([points[list(each)] for each in features], shape)).any()
    face = np.prod(np.ptp(points[:468], axis=0))
    assert 0.08 * face < skin.sum() < 0.4 * face
    # Both cheeks, the bridge of the nose, the forehead above it, the chin.
    for landmark in (50, 280, 6, 151, 199):
        x, y = np.rint(points[landmark]).astype(int)
        assert skin[y - 2 : y + 3, x - 2 : x + 3].any(), landmark


def test_skin_of_a_portrait_is_of_one_colour(portrait_face):
    skin = portrait()[skin_mask(portrait_face.landmarks, portrait().shape[:2])]
    red, green, blue = np.median(skin, axis=0)
    assert red > green > blue > 60
    assert np.percentile(skin.std(axis=0), 50) < 35


def test_the_middle_half_leaves_hair_and_highlights_out():
    picture = np.full((10, 10, 3), 100, np.uint8)
    picture[:2], picture[-2:] = 10, 250
    assert np.unique(typical_pixels(picture, np.ones((10, 10), bool))).tolist() == [100]
    assert typical_pixels(picture, np.zeros((10, 10), bool)).shape == (0, 3)
