"""Outlines of known shapes."""

import numpy as np

from apgan_jax.data import outlines


def test_a_point_has_its_coordinates():
    np.testing.assert_array_equal(outlines.point(1, 2.5), [1, 2.5])


def test_clockwise_takes_the_right_side_down():
    np.testing.assert_allclose(
        outlines.rotated(np.array([[1.0, 0]]), np.pi / 2), [[0, 1]], atol=1e-9
    )


def test_a_curve_goes_from_start_to_end_and_leaves_for_its_bend():
    start, bend, end = np.array([0.0, 0]), np.array([1.0, 0]), np.array([1.0, 1])
    path = outlines.curve(start, bend, end, 5)
    np.testing.assert_array_equal(path[[0, -1]], [start, end])
    np.testing.assert_allclose(path[2], [0.75, 0.25])
    several = outlines.curve(np.stack([start, end]), bend, np.stack([end, start]), 5)
    np.testing.assert_allclose(several, [path, path[::-1]])


def test_a_tapered_path_is_as_wide_as_asked_at_both_ends():
    path = np.stack([np.zeros(6), np.linspace(0, 5, 6)], axis=1)
    outline = outlines.tapered(path, 2.0, 0.25)
    assert outline.shape == (12, 2)
    np.testing.assert_allclose(np.ptp(outline[[0, -1], 0]), 2)
    np.testing.assert_allclose(np.ptp(outline[[5, 6], 0]), 0.5)
    np.testing.assert_allclose(outline[:6, 1], path[:, 1])
    both = outlines.tapered(np.stack([path, path]), np.array([[2.0], [4.0]]), 0.25)
    np.testing.assert_allclose(both[0], outline)
    np.testing.assert_allclose(np.ptp(both[1][[0, -1], 0]), 4)


def test_a_path_of_one_place_has_an_outline():
    assert np.isfinite(outlines.tapered(np.zeros((4, 2)), 1.0, 0.5)).all()


def test_the_power_makes_an_oval_or_a_rectangle():
    oval = outlines.rounded_box(2, 1, 2)
    np.testing.assert_allclose((oval**2 / (4, 1)).sum(axis=1), 1)
    nearly = outlines.rounded_box(2, 1, 100)
    np.testing.assert_allclose(np.abs(nearly / (2, 1)).max(axis=1), 1, atol=0.01)
