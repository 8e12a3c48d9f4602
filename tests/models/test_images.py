import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apgan_jax.face.alignment import ARCFACE_WINDOWS, HEAD_V1_WINDOW
from apgan_jax.models import images


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_every_value_comes_back():
    values = np.arange(256, dtype=np.uint8)
    normalised = images.normalise_image(values)
    assert normalised.dtype == jnp.float32
    assert (float(normalised[0]), float(normalised[-1])) == (-1.0, 1.0)
    np.testing.assert_array_equal(images.to_uint8(normalised), values)


def test_boundary_maps_are_0_to_1():
    normalised = images.normalise_boundary_map(np.array([0, 51, 255], np.uint8))
    np.testing.assert_allclose(normalised, [0.0, 0.2, 1.0], rtol=1e-6)
    assert float(normalised[0]) == 0


def test_to_uint8_rounds_and_clips():
    image = jnp.array([-3.0, -1.0, -0.001, 0.0, 0.999, 1.0, 7.0])
    np.testing.assert_array_equal(images.to_uint8(image), [0, 0, 127, 128, 255, 255, 255])


def test_area_downsample_by_hand():
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    halved = images.area_downsample(image, 2)
    np.testing.assert_array_equal(halved[0, ..., 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(images.area_downsample(image, 4)[0, ..., 0], [[7.5]])
    assert images.area_downsample(image, 1) is image


def test_pixels_go_into_channels_and_back():
    image = jnp.arange(32.0).reshape(1, 4, 4, 2)
    deep = images.space_to_depth(image, 2)
    assert deep.shape == (1, 2, 2, 8)
    np.testing.assert_array_equal(deep[0, 0, 1], [4, 5, 6, 7, 12, 13, 14, 15])
    np.testing.assert_array_equal(images.depth_to_space(deep, 2), image)
    assert images.space_to_depth(image, 1) is images.depth_to_space(image, 1) is image


def test_bilinear_upsample_by_hand():
    row = images.bilinear_upsample(jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1))
    np.testing.assert_array_equal(row[0, :, :, 0], [[0, 1, 3, 4], [0, 1, 3, 4]])


@pytest.mark.parametrize('size', [(1, 1), (4, 4), (5, 7)])
def test_bilinear_upsample_is_jaxs(size):
    x = random_images(2, *size, 3)
    expected = jax.image.resize(x, (2, 2 * size[0], 2 * size[1], 3), 'bilinear')
    np.testing.assert_allclose(images.bilinear_upsample(x), expected, atol=1e-6)


@pytest.mark.parametrize('name', ARCFACE_WINDOWS)
@pytest.mark.parametrize('size', [64, 128, 256])
def test_arcface_window_is_jaxs_scale_and_translate(size, name):
    x = random_images(2, size, size, 3)
    left, top, right, bottom = ARCFACE_WINDOWS[name]
    scale = 112 / (size * np.array([bottom - top, right - left]))
    expected = jax.image.scale_and_translate(
        x,
        (2, 112, 112, 3),
        (1, 2),
        scale,
        -scale * size * np.array([top, left]),
        'linear',
        antialias=True,
    )
    window = images.arcface_window(x, ARCFACE_WINDOWS[name])
    assert window.shape == (2, 112, 112, 3)
    np.testing.assert_allclose(window, expected, atol=1e-4)


@pytest.mark.parametrize('size, tolerance', [(64, 1e-4), (128, 1e-4), (256, 0.1)])
def test_arcface_window_of_a_ramp_is_where_the_window_is(size, tolerance):
    """Values are places, pixels: the window's must be those of the template."""
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing='ij')
    ramp = np.stack([x, y, np.zeros_like(x)], axis=-1)[None].astype(np.float32)
    window = images.arcface_window(ramp, HEAD_V1_WINDOW)[0]
    places = (np.arange(112) + 0.5) / 112
    left, top, right, bottom = HEAD_V1_WINDOW
    expected_x = (left + places * (right - left)) * size - 0.5
    expected_y = (top + places * (bottom - top)) * size - 0.5
    np.testing.assert_allclose(window[50, :, 0], expected_x, atol=tolerance)
    np.testing.assert_allclose(window[:, 50, 1], expected_y, atol=tolerance)


def test_arcface_window_lets_the_gradient_through():
    def total(x):
        return images.arcface_window(x, HEAD_V1_WINDOW).sum()

    gradient = jax.grad(total)(jnp.zeros((1, 64, 64, 3)))
    # Each of the 112 x 112 values hands its weight of 1 to pixels of the window.
    assert float(gradient.sum()) == pytest.approx(3 * 112**2, rel=1e-4)
    assert float(jnp.abs(gradient[:, :7]).max()) == 0


def test_image_grid():
    rows = [np.full((2, 3, 4, 3), value, np.uint8) for value in (1, 2)]
    grid = images.image_grid(rows)
    assert grid.shape == (6, 8, 3)
    assert (grid[:3] == 1).all()
    assert (grid[3:] == 2).all()


def test_hair_is_hidden_by_black():
    faces = jnp.ones((2, 112, 112, 3))
    shown = np.asarray(images.hide_hair(faces, 30, 10))
    assert (shown[:, 30:, 10:-10] == 1).all()
    assert (shown[:, :30] == -1).all() and (shown[:, :, :10] == -1).all()
    assert (shown[:, :, -10:] == -1).all()
    np.testing.assert_array_equal(images.hide_hair(faces, 0, 0), faces)


def test_pictures_are_moved_by_their_offsets():
    pictures = np.random.default_rng(0).normal(size=(3, 6, 6, 2)).astype(np.float32)
    offsets = np.array([[0, 0], [2, -1], [-2, 2]])
    moved, seen = images.move_pictures(pictures, offsets, 2)
    np.testing.assert_array_equal(moved[0], pictures[0])
    assert np.asarray(seen[0]).all()
    # Down by two and one to the left.
    np.testing.assert_array_equal(moved[1, 2:, :5], pictures[1, :4, 1:])
    np.testing.assert_array_equal(moved[1, 0, :5], pictures[1, 0, 1:])
    assert np.asarray(seen[1, 2:, :5]).all() and np.asarray(seen[1]).sum() == 20
    np.testing.assert_array_equal(moved[2, :4, 2:], pictures[2, 2:, :4])


def test_what_is_near_features():
    boundary_map = np.zeros((1, 64, 64, 3), np.float32)
    boundary_map[0, 20, 30, 1] = 0.5
    near = np.asarray(images.near_features(boundary_map))[0, ..., 0]
    assert (near[18:23, 28:33] == 0.5).all() and near.sum() == 0.5 * 25
