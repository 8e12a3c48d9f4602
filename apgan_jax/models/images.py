"""Pictures in the model: float32 NHWC, RGB in [-1, 1]; boundary maps in [0, 1], background 0."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from apgan_jax.face.alignment import Window

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


def arcface_window(crop: jax.Array, window: Window) -> jax.Array:
    """ArcFace's crop out of a larger one, differentiable: the input of every identity encoder.

    Resized to 112 px with half-pixel centres, antialiased when that shrinks it.

    Args:
      crop: float (n, size, size, 3).
      window: `arcface_window` of the crop's CropSpec.

    Returns:
      float32 (n, 112, 112, 3), the same range of values.
    """
    return resize_window(crop, window, ARCFACE_SIZE)


def hide_hair(faces: jax.Array, rows: int, columns: int) -> jax.Array:
    """ArcFace crops (n, 112, 112, 3) in [-1, 1] with black above and at the sides.

    Args:
      faces: the crops.
      rows: at the top, of 112.
      columns: at each side.
    """
    shown = np.zeros((ARCFACE_SIZE, ARCFACE_SIZE, 1), np.float32)
    shown[rows:, columns : ARCFACE_SIZE - columns] = 1
    return (faces + 1.0) * shown - 1.0


def move_pictures(
    pictures: jax.Array, offsets: jax.Array, most: int
) -> tuple[jax.Array, jax.Array]:
    """Shifts pictures by whole pixels; what comes in repeats the edge.

    Args:
      pictures: (n, h, w, c).
      offsets: int (n, 2), down and to the right, from -most to most.
      most: pixels.

    Returns:
      (moved (n, h, w, c), seen float32 (n, h, w, 1): 1 where that shows the picture, 0 at the edge
      that was repeated).
    """
    n, height, width, _ = pictures.shape
    around = ((0, 0), (most, most), (most, most), (0, 0))

    def cut(padded: jax.Array, offset: jax.Array) -> jax.Array:
        start = (most - offset[0], most - offset[1], 0)
        return jax.lax.dynamic_slice(padded, start, (height, width, padded.shape[-1]))

    moved = jax.vmap(cut)(jnp.pad(pictures, around, mode='edge'), offsets)
    seen = jax.vmap(cut)(jnp.pad(jnp.ones((n, height, width, 1)), around), offsets)
    return moved, seen


def near_features(boundary_map: jax.Array) -> jax.Array:
    """Where eyes, nose bridge and mouth are, with what is near them.

    Args:
      boundary_map: float (n, h, w, 3) in [0, 1].

    Returns:
      float (n, h, w, 1), 1 there and 0 elsewhere, with the map's own soft edges.
    """
    drawn = boundary_map.max(axis=-1, keepdims=True)
    side = 2 * (boundary_map.shape[1] // 32) + 1
    # Columns, then rows: the square at once compares side x side values, on one thread of a CPU.
    for window in ((1, side, 1, 1), (1, 1, side, 1)):
        drawn = jax.lax.reduce_window(drawn, -jnp.inf, jax.lax.max, window, (1, 1, 1, 1), 'SAME')
    return drawn


def resize_window(image: jax.Array, window: Window, size: int) -> jax.Array:
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
