"""Errors inside a mask."""

import numpy as np
import pytest

from apgan_jax.metrics.occluder_error import occluder_error


def test_the_mean_inside_without_the_edge():
    target = np.full((12, 12, 3), 100, np.uint8)
    output, mask = target.copy(), np.zeros((12, 12), bool)
    mask[2:8, 2:8] = True
    output[2, 2:8] = 0  # on the edge
    output[9:] = 255  # outside
    assert occluder_error(output, target, mask) == 0.0
    output[3, 3:7] = (40, 100, 220)  # a quarter of the 16 pixels inside
    assert occluder_error(output, target, mask) == pytest.approx((60 + 0 + 120) / 3 / 4)


def test_a_mask_that_is_all_edge_has_none():
    picture, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)
    mask[3:5] = True
    assert occluder_error(picture, picture, mask) is None
