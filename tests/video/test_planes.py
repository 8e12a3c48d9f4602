"""Painting into decoded planes: exactly there, exactly that, and nothing else."""

from fractions import Fraction

import av
import numpy as np
import pytest

from apgan_jax.face.blending import Patch, face_patch, paste
from apgan_jax.video.decoded import ACCURATE, Orientation, views
from apgan_jax.video.encoding import PictureFormat
from apgan_jax.video.planes import Painter, yuv_from_rgb
from support.video_clips import BT709, BT2020, FULL, LIMITED, RED, still, yuv_frame

HEIGHT, WIDTH = 96, 128
FORMATS = ['yuv420p', 'yuv422p', 'yuv444p', 'yuv420p10le', 'yuv422p10le', 'yuv444p10le']
# (row, column) steps of the colour planes.
STEPS = {'420': (2, 2), '422': (1, 2), '444': (1, 1)}


def picture(name, matrix=BT709, color_range=LIMITED, height=HEIGHT, width=WIDTH):
    clock = Fraction(1, 25)
    return PictureFormat(name, height, width, matrix, color_range, clock, Fraction(25))


def painter(name, orientation=None, **colours):
    return Painter(picture(name, **colours), orientation or Orientation(), (HEIGHT, WIDTH))


def decoded(name, matrix=BT709, color_range=LIMITED):
    frame = yuv_frame(still(HEIGHT, WIDTH), name, matrix, color_range)
    frame.colorspace, frame.color_range = matrix, color_range
    return frame


def rotated(size, scale=1.3):
    """Turned by 0.3 rad about the frame's point (60, 45), the picture's middle."""
    c, s = scale * np.cos(0.3), scale * np.sin(0.3)
    affine = np.array([[c, -s, 0.0], [s, c, 0.0]])
    affine[:, 2] = (size - 1) / 2 - affine[:, :2] @ (60, 45)
    return affine


@pytest.mark.parametrize('name', FORMATS)
def test_samples_outside_the_mask_are_bit_identical(name):
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1
    affine = np.array([[1.0, 0.0, -20.0], [0.0, 1.0, -10.0]])
    frame = decoded(name)
    before = [plane.copy() for plane in views(frame)]
    patch = Patch(np.broadcast_to(np.uint8(RED), (64, 64, 3)), mask, affine)
    after = views(painter(name)(frame, [patch]))
    steps = [(1, 1), *[STEPS[name[3:6]]] * 2]
    for old, new, (step_y, step_x) in zip(before, after, steps, strict=True):
        rows, columns = np.nonzero(old != new)
        # The mask is 1 at the frame's rows 26 to 57, columns 36 to 67, and 0 a pixel further out.
        assert (rows.min(), rows.max()) == (26 // step_y, 57 // step_y)
        assert columns.min() == 36 // step_x and 67 // step_x <= columns.max() <= 68 // step_x


@pytest.mark.parametrize('name', FORMATS)
def test_frames_without_patches_are_passed_on(name):
    frame = decoded(name)
    before = [plane.copy() for plane in views(frame)]
    result = painter(name)(frame, [])
    assert result is frame
    for old, new in zip(before, views(result), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize('name', ['yuv420p', 'yuv444p', 'yuvj420p', 'yuv420p10le'])
@pytest.mark.parametrize('matrix', [BT709, 5, BT2020])
@pytest.mark.parametrize('color_range', [LIMITED, FULL])
def test_what_is_painted_has_the_picture_s_colours(name, matrix, color_range):
    frame = decoded(name, matrix, color_range)
    patch = face_patch(np.broadcast_to(np.uint8(RED), (64, 64, 3)), rotated(64))
    result = painter(name, matrix=matrix, color_range=color_range)(frame, [patch])
    rgb = result.to_ndarray(format='rgb24', **ACCURATE)
    assert np.abs(rgb[40:50, 55:65].astype(int) - RED).max() <= 2


@pytest.mark.parametrize('transposed', [False, True])
@pytest.mark.parametrize('mirrored', [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize('name', ['yuv420p', 'yuv444p', 'yuv420p10le'])
def test_painting_planes_is_pasting_into_the_upright_picture(name, transposed, mirrored):
    """Whatever the orientation: eq. 13 in RGB, up to the colours' resolution and rounding."""
    orientation = Orientation(transposed, *mirrored)
    frame = decoded(name)
    expected = orientation.upright(frame.to_ndarray(format='rgb24', **ACCURATE)).copy()
    crop = still(64, 64)[::-1, ::-1].copy()
    patch = face_patch(crop, rotated(64))
    paste(expected, patch)
    painted = painter(name, orientation)(frame, [patch]).to_ndarray(format='rgb24', **ACCURATE)
    difference = np.abs(orientation.upright(painted).astype(int) - expected)
    assert difference.mean() < 0.7
    assert difference.max() <= (2 if name == 'yuv444p' else 16)


@pytest.mark.parametrize('size', [(96, 128), (95, 127)])
def test_colour_planes_are_sited_on_the_left_and_between_lines(size):
    """A ramp in each direction: its value at a colour sample tells the sample's place."""
    height, width = size
    ramp = np.zeros((height, width, 3), np.uint8)
    # A blue that grows by 1 per pixel moves U by its matrix's share of 0.5 / (1 - 0.0722).
    ramp[..., 2] = np.arange(width) + np.arange(height)[:, None]
    frame = av.VideoFrame(width, height, 'yuv420p')
    for plane in views(frame):
        plane[:] = 128
    paint = Painter(picture('yuv420p', height=height, width=width), Orientation(), size)
    patch = Patch(ramp, np.ones(size, np.float32), np.eye(2, 3))
    _, u, _ = views(paint(frame, [patch]))
    rows, columns = np.mgrid[: u.shape[0] - 1, : u.shape[1] - 1]
    blue = 2 * columns + 2 * rows + 0.5
    expected = 128 + blue * 0.5 * 224 / 255
    assert np.abs(u[:-1, :-1] - expected).mean() < 0.4
    assert abs((u[:-1, :-1] - expected).mean()) < 0.15


@pytest.mark.parametrize('matrix', [BT709, 5, BT2020])
@pytest.mark.parametrize('name', ['yuv444p', 'yuv444p10le'])
def test_the_matrix_is_swscale_s(name, matrix):
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = np.stack(views(yuv_frame(rgb, name, matrix)), -1)
    affine = yuv_from_rgb(picture(name, matrix))
    found = rgb @ affine[:, :3].T + affine[:, 3]
    assert np.abs(found - expected).max() < (1.1 if name == 'yuv444p' else 2.1)
    assert abs((found - expected).mean()) < 0.1


def test_the_matrix_by_numbers():
    """White, black and blue in the standards' numbers."""
    colours = np.array([[255, 255, 255, 1], [0, 0, 0, 1], [0, 0, 255, 1]])
    for name, color_range, white, black, top in [
        ('yuv444p', LIMITED, (235, 128, 128), (16, 128, 128), 240),
        ('yuv444p', FULL, (255, 128, 128), (0, 128, 128), 255.5),
        ('yuv444p10le', LIMITED, (940, 512, 512), (64, 512, 512), 960),
    ]:
        found = colours @ yuv_from_rgb(picture(name, BT709, color_range)).T
        np.testing.assert_allclose(found[:2], [white, black], atol=1e-3)
        assert found[2, 1] == pytest.approx(top, abs=1e-3)


def test_patches_outside_the_frame_do_nothing():
    frame = decoded('yuv420p')
    before = [plane.copy() for plane in views(frame)]
    far = np.array([[1.0, 0.0, -500.0], [0.0, 1.0, 0.0]])
    painter('yuv420p')(frame, [face_patch(np.zeros((64, 64, 3), np.uint8), far)])
    for old, new in zip(before, views(frame), strict=True):
        np.testing.assert_array_equal(old, new)


def test_later_patches_go_on_top():
    frame = decoded('yuv444p')
    patches = [
        Patch(np.full((32, 32, 3), level, np.uint8), np.ones((32, 32), np.float32), np.eye(2, 3))
        for level in (40, 180)
    ]
    rgb = painter('yuv444p')(frame, patches).to_ndarray(format='rgb24', **ACCURATE)
    assert np.abs(rgb[2:30, 2:30].astype(int) - 180).max() <= 1
