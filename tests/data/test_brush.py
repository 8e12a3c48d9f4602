"""What a brush paints, and what it says that it covers."""

import numpy as np
import pytest

from apgan_jax.data import swatches
from apgan_jax.data.brush import Brush, Line
from apgan_jax.data.outlines import rounded_box
from apgan_jax.face import landmarks as points

RED, GREEN = swatches.flat((250, 10, 20)), swatches.flat((10, 200, 30))
SQUARE = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


@pytest.fixture
def landmarks():
    """Of a face whose eyes are at (24, 32) and (44, 32); the other points are at (34, 50)."""
    face = np.full((points.NUM_LANDMARKS, 2), (34.0, 50.0))
    face[list(points.LEFT_EYE)], face[list(points.RIGHT_EYE)] = (24, 32), (44, 32)
    return face


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)


@pytest.fixture
def brush(picture, landmarks):
    return Brush(picture, landmarks, picture, softness=0.5)


def test_a_shape_is_paint_within_and_the_picture_outside(brush, picture):
    before = picture.copy()
    brush.paint([SQUARE], RED)
    np.testing.assert_array_equal(brush.covers[25:40, 27:42], 1)
    np.testing.assert_array_equal(brush.picture[25:40, 27:42], np.broadcast_to(RED, (15, 15, 3)))
    bare = brush.covers == 0
    assert bare[:18].all() and bare[:, :20].all() and bare[47:].all() and bare[:, 49:].all()
    np.testing.assert_array_equal(brush.picture[bare], picture[bare])
    np.testing.assert_array_equal(picture, before)


def test_an_edge_is_as_much_paint_as_it_is_covered(picture, landmarks):
    black = np.zeros_like(picture)
    brush = Brush(black, landmarks, picture, softness=0.8)
    brush.paint([SQUARE + 0.02], swatches.flat((200, 200, 200)))
    edge = (brush.covers > 0) & (brush.covers < 1)
    assert edge.sum() > 100
    np.testing.assert_allclose(brush.picture[edge][:, 0], 200 * brush.covers[edge], atol=1)


def test_what_shines_through_is_covered_all_the_same(brush, picture):
    brush.paint([SQUARE], RED, opacity=0.25)
    np.testing.assert_array_equal(brush.covers[25:40, 27:42], 1)
    expected = 0.75 * picture[32, 34].astype(float) + 0.25 * RED[0, 0]
    np.testing.assert_allclose(brush.picture[32, 34], expected, atol=1.5)


def test_no_opacity_leaves_the_picture(brush, picture):
    brush.paint([SQUARE], RED, opacity=0.0)
    brush.paint([SQUARE], RED, opacity=np.zeros((3, 3), np.uint8))
    np.testing.assert_array_equal(brush.picture, picture)


def test_opacity_may_differ_over_a_shape(brush, picture):
    brush.paint([SQUARE], RED, opacity=np.array([[255] * 4, [0] * 4], np.uint8))
    near = np.abs(brush.picture[:, 34].astype(int) - RED[0, 0]).max(axis=1)
    assert near[25] < 20
    assert np.abs(brush.picture[40, 34].astype(int) - picture[40, 34]).max() < 20


def test_later_paint_lies_over_earlier_and_covers_add_up(brush):
    brush.paint([SQUARE], RED)
    brush.paint([SQUARE / 2], GREEN)
    np.testing.assert_array_equal(brush.picture[32, 34], GREEN[0, 0])
    np.testing.assert_array_equal(brush.picture[25, 27], RED[0, 0])
    assert brush.covers.max() == 1 and brush.covers.dtype == np.float32


def test_a_line_has_its_width_and_may_be_closed(brush):
    brush.paint([Line(np.array([[-0.5, 0.0], [0.5, 0.0]]), 0.3)], RED)
    # Its width is 6 pixels.
    assert brush.covers[:, 34].sum() == pytest.approx(6, abs=0.6)
    path = np.array([[-1.0, 1.0], [1, 1], [1, 1.4], [-1, 1.4]])
    brush.paint([Line(path, 0.1, closed=True)], GREEN)
    assert brush.covers[56, 14] > 0.9


def test_shapes_outside_of_the_picture_are_left_out(brush, picture):
    brush.paint([SQUARE + 100, SQUARE + 105], RED)
    brush.paint([SQUARE * 1e9 + 1e12], RED)
    np.testing.assert_array_equal(brush.picture, picture)
    assert not brush.covers.any()


def test_a_shape_larger_than_the_picture_covers_it(brush):
    brush.paint([SQUARE * 1e4], RED)
    np.testing.assert_array_equal(brush.picture, np.broadcast_to(RED, brush.picture.shape))
    assert (brush.covers == 1).all()


def test_a_rim_is_darker_than_the_middle(brush):
    brush.paint([SQUARE], RED, rim=0.2)
    middle, rim = brush.picture[32, 34, 0], brush.picture[32, 26, 0]
    assert middle == 250 and 100 < rim < 220


def test_colours_are_those_of_the_picture_or_of_its_border(picture, landmarks):
    picture[:] = (10, 20, 30)
    picture[:, 70:] = (90, 80, 70)
    brush = Brush(picture, landmarks, picture, softness=0.5)
    np.testing.assert_array_equal(brush.skin, (10, 20, 30))
    np.testing.assert_array_equal(brush.colour_at(np.array([50.0, 0.0])), (90, 80, 70))
    np.testing.assert_allclose(brush.at(*points.LEFT_EYE), [-0.5, 0], atol=1e-9)


def test_an_oval_is_painted_where_it_is(brush):
    brush.paint([rounded_box(0.5, 0.25, 2)], RED)
    assert brush.covers.sum() == pytest.approx(np.pi * 10 * 5, rel=0.1)


def test_no_shapes_paint_nothing(brush, picture):
    brush.paint([], RED)
    np.testing.assert_array_equal(brush.picture, picture)
    assert not brush.covers.any()


def test_a_clear_pane_covers_as_far_as_it_is_opaque(brush):
    brush.paint([SQUARE], RED, opacity=0.25, clear=True)
    assert brush.covers[32, 34] == pytest.approx(0.25, abs=0.01)
