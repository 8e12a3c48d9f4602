import dataclasses
import json

import cv2
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face import alignment
from apgan_jax.face.alignment import CropSpec


def similarity(degrees=20.0, scale=1.5, shift=(30.0, -12.0)):
    radians = np.deg2rad(degrees)
    rotation = scale * np.array(
        [[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]]
    )
    return np.hstack([rotation, np.array(shift)[:, None]])


def template_pixels(spec):
    return np.asarray(spec.template) * spec.size - 0.5


@pytest.mark.parametrize('name', alignment.ARCFACE_WINDOWS)
def test_the_window_takes_a_crops_template_to_arcfaces(name):
    spec = CropSpec.named(name, 64)
    left, top, right, bottom = spec.arcface_window
    in_window = (np.array(spec.template) - (left, top)) / (right - left, bottom - top)
    pixels = in_window * 112 - 0.5
    np.testing.assert_allclose(pixels, alignment.ARCFACE_TEMPLATE * 112 - 0.5, atol=1e-5)
    # The published template's left eye and right mouth corner, pixels of 112.
    np.testing.assert_allclose(pixels[0], [38.2946, 51.6963], atol=1e-5)
    np.testing.assert_allclose(pixels[4], [70.7299, 92.2041], atol=1e-5)


@pytest.mark.parametrize('name, between_eyes', [('head-v1', 29), ('face-v1', 33)])
def test_how_large_a_face_is_in_its_crop(name, between_eyes):
    points = template_pixels(CropSpec.named(name, 128))
    assert np.linalg.norm(points[1] - points[0]) == pytest.approx(between_eyes, abs=0.1)


def test_the_default_is_the_crop_of_the_paper():
    assert CropSpec.named('head-v1', 64) == CropSpec(size=64)
    # Scaled by 0.72 about (0.5, 0.6) and moved to (0.5, 0.56).
    expected = (alignment.ARCFACE_TEMPLATE - (0.5, 0.6)) * 0.72 + (0.5, 0.56)
    np.testing.assert_allclose(CropSpec(size=64).template, expected, atol=1e-8)


def test_a_crop_that_there_is_not():
    with pytest.raises(UserError, match=r"crop 'neck': must be one of head-v1, face-v1"):
        CropSpec.named('neck', 64)


@pytest.mark.parametrize('degrees, scale', [(0, 1), (35, 0.2), (-170, 3)])
def test_a_known_similarity_is_recovered(degrees, scale):
    spec = CropSpec(size=128)
    crop_from_frame = similarity(degrees, scale)
    frame_from_crop = np.vstack([crop_from_frame, [0, 0, 1]])
    frame_from_crop = np.linalg.inv(frame_from_crop)[:2]
    points = template_pixels(spec) @ frame_from_crop[:, :2].T + frame_from_crop[:, 2]
    estimated = alignment.estimate_crop_from_frame(points, spec)
    np.testing.assert_allclose(estimated, crop_from_frame, atol=1e-6)
    assert alignment.scale_of(estimated) == pytest.approx(scale)


def test_the_estimate_is_a_similarity_where_the_points_are_noisy():
    spec = CropSpec(size=64)
    noise = np.random.default_rng(0).normal(0, 3, (5, 2))
    linear = alignment.estimate_crop_from_frame(template_pixels(spec) + noise, spec)[:, :2]
    np.testing.assert_allclose(linear @ linear.T, np.linalg.det(linear) * np.eye(2), atol=1e-9)


@pytest.mark.parametrize('points', [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_points_that_define_no_crop_are_refused(points):
    with pytest.raises(ValueError, match='define no crop'):
        alignment.estimate_crop_from_frame(points, CropSpec(size=64))


def test_points_come_back_from_the_crop():
    points = np.random.default_rng(0).uniform(0, 2000, (100, 2))
    crop_from_frame = similarity(33, 0.17)
    in_crop = alignment.transform_points(crop_from_frame, points)
    back = alignment.transform_points(alignment.invert(crop_from_frame), in_crop)
    assert np.abs(back - points).max() < 1e-3


def test_compose_applies_the_first_map_first():
    first, second = similarity(10, 2, (1, 2)), similarity(-50, 0.3, (7, -8))
    points = np.random.default_rng(0).normal(size=(4, 2))
    np.testing.assert_allclose(
        alignment.transform_points(alignment.compose(second, first), points),
        alignment.transform_points(second, alignment.transform_points(first, points)),
        atol=1e-5,
    )
    identity = alignment.compose(alignment.invert(first), first)
    np.testing.assert_allclose(identity, np.eye(2, 3), atol=1e-9)


def gradient_frame(size=100):
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    return np.stack([2 * x, 2 * y, x + y], axis=-1).astype(np.uint8)


@pytest.mark.parametrize('degrees, scale', [(0, 1), (0, 2.5), (25, 3)])
def test_enlarging_a_gradient_is_exact(degrees, scale):
    crop_from_frame = similarity(degrees, scale)
    # The frame's centre goes to the crop's, so that the crop shows the inside of the frame.
    crop_from_frame[:, 2] = 31.5 - crop_from_frame[:, :2] @ (50, 50)
    crop = alignment.warp_to_crop(gradient_frame(), crop_from_frame, 64)
    u, v = np.meshgrid(np.arange(64), np.arange(64))
    places = np.stack([u.ravel(), v.ravel()], axis=-1)
    x, y = alignment.transform_points(alignment.invert(crop_from_frame), places).T
    expected = np.stack([2 * x, 2 * y, x + y], axis=-1).reshape(64, 64, 3)
    assert np.abs(crop - expected).max() <= 1


def test_reducing_a_gradient_keeps_its_place():
    crop_from_frame = similarity(10, 0.4)
    crop_from_frame[:, 2] = 15.5 - crop_from_frame[:, :2] @ (50, 50)
    crop = alignment.warp_to_crop(gradient_frame(), crop_from_frame, 32)
    x, y = alignment.transform_points(alignment.invert(crop_from_frame), [[10, 20], [25, 6]]).T
    for place, expected in zip(((20, 10), (6, 25)), np.stack([2 * x, 2 * y], -1), strict=True):
        assert np.abs(crop[place][:2] - expected).max() <= 1.5


@pytest.mark.parametrize('degrees', [0, 30])
def test_a_large_reduction_of_a_fine_checkerboard_is_grey(degrees):
    board = (np.indices((640, 640)).sum(axis=0) % 2 * 255).astype(np.uint8)
    crop_from_frame = similarity(degrees, 0.13)
    crop_from_frame[:, 2] = 31.5 - crop_from_frame[:, :2] @ (320, 320)
    crop = alignment.warp_to_crop(np.repeat(board[..., None], 3, axis=-1), crop_from_frame, 64)
    inside = crop[8:-8, 8:-8].astype(float)
    assert np.abs(inside - 127.5).max() < 20
    # Without the reduction by area it aliases: the four neighbours do not average out.
    plain = cv2.warpAffine(board, crop_from_frame, (64, 64), flags=cv2.INTER_LINEAR)
    assert plain[8:-8, 8:-8].std() > 5 * inside.std() or inside.std() < 1


def test_outside_the_frame_the_edge_is_repeated():
    frame = np.zeros((20, 20, 3), np.uint8)
    frame[:, 0] = 200
    shift = np.array([[1.0, 0, 10], [0, 1, 0]])
    crop = alignment.warp_to_crop(frame, shift, 20)
    assert (crop[:, :11] == 200).all()
    assert (crop[:, 11:] == 0).all()


def test_crop_rectangle_holds_the_crop_and_ends_at_the_frame():
    shift = np.array([[1.0, 0, -10], [0, 1, -20]])
    left, top, right, bottom = alignment.crop_rectangle(shift, 64, (200, 200))
    assert 8 <= left <= 10
    assert 18 <= top <= 20
    assert 74 <= right <= 76
    assert 84 <= bottom <= 86
    assert alignment.crop_rectangle(shift, 64, (50, 60))[2:] == (60, 50)
    away = np.array([[1.0, 0, 500], [0, 1, 0]])
    left, _, right, _ = alignment.crop_rectangle(away, 64, (200, 200))
    assert right <= left


@pytest.mark.parametrize('name', alignment.ARCFACE_WINDOWS)
def test_crop_spec_survives_json(name):
    spec = dataclasses.replace(CropSpec.named(name, 96), version=7)
    assert CropSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert CropSpec.from_dict(spec.to_dict()) == spec


def test_a_crop_spec_of_before_the_window_has_that_of_head_v1():
    fields = CropSpec(size=64).to_dict()
    del fields['arcface_window']
    assert CropSpec.from_dict(fields) == CropSpec(size=64)


@pytest.mark.parametrize('change', [{'colour': 'red'}, None])
def test_unknown_and_missing_fields_are_refused(change):
    fields = CropSpec(size=64).to_dict()
    if change:
        fields |= change
    else:
        del fields['version']
    with pytest.raises(
        UserError, match="unknown field 'colour'" if change else 'version is missing'
    ):
        CropSpec.from_dict(fields)


def test_a_difference_is_named_with_both_values():
    spec = CropSpec(size=64)
    spec.require_equal(CropSpec(size=64), here='a', there='b')
    with pytest.raises(UserError) as caught:
        spec.require_equal(CropSpec(size=128), here='the config', there='the data')
    message = str(caught.value)
    assert 'crop_spec.size is 64 in the config but 128 in the data' in message
    assert '\n' not in message


# --- From crop to crop ----------------------------------------------------------------------------


def test_a_place_of_one_crop_in_another():
    """By pixels: what the maps of the same five points to both crops say."""
    head, face = (CropSpec.named(name, 100) for name in ('head-v1', 'face-v1'))
    points = template_pixels(head) + 7
    head_from_frame, face_from_frame = (
        alignment.estimate_crop_from_frame(points, spec) for spec in (head, face)
    )
    seen = points + np.array([3, -20])
    in_head, in_face = (
        (alignment.transform_points(affine, seen) + 0.5) / 100
        for affine in (head_from_frame, face_from_frame)
    )
    moved = alignment.in_other_crop(in_head, head.arcface_window, face.arcface_window)
    np.testing.assert_allclose(moved, in_face, atol=1e-5)
    back = alignment.in_other_crop(moved, face.arcface_window, head.arcface_window)
    np.testing.assert_allclose(back, in_head, atol=1e-6)


@pytest.mark.parametrize('name', alignment.ARCFACE_WINDOWS)
def test_a_place_stays_in_its_own_crop(name):
    window = alignment.ARCFACE_WINDOWS[name]
    places = np.random.default_rng(0).random((5, 2))
    np.testing.assert_array_equal(alignment.in_other_crop(places, window, window), places)


# --- What of a crop the photo shows ---------------------------------------------------------------


def shifted(x, y):
    return np.array([[1.0, 0, x], [0, 1, y]])


def test_a_crop_within_its_photo_shows_nothing_else():
    inside = alignment.inside_photo(similarity(20, 0.5, (-60, -60)), (2000, 2000), 32)
    assert (inside.dtype, inside.shape) == (np.float32, (32, 32))
    np.testing.assert_array_equal(inside, 1)


def test_a_crop_beside_its_photo_shows_nothing_of_it():
    np.testing.assert_array_equal(alignment.inside_photo(shifted(500, 0), (100, 100), 32), 0)


def test_whole_pixels_are_inside_or_not():
    """The photo's 20 rows and 10 columns begin at row 3 and column 5 of the crop."""
    expected = np.zeros((32, 32))
    expected[3:23, 5:15] = 1
    np.testing.assert_array_equal(alignment.inside_photo(shifted(5, 3), (20, 10), 32), expected)


def test_half_a_pixel_is_half_inside():
    row = alignment.inside_photo(shifted(4.5, 0), (32, 10), 32)[5]
    np.testing.assert_allclose(row[:6], [0, 0, 0, 0, 0.5, 1])
    np.testing.assert_allclose(row[13:16], [1, 0.5, 0])


@pytest.mark.parametrize('scale', [0.25, 4.0])
def test_the_area_inside_is_that_of_the_photo(scale):
    """A photo of 12 x 12 pixels of the crop, turned, within it; its corners are a bit rounder."""
    centre = (12 / scale - 1) / 2
    affine = similarity(30, scale, (0, 0))
    affine[:, 2] = 15.5 - affine[:, :2] @ (centre, centre)
    length = round(12 / scale)
    inside = alignment.inside_photo(affine, (length, length), 32)
    assert inside.sum() == pytest.approx(144, rel=0.01)


def test_what_is_outside_repeats_the_edge():
    """Pixels of which nothing is inside show what the photo's edge shows."""
    photo = np.full((64, 64, 3), 200, np.uint8)
    photo[2:-2, 2:-2] = 90
    affine = similarity(15, 0.8, (8, 1))
    crop = alignment.warp_to_crop(photo, affine, 64)
    inside = alignment.inside_photo(affine, (64, 64), 64)
    assert 0.05 < (inside == 0).mean() < 0.5
    np.testing.assert_array_equal(crop[inside == 0], 200)
