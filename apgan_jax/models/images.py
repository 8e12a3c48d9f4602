"""Pictures in the model: float32 NHWC, RGB in [-1, 1]; boundary maps in [0, 1], background 0."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from apgan_jax.face.alignment import ARCFACE_WINDOW

ARCFACE_SIZE = 112


def normalise_image(image: jax.Array) -> jax.Array:
    """uint8 [0, 255] to float32 [-1, 1]."""
    return jnp.asarray(image, jnp.float32) / 127.5 - 1.0


def normalise_boundary_map(boundary_map: jax.Array) -> jax.Array:
    """uint8 [0, 255] to float32 [0, 1]."""
    return jnp.asarray(boundary_map, jnp.float32) / 255.0


def to_uint8(image: jax.Array) -> jax.Array:
    """float [-1, 1] to uint8 [0, 255], rounded, values outside clipped."""
    return jnp.round(jnp.clip((image + 1.0) * 127.5, 0, 255)).astype(jnp.uint8)


def area_downsample(image: jax.Array, factor: int) -> jax.Array:
    """Mean over factor x factor pixels of (n, h, w, c); h and w are multiples of factor."""
    if factor == 1:
        return image
    n, height, width, channels = image.shape
    blocks = image.reshape(n, height // factor, factor, width // factor, factor, channels)
    return blocks.mean(axis=(2, 4))


def space_to_depth(image: jax.Array, factor: int) -> jax.Array:
    """Puts factor x factor pixels into the channels of one, row after row.

    Args:
      image: (n, h, w, c); h and w are multiples of factor.
      factor: 1 changes nothing.

    Returns:
      (n, h / factor, w / factor, factor * factor * c).
    """
    if factor == 1:
        return image
    n, height, width, channels = image.shape
    blocks = image.reshape(n, height // factor, factor, width // factor, factor, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, height // factor, width // factor, -1)


def depth_to_space(image: jax.Array, factor: int) -> jax.Array:
    """The inverse of `space_to_depth`: (n, h, w, factor * factor * c) → factor times the size."""
    if factor == 1:
        return image
    n, height, width, _ = image.shape
    blocks = image.reshape(n, height, width, factor, factor, -1).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, height * factor, width * factor, -1)


def bilinear_upsample(image: jax.Array) -> jax.Array:
    """Doubles the height and width of (n, h, w, c), half-pixel centres."""
    n, height, width, channels = image.shape
    return jax.image.resize(image, (n, 2 * height, 2 * width, channels), 'bilinear')


def arcface_window(head_crop: jax.Array) -> jax.Array:
    """ArcFace's crop out of a head crop, differentiable: the input of every identity encoder.

    A fixed window (x in [0.14, 0.86], y in [0.128, 0.848] of the size), resized to 112 px
    with half-pixel centres, antialiased when that shrinks it.

    Args:
      head_crop: float (n, size, size, 3).

    Returns:
      float32 (n, 112, 112, 3), the same range of values.
    """
    return resize_window(head_crop, ARCFACE_WINDOW, ARCFACE_SIZE)


def resize_window(
    image: jax.Array, window: tuple[float, float, float, float], size: int
) -> jax.Array:
    """A part of square pictures, linearly resized, differentiable; antialiased where it shrinks.

    Args:
      image: float (n, h, h, c).
      window: left, top, right and bottom, in parts of the pictures' size.
      size: height and width of the result, pixels.

    Returns:
      float32 (n, size, size, c).
    """
    left, top, right, bottom = window
    rows = _resize_matrix(image.shape[1], top, bottom, size)
    columns = _resize_matrix(image.shape[1], left, right, size)
    # Rows first: for crops under 112 px that is the cheaper order.
    tall = jnp.einsum('oh,nhwc->nowc', rows, image.astype(jnp.float32))
    return jnp.einsum('pw,nowc->nopc', columns, tall)


@functools.cache
def _resize_matrix(size: int, start: float, stop: float, new_size: int) -> np.ndarray:
    """Linear interpolation of [start, stop] of `size` samples at `new_size` places, a matrix."""
    scale = new_size / ((stop - start) * size)
    centres = start * size + (np.arange(new_size) + 0.5) / scale
    support = max(1.0, 1.0 / scale)
    distance = np.abs(centres[:, None] - (np.arange(size) + 0.5)) / support
    weights = np.maximum(0.0, 1.0 - distance)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def image_grid(rows: list[np.ndarray]) -> np.ndarray:
    """Stacks rows of equally many pictures, uint8 (n, h, w, 3) each, to one (rows*h, n*w, 3)."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
