import numpy as np
import pytest

from apgan_jax.metrics.ssim import ssim, ssim_within


def test_ssim_of_a_picture_with_itself_is_one_and_with_its_negative_low():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, 255 - picture) < -0.5


def test_ssim_of_constant_pictures_is_the_luminance_term():
    a, b = np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), abs=1e-4)


def test_within_a_mask_only_its_pixels_count():
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    other = picture.copy()
    other[:20] = 128
    below = np.zeros((40, 40), bool)
    below[30:] = True
    assert ssim_within(picture, other, below) == pytest.approx(1.0)
    assert ssim_within(picture, other, ~below) < 0.6
    everything = np.ones((40, 40), bool)
    assert ssim_within(picture, other, everything) == pytest.approx(ssim(picture, other), abs=0.05)
    assert ssim_within(picture, other, np.zeros((40, 40), bool)) is None
