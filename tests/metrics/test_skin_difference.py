"""Differences of skin colours with known answers."""

import cv2
import numpy as np
import pytest

from apgan_jax.face.skin import skin_mask
from apgan_jax.metrics.skin_difference import skin_difference


def plain(colour):
    return np.full((512, 512, 3), colour, np.uint8)


def test_greys_differ_in_lightness_alone(portrait_face):
    points = portrait_face.landmarks
    # L* of sRGB grey 119 is 50.0, of 255 it is 100.
    assert skin_difference(plain(255), plain(119), points) == pytest.approx(50.0, abs=0.2)
    assert skin_difference(plain(119), plain(119), points) == 0.0


def test_of_colours_it_is_the_distance_in_lab(portrait_face):
    # CIELAB (D65) of sRGB red (53.24, 80.09, 67.20) and blue (32.30, 79.19, -107.86).
    value = skin_difference(plain((255, 0, 0)), plain((0, 0, 255)), portrait_face.landmarks)
    assert value == pytest.approx(176.3, abs=0.5)


def test_hair_over_a_fifth_of_the_skin_changes_nothing(portrait_face):
    points = portrait_face.landmarks
    skin = skin_mask(points, (512, 512))
    swapped = plain((200, 150, 130))
    rows = np.flatnonzero(skin.any(axis=1))
    below = np.cumsum(skin.sum(axis=1)) / skin.sum()
    swapped[: np.searchsorted(below, 0.2)] = 15
    assert rows[0] < np.searchsorted(below, 0.2)
    assert skin_difference(swapped, plain((200, 150, 130)), points) == pytest.approx(0.0, abs=1e-4)


def test_features_do_not_count(portrait_face):
    points = portrait_face.landmarks
    swapped = plain((200, 150, 130))
    for landmark in (468, 473, 0, 17):
        cv2.circle(swapped, np.rint(points[landmark]).astype(int).tolist(), 2, (0, 0, 0), -1)
    assert skin_difference(swapped, plain((200, 150, 130)), points) == pytest.approx(0.0, abs=1e-4)
    assert skin_difference(swapped, swapped, points + 5000) is None
