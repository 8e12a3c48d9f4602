"""Steadying generated faces along the target's motion."""

import cv2
import numpy as np
import pytest

from apgan_jax.inference.steadying import FaceSteadier

SIZE = 128


@pytest.fixture
def texture():
    """Larger than a crop, with detail that flow can follow; uint8 (160, 160, 3)."""
    noise = np.random.default_rng(0).uniform(0, 255, (160, 160, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(soft, soft, 60, 190, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.fixture
def shade():
    """What a generator adds, slowly changing over the picture; float32 (160, 160, 3)."""
    y, x = np.mgrid[:160, :160].astype(np.float32)
    return np.stack([20 * np.sin(x / 15), 20 * np.cos(y / 15), 15 * np.sin((x + y) / 20)], axis=-1)


def cut(picture, left):
    return picture[8 : 8 + SIZE, left : left + SIZE]


def added(target, shade, level=0.0):
    return np.clip(np.rint(target + shade + level), 0, 255).astype(np.uint8)


def inside(picture):
    return picture[16:-16, 16:-16].astype(float)


def test_the_first_frame_stays_as_it_is(texture, shade):
    target = cut(texture, 0)
    generated = added(target, cut(shade, 0))
    np.testing.assert_array_equal(FaceSteadier()(target, generated), generated)


def test_what_is_steady_already_stays_as_it_is(texture, shade):
    steadier, target = FaceSteadier(), cut(texture, 0)
    generated = added(target, cut(shade, 0))
    for _ in range(5):
        result = steadier(target, generated)
    np.testing.assert_array_equal(result, generated)


def test_flicker_goes_and_motion_stays(texture, shade):
    """The picture moves by a pixel a frame, and the generated one's level by 10 up and down."""
    steadier = FaceSteadier()
    before, after = [], []
    for number in range(12):
        target, clean = cut(texture, number), added(cut(texture, number), cut(shade, number))
        generated = added(target, cut(shade, number), 10.0 if number % 2 else -10.0)
        result = steadier(target, generated)
        before.append((inside(generated) - inside(clean)).mean())
        after.append((inside(result) - inside(clean)).mean())
        # The detail is where this frame has it.
        assert np.abs(inside(result) - inside(clean) - after[-1]).mean() < 2
    assert np.abs(np.diff(before)).min() > 19
    assert np.abs(np.diff(after)).max() < 4


def test_a_change_of_light_goes_through_in_the_same_frame(texture, shade):
    steadier, target = FaceSteadier(), cut(texture, 0)
    steadier(target, added(target, cut(shade, 0)))
    brighter = added(target, 12)
    generated = added(brighter, cut(shade, 0))
    result = steadier(brighter, generated)
    assert np.abs(inside(result) - inside(generated)).max() <= 3


def test_what_opens_in_the_target_opens_in_the_same_frame(texture):
    """The target's mouth by a shadow, the generated one's by another; both from one frame on."""
    steadier, target = FaceSteadier(), cut(texture, 0)
    skin = np.full_like(target, 150)
    steadier(target, skin)
    mouth = np.s_[84:94, 44:84]
    opened, generated = target.copy(), skin.copy()
    opened[mouth] //= 4
    generated[mouth] = 30
    result = steadier(opened, generated)
    assert np.abs(result[mouth].astype(int) - 30).mean() < 6
    assert np.abs(result.astype(int) - generated).mean() < 3


def test_the_target_does_not_shine_through(texture):
    """Somebody moves as flow cannot tell; what was generated is plain, and stays so."""
    steadier, plain = FaceSteadier(), np.full((SIZE, SIZE, 3), 120, np.uint8)
    changes = np.random.default_rng(1)
    for _ in range(6):
        target = cut(texture, 0).copy()
        top, left = changes.integers(20, 80, 2)
        target[top : top + 20, left : left + 20] = cut(texture, 30)[:20, :20]
        result = steadier(target, plain)
    detail = result - cv2.GaussianBlur(result.astype(np.float32), (0, 0), 6)
    assert np.abs(detail).max() < 4


def test_fine_detail_is_the_frames_own(texture):
    steadier, target = FaceSteadier(), cut(texture, 0)
    steadier(target, target)
    checks = 20.0 * (np.indices((SIZE, SIZE)).sum(axis=0) % 2 - 0.5)[..., None]
    generated = added(target, checks)
    result = steadier(target, generated)
    assert np.abs(inside(result) - inside(generated)).max() <= 2


def test_another_scene_begins_anew(texture, shade):
    steadier, target = FaceSteadier(), cut(texture, 0)
    steadier(target, added(target, cut(shade, 0)))
    other = cv2.flip(255 - target, -1)
    generated = added(other, -cut(shade, 0))
    np.testing.assert_array_equal(steadier(other, generated), generated)
    # And is what the next frame is held against.
    np.testing.assert_array_equal(steadier(other, generated), generated)
