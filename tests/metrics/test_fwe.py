"""Visibility and the warping error of two frames."""

import cv2
import numpy as np
import pytest

from apgan_jax.metrics.fwe import visible, warping_error
from support.flows import bilinear, constant_flow, image


def test_all_is_visible_where_nothing_moves():
    still = constant_flow(6, 7, 0, 0)
    assert visible(still, still).all()


def test_what_leaves_the_area_is_hidden():
    mask = visible(constant_flow(8, 9, 3, -2), constant_flow(8, 9, -3, 2))
    expected = np.zeros((8, 9), bool)
    expected[2:, :-3] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ('there', 'back', 'seen'),
    [
        # |w + v|² against 0.01 (|w|² + |v|²) + 0.5.
        (0.0, 0.70, True),  # 0.490 < 0.505
        (0.0, 0.72, False),  # 0.518 > 0.505
        (5.0, -4.1, True),  # 0.810 < 0.918
        (5.0, -4.0, False),  # 1.000 > 0.910
    ],
)
def test_threshold_of_forward_backward_consistency(there, back, seen):
    mask = visible(constant_flow(9, 30, there, 0), constant_flow(9, 30, back, 0))
    assert mask[4, 12] == seen


def test_threshold_of_motion_boundaries():
    # w_x = s x: the squared gradient s² against 0.01 (s x)² + 0.002.
    x = np.arange(40, dtype=np.float32)
    for slope, first_seen in ((0.04, 0), (0.06, 7)):
        flow = np.zeros((5, 40, 2), np.float32)
        flow[..., 0] = slope * x
        back = np.zeros_like(flow)
        back[..., 0] = -slope / (1 + slope) * x
        mask = visible(flow, back)[2, 1:35]
        np.testing.assert_array_equal(mask, x[1:35] >= first_seen)


def occluder_flows(size=40, left=10, step=8):
    """A 12×12 square in front of a still background, `step` px further right in the later frame.

    Returns the later frame's square and what the square has uncovered (bool), and the flows from
    the later frame to the earlier and back.
    """
    squares = []
    for start in (left, left + step):
        square = np.zeros((size, size), bool)
        square[14:26, start : start + 12] = True
        squares.append(square)
    before, after = squares
    to_before, to_after = np.zeros((2, size, size, 2), np.float32)
    to_before[after, 0], to_after[before, 0] = -step, step
    return after, before & ~after, to_before, to_after


def test_hidden_are_the_uncovered_and_the_occluders_outline():
    square, uncovered, to_before, to_after = occluder_flows()
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    grown, shrunk = (
        change(square.astype(np.uint8), cross).astype(bool) for change in (cv2.dilate, cv2.erode)
    )
    expected = ~(uncovered | (grown & ~shrunk))
    np.testing.assert_array_equal(visible(to_before, to_after), expected)


def test_uncovered_background_does_not_count():
    square, uncovered, to_before, to_after = occluder_flows()
    background, texture = image(40, 40, seed=2), image(12, 12, seed=3)
    before, after = background.copy(), background.copy()
    after[square] = texture.reshape(-1, 3)
    before[14:26, 10:22] = texture
    mask = visible(to_before, to_after)
    assert warping_error(after, before, to_before, mask) == 0
    assert warping_error(after, before, to_before, np.ones_like(mask)) > 0
    assert warping_error(after, before, to_before, uncovered) > 0.1


def test_error_is_the_mean_of_the_formula_over_visible_values():
    a, b = image(seed=1), image(seed=2)
    flow = np.random.default_rng(3).uniform(-2, 2, (12, 15, 2)).astype(np.float32)
    mask = np.random.default_rng(4).random((12, 15)) < 0.4
    values = np.repeat(mask[:, :, None], 3, axis=2)
    expected = np.sum(values * np.abs(a - bilinear(b, flow))) / np.sum(values)
    assert warping_error(a, b, flow, mask) == pytest.approx(float(expected), rel=1e-5)


def test_error_of_black_and_white_is_one():
    black, white = np.zeros((2, 5, 6, 3), np.float32) + np.float32([0, 1])[:, None, None, None]
    assert warping_error(black, white, constant_flow(5, 6, 0, 0), np.ones((5, 6), bool)) == 1


def test_error_is_undefined_where_nothing_is_visible():
    away = constant_flow(5, 6, 7, 0)
    mask = visible(away, -away)
    assert not mask.any()
    assert warping_error(image(5, 6), image(5, 6), away, mask) is None
    nowhere = np.full((5, 6, 2), np.nan, np.float32)
    assert not visible(nowhere, nowhere).any()
