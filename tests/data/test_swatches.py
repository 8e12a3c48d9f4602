"""Swatches are small pictures about their colour."""

import numpy as np
import pytest

from apgan_jax.data import swatches

COLOUR = (120, 80, 40)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_flat_one_is_its_colour():
    np.testing.assert_array_equal(swatches.flat((0.4, 300, -5)), [[[0, 255, 0]]])


@pytest.mark.parametrize(
    'make', [swatches.shaded, swatches.noisy, swatches.streaked, swatches.pleated]
)
def test_light_changes_a_colour_by_its_spread(make, rng):
    swatch = make(COLOUR, rng, 0.1).astype(float)
    assert swatch.ndim == 3
    np.testing.assert_allclose(swatch.mean(axis=(0, 1)), COLOUR, rtol=0.12)
    assert 0 < (swatch[..., 0] / 120).std() < 0.2
    assert make(COLOUR, rng, 0.0).std(axis=(0, 1)).max() == 0


def test_stripes_take_turns():
    swatch = swatches.striped([COLOUR, (0, 0, 0)], 3)
    assert swatch.shape == (12, 1, 3)
    np.testing.assert_array_equal(swatch[[0, 3, 8, 11], 0], [COLOUR] * 4)
    assert not swatch[4:8].any()


def test_letters_are_ink_on_a_ground(rng):
    swatch = swatches.lettered((255, 255, 255), (0, 0, 0), rng)
    assert swatch.shape == (24, 84, 3)
    assert 0.05 < (swatch == 255).mean() < 0.6
    assert (swatch == 0).mean() > 0.3


@pytest.mark.parametrize('shape', [(128, 128, 3), (3, 50, 3), (1, 1, 3)])
def test_a_photo_gives_a_square_of_it(shape, rng):
    swatch = swatches.of_photo(np.full(shape, 100, np.uint8), rng)
    assert swatch.shape[0] == swatch.shape[1] and swatch.dtype == np.uint8
    assert swatch.min() >= 40 and swatch.max() <= 156


def test_chance_takes_every_colour(rng):
    drawn = np.array([swatches.one_of([(100, 0, 0), (0, 100, 0)], rng) for _ in range(50)])
    assert drawn[:, 0].any() and drawn[:, 1].any()
    assert drawn.sum(axis=1).min() >= 75 and drawn.sum(axis=1).max() <= 120
    assert {swatches.pick('abc', rng) for _ in range(50)} == set('abc')
    assert np.array([swatches.some_colour(rng) for _ in range(200)]).std() > 40
