"""A face's coordinates turn and grow with it."""

import numpy as np
import pytest

from apgan_jax.face import landmarks as points
from apgan_jax.face.face_plane import FacePlane, ring


def face_with(left, right, mouth):
    """Landmarks (478, 2) whose eyes and mouth corners lie in these points."""
    landmarks = np.zeros((points.NUM_LANDMARKS, 2))
    landmarks[list(points.LEFT_EYE)] = left
    landmarks[list(points.RIGHT_EYE)] = right
    landmarks[[points.LEFT_MOUTH_CORNER, points.RIGHT_MOUTH_CORNER]] = mouth
    return landmarks


def test_the_eyes_are_a_unit_apart_and_the_middle_is_between_them():
    plane = FacePlane(face_with((10, 20), (30, 20), (20, 44)))
    assert plane.unit == 20
    np.testing.assert_allclose(plane.at(points.LEFT_EYE[0]), [-0.5, 0])
    np.testing.assert_allclose(plane.at(points.RIGHT_MOUTH_CORNER), [0, 1.2])
    np.testing.assert_allclose(plane.pixels(np.array([[0.5, 0], [0, 1]])), [[30, 20], [20, 40]])


def test_down_is_down_the_face_when_the_head_lies_on_its_side():
    plane = FacePlane(face_with((20, 10), (20, 30), (0, 20)))
    np.testing.assert_allclose(plane.pixels(np.array([[0.0, 1.0]])), [[0, 20]])


def test_points_come_back():
    landmarks = np.random.default_rng(0).uniform(0, 128, (points.NUM_LANDMARKS, 2))
    plane = FacePlane(landmarks)
    np.testing.assert_allclose(plane.pixels(plane.at(7)[None])[0], landmarks[7])
    np.testing.assert_allclose(plane.all_points()[7], plane.at(7))
    np.testing.assert_allclose(plane.pixels(plane.all_points()), landmarks)


def test_a_head_turned_aside_keeps_its_size_if_asked_to():
    frontal, aside = (face_with((50 - x, 40), (50 + x, 40), (50, 80)) for x in (20, 5))
    assert FacePlane(frontal, turned=True).unit == FacePlane(frontal).unit == 40
    assert FacePlane(aside).unit == 10
    assert FacePlane(aside, turned=True).unit == pytest.approx(0.85 * 40)


def test_a_face_of_one_point_has_coordinates_too():
    plane = FacePlane(np.full((points.NUM_LANDMARKS, 2), 9.0), turned=True)
    assert np.isfinite(plane.pixels(np.ones((2, 2)))).all()
    np.testing.assert_array_equal(plane.at(1), [0, 0])


def test_a_ring_has_its_corners_at_the_distances_given():
    np.testing.assert_allclose(
        ring(np.array([1.0, 2, 3, 4])), [[1, 0], [0, 2], [-3, 0], [0, -4]], atol=1e-12
    )
