"""Colours to sRGB and back; what is no profile is known before it is used."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from apgan_jax.files import colour_profiles
from support.video_clips import still

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()


def exchanged():
    """sRGB with red and blue in each other's place of the profile's table."""
    return SRGB.replace(b'rXYZ', b'_XYZ', 1).replace(b'bXYZ', b'rXYZ', 1).replace(b'_XYZ', b'bXYZ')


def test_there_and_back():
    picture = still(64, 96)
    there = colour_profiles.from_srgb(picture, exchanged(), 'RGB')
    assert np.abs(there[:, :, ::-1].astype(int) - picture).max() <= 2
    back = colour_profiles.to_srgb(Image.fromarray(there), exchanged())
    assert np.abs(back.astype(int) - picture).max() <= 2


@pytest.mark.parametrize(
    ('profile', 'mode', 'expected'),
    [(SRGB, 'RGB', True), (SRGB, 'L', False), (SRGB[:200], 'RGB', False), (b'', 'RGB', False)],
)
def test_what_is_usable(profile, mode, expected):
    assert colour_profiles.is_usable(profile, mode) == expected
