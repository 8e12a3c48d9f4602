"""Faces go into photos at their depth and in their colours, and nothing else changes."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from apgan_jax.face.blending import Patch, face_patch, paste
from apgan_jax.files import colour_profiles
from apgan_jax.files.photos import WholePhoto
from apgan_jax.inference.photo_painting import paint_photo
from support.video_clips import RED, square_patch, still

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
INSIDE = np.s_[25:40, 35:50]


def patch():
    return square_patch(RED, 30, 20, 24)


def test_an_ordinary_photo_is_pasted_into():
    picture = still(64, 96)
    detail = np.full((32, 32), 0.5, np.float32)
    covered = np.full((32, 32, 3), 90, np.uint8)
    face = face_patch(still(32, 32), np.array([[1.0, 0, -20], [0, 1.0, -10]]))
    face = Patch(face.picture, face.mask, face.picture_from_frame, covered, detail)
    expected = picture.copy()
    paste(expected, face)
    painted = paint_photo(WholePhoto(picture), [face])
    assert np.abs(painted.pixels.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(picture, still(64, 96))


def test_sixteen_bits_stay_outside_and_are_used_inside():
    deep = still(64, 96).astype(np.uint16) * 257 + 5
    painted = paint_photo(WholePhoto(deep), [patch()]).pixels
    assert painted.dtype == np.uint16
    np.testing.assert_array_equal(painted[:18], deep[:18])
    assert np.abs(painted[INSIDE].astype(int) - np.multiply(RED, 257)).max() <= 1


def test_grey_is_painted_grey():
    photo = WholePhoto(still(64, 96)[:, :, 0].copy())
    painted = paint_photo(photo, [patch()])
    luma = round(0.299 * RED[0] + 0.587 * RED[1] + 0.114 * RED[2])
    assert np.abs(painted.pixels[INSIDE].astype(int) - luma).max() <= 1


@pytest.mark.parametrize('channels', ['rb', 'rg'])
def test_what_is_painted_looks_the_same_in_any_profile(channels):
    first, second = (f'{name}XYZ'.encode() for name in channels)
    profile = SRGB.replace(first, b'_XYZ', 1).replace(second, first, 1)
    profile = profile.replace(b'_XYZ', second, 1)
    stored = colour_profiles.from_srgb(still(64, 96), profile, 'RGB')
    painted = paint_photo(WholePhoto(stored, profile=profile), [patch()])
    assert np.abs(painted.rgb[INSIDE].astype(int) - RED).max() <= 3
    np.testing.assert_array_equal(painted.pixels[:18], stored[:18])
    assert painted.profile == profile
    assert Image.fromarray(painted.pixels).mode == 'RGB'
