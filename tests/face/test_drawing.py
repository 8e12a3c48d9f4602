"""A drawn shape is in each pixel as bright as the part of it that it covers."""

import cv2
import numpy as np
import pytest

from apgan_jax.face import drawing


@pytest.mark.parametrize('channels', [(), (3,)])
def test_a_canvas_becomes_a_picture_of_its_size(channels):
    canvas = drawing.fine_canvas(12, *channels)
    assert (canvas.shape[2:], canvas.dtype) == (channels, np.uint8)
    canvas[:] = 255
    picture = drawing.reduce(canvas, 12)
    assert picture.shape == (12, 12, *channels)
    assert (picture == 255).all()


def test_a_canvas_need_not_be_square():
    canvas = drawing.fine_canvas((5, 7))
    assert canvas.shape == (5 * drawing.SUPERSAMPLING, 7 * drawing.SUPERSAMPLING)
    assert drawing.reduce(canvas, (5, 7)).shape == (5, 7)


@pytest.mark.parametrize('channels', [(), (3,)])
def test_reducing_by_halves_is_reducing_but_for_rounding(channels):
    canvas = np.random.default_rng(0).integers(0, 256, (20, 36, *channels), dtype=np.uint8)
    whole, halves = drawing.reduce(canvas, (5, 9)), drawing.reduce_by_halves(canvas)
    assert halves.shape == (5, 9, *channels)
    np.testing.assert_allclose(halves.astype(float), whole, atol=1)


def test_the_middle_of_a_pixel_is_the_middle_of_its_fine_pixels():
    canvas = drawing.fine_canvas(5)
    fine = len(canvas) // 5
    first = drawing.to_fine(np.array([0.0, 3.0]))
    np.testing.assert_allclose(first, [(fine - 1) / 2, 3 * fine + (fine - 1) / 2])
    # The picture's edges are those of its canvas.
    np.testing.assert_allclose(drawing.to_fine(np.array([-0.5, 4.5])), [-0.5, 5 * fine - 0.5])


def test_numbers_are_as_opencv_draws_with_a_shift():
    points = drawing.fixed_point(np.array([[1.0, 2.5], [-0.25, 0.03]]))
    assert points.dtype == np.int32
    np.testing.assert_array_equal(points / 2**drawing.FRACTION_BITS, [[1, 2.5], [-0.25, 0]])


@pytest.mark.parametrize('right', [5.5, 5.6, 5.75, 6.0, 6.1, 6.25])
def test_the_edge_of_a_rectangle_is_as_bright_as_it_is_covered(right):
    corners = np.array([[1.5, 1.5], [right, 1.5], [right, 6.5], [1.5, 6.5]])
    canvas = drawing.fine_canvas(9)
    outline = drawing.fixed_point(drawing.to_fine(corners))
    cv2.fillConvexPoly(canvas, outline, 255, shift=drawing.FRACTION_BITS)
    picture = drawing.reduce(canvas, 9).astype(float)
    # Pixel 6 reaches from 5.5 to 6.5. OpenCV fills what the outline touches: a quarter more.
    covered = picture[4, 6] / 255
    assert right - 5.5 <= covered <= right - 5.5 + 0.26
    assert (picture[3:6, 3:5] == 255).all()
    assert (picture[:, 7:] == 0).all()
    assert (picture[:2] == 0).all()
