import dataclasses

import numpy as np
import pytest

from apgan_jax.data.augmentation import NO_JITTER, SourceJitter, change_colours, move
from apgan_jax.errors import UserError

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def picture():
    """Neither very dark nor very bright, so that nothing is clipped."""
    return np.random.default_rng(0).integers(80, 170, (24, 32, 3), np.uint8)


def test_factors_of_one_change_nothing(picture):
    np.testing.assert_array_equal(change_colours(picture, 1.0, 1.0, 1.0), picture)
    np.testing.assert_array_equal(move(picture, degrees=0, scale=1, shift=np.zeros(2)), picture)


def test_brightness_scales_the_values(picture):
    np.testing.assert_allclose(change_colours(picture, 1.2, 1.0, 1.0), 1.2 * picture, atol=0.51)


def test_contrast_keeps_the_mean_luma_and_scales_the_distance_from_it(picture):
    changed = change_colours(picture, 1.0, 0.5, 1.0)
    mean = (picture @ LUMA).mean()
    np.testing.assert_allclose(changed, mean + 0.5 * (picture - mean), atol=0.51)


def test_without_saturation_the_luma_is_left(picture):
    grey = change_colours(picture, 1.0, 1.0, 0.0)
    np.testing.assert_allclose(grey, np.repeat((picture @ LUMA)[..., None], 3, -1), atol=0.51)


def test_values_are_clipped(picture):
    assert change_colours(picture, 4.0, 1.0, 1.0).max() == 255


def test_a_quarter_turn_is_exact():
    square = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    turned = move(square, degrees=90, scale=1, shift=np.zeros(2))
    np.testing.assert_array_equal(turned, np.rot90(square))


def test_shifts_are_parts_of_the_size_to_the_right_and_down(picture):
    moved = move(picture, degrees=0, scale=1, shift=np.array([2 / 32, 3 / 24]))
    np.testing.assert_array_equal(moved[3:, 2:], picture[:-3, :-2])


def test_a_scale_above_one_enlarges_about_the_centre():
    picture = np.zeros((33, 33, 3), np.uint8)
    picture[12:21, 12:21] = 255
    assert (move(picture, degrees=0, scale=2, shift=np.zeros(2)) > 127).mean() == pytest.approx(
        4 * 81 / 33**2, rel=0.15
    )


def test_jitter_of_nothing_draws_nothing(picture):
    rng = np.random.default_rng(0)
    assert NO_JITTER.apply(picture, rng) is picture
    assert rng.random() == np.random.default_rng(0).random()


def test_each_change_leaves_the_draws_of_the_others_alone(picture):
    """So that switching one on does not change what another does."""
    turned = SourceJitter(rotation=10).apply(picture, np.random.default_rng(3))
    both = SourceJitter(brightness=0.2, rotation=10).apply(picture, np.random.default_rng(3))
    ratio = both.astype(float).mean() / turned.mean()
    np.testing.assert_allclose(both, turned * ratio, atol=3)


@pytest.mark.parametrize('field', [field.name for field in dataclasses.fields(SourceJitter)])
def test_every_change_stays_in_its_range_and_happens(picture, field):
    jitter = SourceJitter(**{field: 0.2})
    changed = [jitter.apply(picture, np.random.default_rng(seed)) for seed in range(8)]
    assert any((one != picture).any() for one in changed) or field == 'rotation'
    assert len({one.tobytes() for one in changed}) > 1
    for one in changed:
        assert (one.shape, one.dtype) == (picture.shape, np.uint8)
    if field == 'brightness':
        ratios = [one.mean() / picture.mean() for one in changed]
        assert 0.8 <= min(ratios) < 1 < max(ratios) <= 1.2


@pytest.mark.parametrize(
    'fields, message',
    [
        ({'brightness': -0.1}, r'brightness=-0\.1: must be at least 0 and less than 1'),
        ({'scale': 1.0}, r'scale=1\.0: .*less than 1'),
        ({'rotation': 180.0}, r'rotation=180\.0: .*less than 180'),
    ],
)
def test_impossible_ranges_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        SourceJitter(**fields)
