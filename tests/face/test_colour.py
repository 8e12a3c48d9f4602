import cv2
import numpy as np
import pytest

from apgan_jax.face.blending import blending_mask
from apgan_jax.face.colour import match_colours

MASK = blending_mask(64)


@pytest.fixture
def picture():
    noise = np.random.default_rng(0).normal(0, 20, (64, 64, 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 2) * 8 + 128, 0, 255).astype(np.uint8)


def test_a_picture_matches_itself(picture):
    assert np.abs(match_colours(picture, picture, MASK).astype(int) - picture).max() <= 1


def test_a_change_of_light_is_undone(picture):
    darker = np.round(0.7 * picture + 10).astype(np.uint8)
    middle = np.s_[16:48, 16:48]
    restored = match_colours(darker, picture, MASK)[middle].astype(int)
    assert np.abs(restored - picture[middle]).mean() < 2
    assert np.abs(darker[middle].astype(int) - picture[middle]).mean() > 20


def test_a_flat_picture_takes_the_mean_colour(picture):
    flat = np.full((64, 64, 3), (200, 30, 90), np.uint8)
    skin = np.full((64, 64, 3), (180, 140, 120), np.uint8)
    assert np.abs(match_colours(flat, skin, MASK).astype(int) - skin).max() <= 1
