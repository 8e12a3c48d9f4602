import math

import cv2
import numpy as np
import pytest

from apgan_jax.face import alignment, blending
from apgan_jax.face.aligned import align_face
from support.faces import portrait


def equation_12(x, y, alpha=0.08, gamma=0.7, mid=128.0):
    """The paper's mask at a place, in pixels of 256."""
    return 1 / (1 + math.exp(alpha * (max(abs(x - mid), abs(y - mid)) - gamma * mid)))


@pytest.mark.parametrize('row, column', [(0, 0), (128, 128), (38, 128), (200, 30), (255, 100)])
def test_the_mask_is_equation_12(row, column):
    mask = blending.mirrored_sigmoid_mask(256)
    # Pixel centres are at i + 0.5.
    expected = equation_12(column + 0.5, row + 0.5)
    assert mask[row, column] == pytest.approx(expected, abs=1e-6)


def test_the_mask_by_numbers():
    mask = blending.mirrored_sigmoid_mask(256)
    assert mask[128, 128] == pytest.approx(0.99920, abs=1e-4)
    # max(|x - mid|, |y - mid|) = 89.5 just misses the inflection at 0.7 * 128 = 89.6.
    assert mask[128, 217] == pytest.approx(0.5, abs=0.003)
    assert mask[0, 0] == pytest.approx(0.0463, abs=1e-3)


@pytest.mark.parametrize('size', [64, 127, 256])
def test_the_mask_is_symmetric(size):
    mask = blending.mirrored_sigmoid_mask(size)
    assert mask.dtype == np.float32
    for other in (mask[::-1], mask[:, ::-1], mask.T):
        np.testing.assert_array_equal(mask, other)


def test_the_slope_scales_with_the_size():
    half = blending.mirrored_sigmoid_mask(128)
    # A pixel's centre at 128 px is between four at 256 px.
    whole = blending.mirrored_sigmoid_mask(256)
    np.testing.assert_allclose(half[64], whole.reshape(128, 2, 128, 2).mean((1, 3))[64], atol=0.005)
    given = blending.mirrored_sigmoid_mask(128, alpha=0.16)
    np.testing.assert_array_equal(half, given)


@pytest.mark.parametrize('size', [64, 128, 256])
def test_the_blending_mask_is_0_at_the_edges_and_1_in_the_middle(size):
    mask = blending.blending_mask(size)
    for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert np.abs(edge).max() < 1e-6
    assert mask.max() == 1
    assert mask[size // 2, size // 2] == 1
    assert mask.min() >= 0


@pytest.fixture(scope='module')
def in_crop(portrait_face):
    """The portrait's landmarks in a crop of 128 px."""
    return align_face(portrait(), portrait_face.landmarks, alignment.CropSpec(size=128)).landmarks


def test_the_face_s_mask_ends_with_the_face(in_crop):
    mask = blending.face_mask(in_crop, 128)
    assert mask.dtype == np.float32
    assert (mask <= blending.blending_mask(128)).all() and mask.min() == 0
    assert mask[tuple(np.rint(in_crop[4, ::-1]).astype(int))] > 0.99  # the nose
    outline = blending.face_outline(in_crop, 128)
    for y, x in np.argwhere(mask > 0.01):
        assert cv2.pointPolygonTest(outline, (float(x), float(y)), True) > -3 * 0.02 * 128


@pytest.mark.parametrize('size', [64, 128, 256])
def test_the_face_s_mask_is_half_at_its_outline(size):
    # In the middle of the crop, where eq. 12 is 1.
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = size / 2 - 0.5 + 0.2 * size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    mask = blending.face_mask(circle, size)
    x, y = blending.face_outline(circle, size)[:, 0].T
    on_outline = cv2.remap(mask, x[None], y[None], cv2.INTER_LINEAR)
    # Less than half of what is about a point of a circle is inside of it.
    np.testing.assert_allclose(on_outline, 0.48, atol=0.06)


def test_the_outline_has_a_margin_and_more_above(in_crop):
    outline = blending.face_outline(in_crop, 128)[:, 0]
    more = np.stack([in_crop.min(0) - outline.min(0), outline.max(0) - in_crop.max(0)])
    # Left, up, right, down: 3 % of the crop, and 8 % more above.
    np.testing.assert_allclose(more.ravel() / 128, [0.03, 0.11, 0.03, 0.03], atol=0.005)


def test_a_face_that_leaves_the_crop_has_a_mask(in_crop):
    mask = blending.face_mask(in_crop + np.array([90, 0]), 128)
    assert np.isfinite(mask).all()
    assert mask[:, :32].max() == 0


def test_the_face_s_mask_moves_with_the_landmarks(in_crop):
    mask = blending.face_mask(in_crop, 128)
    moved = blending.face_mask(in_crop + np.array([3, -2]), 128)
    middle = np.s_[30:90, 30:90]
    np.testing.assert_allclose(np.roll(mask, (-2, 3), (0, 1))[middle], moved[middle], atol=0.05)
    # A quarter of a pixel is seen, and no more than that: what moves smoothly is blended smoothly.
    step = np.abs(blending.face_mask(in_crop + np.array([0.25, 0]), 128) - mask)
    assert 0.005 < step.max() < 0.06


def shift(x, y):
    """The crop whose first pixel is the frame's (x, y)."""
    return np.array([[1.0, 0.0, -x], [0.0, 1.0, -y]])


def grey_patch(level, crop_from_frame):
    return blending.face_patch(np.full((64, 64, 3), level, np.uint8), crop_from_frame)


def rotated():
    matrix = np.array([[0.8, -0.5, 0.0], [0.5, 0.8, 0.0]])
    matrix[:, 2] = 31.5 - matrix[:, :2] @ (200, 120)
    return matrix


@pytest.mark.parametrize('crop_from_frame', [shift(150, 60), rotated(), shift(480, -20)])
def test_nothing_outside_the_rectangle_is_touched(crop_from_frame):
    frame = portrait()
    before = frame.copy()
    white = np.full((64, 64, 3), 255, np.uint8)
    blending.paste(frame, blending.face_patch(white, crop_from_frame))
    left, top, right, bottom = alignment.crop_rectangle(crop_from_frame, 64, frame.shape[:2])
    assert (frame[top:bottom, left:right] != before[top:bottom, left:right]).any()
    frame[top:bottom, left:right] = before[top:bottom, left:right]
    np.testing.assert_array_equal(frame, before)


def test_a_crop_put_back_where_it_was_changes_nothing():
    frame = portrait()
    crop_from_frame = shift(160, 50)
    crop = alignment.warp_to_crop(frame, crop_from_frame, 128)
    np.testing.assert_array_equal(crop, frame[50:178, 160:288])
    pasted = frame.copy()
    blending.paste(pasted, blending.face_patch(crop, crop_from_frame))
    assert np.abs(pasted.astype(int) - frame).max() <= 1


def test_the_middle_is_the_crop_and_the_way_out_is_the_mask():
    frame = np.zeros((100, 100, 3), np.uint8)
    blending.paste(frame, grey_patch(200, shift(20, 10)))
    expected = 200 * blending.blending_mask(64)
    difference = frame[10:74, 20:84].astype(float) - expected[..., None]
    assert np.abs(difference).max() <= 1
    assert (frame[42, 52] == 200).all()


def test_a_face_partly_outside_the_frame_is_pasted_in_part():
    frame = np.zeros((100, 100, 3), np.uint8)
    blending.paste(frame, grey_patch(200, shift(-32, 70)))
    # The crop's centre column is the frame's first; its upper 30 rows are the frame's last.
    expected = 200 * blending.blending_mask(64)[:30, 32:]
    assert np.abs(frame[70:, :32, 0] - expected).max() <= 1


@pytest.mark.parametrize('place', [(600, 0), (-100, 0), (0, 700), (0, -65)])
def test_a_face_outside_the_frame_is_left_out(place):
    frame = portrait()
    blending.paste(frame, grey_patch(255, shift(*place)))
    np.testing.assert_array_equal(frame, portrait())


def test_a_view_into_a_larger_array_is_changed_in_place():
    whole = np.zeros((100, 140, 3), np.uint8)
    blending.paste(whole[:, :100], grey_patch(200, shift(20, 10)))
    assert (whole[42, 52] == 200).all()
    assert not whole[:, 100:].any()


def test_pixels_where_the_mask_is_0_keep_their_values():
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    before = frame.copy()
    mask = np.zeros((64, 64), np.float32)
    mask[20:40, 10:30] = 0.5
    patch = blending.Patch(np.full((64, 64, 3), 255, np.uint8), mask, shift(30, 40))
    blending.paste(frame, patch)
    changed = (frame != before).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (60, 79, 40, 59)
    np.testing.assert_array_equal(
        frame[60:80, 40:60], np.rint((before[60:80, 40:60] + 255.0) / 2).astype(np.uint8)
    )


def test_pictures_need_not_be_square():
    frame = np.zeros((100, 140, 3), np.uint8)
    picture = np.full((20, 50, 3), 90, np.uint8)
    blending.paste(frame, blending.Patch(picture, np.ones((20, 50), np.float32), shift(30, 40)))
    rows, columns = np.nonzero(frame[..., 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 59, 30, 79)
    assert (frame[40:60, 30:80] == 90).all()


def test_10_bit_planes_are_blended_without_loss():
    plane = np.full((100, 100), 1023, np.uint16)
    mask = blending.blending_mask(64)
    blending.blend([plane], [np.full((64, 64), 64, np.uint16)], mask, shift(20, 10), highest=1023)
    expected = 1023 + mask * (64.0 - 1023.0)
    assert np.abs(plane[10:74, 20:84] - expected).max() <= 0.51
    assert plane[42, 52] == 64 and plane[0, 0] == 1023


def test_a_picture_shown_small_is_averaged():
    """Stripes of one pixel at a quarter of the size are grey, not one of the stripes."""
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[:, ::2] = 200
    frame = np.zeros((60, 60, 3), np.uint8)
    quarter = np.array([[4.0, 0.0, 4 * -10 + 1.5], [0.0, 4.0, 4 * -10 + 1.5]])
    blending.paste(frame, blending.Patch(picture, np.ones((128, 128), np.float32), quarter))
    assert np.abs(frame[12:40, 12:40].astype(int) - 100).max() <= 1
    assert not frame[:9].any() and not frame[43:].any()


def test_a_face_crop_shows_the_chin_and_ends_at_its_edge():
    mask = blending.blending_mask(128, 'face-v1')
    assert mask[0].max() == mask[:, -1].max() == 0
    # The chin of an average face is at nine tenths of the height.
    assert mask[112, 64] > 0.9 and blending.blending_mask(128)[112, 64] < 0.4
