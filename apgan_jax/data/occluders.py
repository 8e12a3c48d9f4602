"""Things painted by chance in front of a target's face, with the truth of what they cover.

A swap is to leave them as they are, so where they are the target itself is what the output should
be. No annotation is needed: what was painted is known.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from apgan_jax.data import occluders_held, occluders_worn, swatches
from apgan_jax.data.brush import Brush
from apgan_jax.data.outlines import rotated, rounded_box
from apgan_jax.face.face_plane import ring
from apgan_jax.face.landmarks import NUM_LANDMARKS

# How soft edges are at 128 px, standard deviation of a blur, pixels.
_SOFTNESS, _REFERENCE_SIZE = (0.35, 1.1), 128
# How often something else is in front of the face too.
_SECOND = 0.15


class CoveredFace(NamedTuple):
    """A picture with something in front of its face.

    Attributes:
      picture: RGB uint8 (h, w, 3).
      covers: float32 (h, w) in [0, 1], how much of each pixel is the thing's: that part of a swap
        should be `picture`. A tinted pane counts in full however much is seen through it, because
        it and what is behind are one; a clear one as far as it reflects. Where it is 0 the picture
        is unchanged.
    """

    picture: np.ndarray
    covers: np.ndarray


class Kind(NamedTuple):
    """One kind of things.

    Attributes:
      paint: paints one of them.
      weight: how often it is drawn, relative to the others.
    """

    paint: Callable[[Brush, np.random.Generator], None]
    weight: float


def paint_occluder(
    picture: np.ndarray,
    landmarks: np.ndarray,
    texture: np.ndarray,
    rng: np.random.Generator,
    kinds: Mapping[str, Kind] | None = None,
) -> CoveredFace:
    """Paints a thing, seldom two, in front of a face.

    Args:
      picture: RGB uint8 (h, w, 3), not changed.
      landmarks: (478, 2), pixels of `picture`; they may lie outside of it.
      texture: RGB uint8 (h, w, 3), another photo, of any size: patterns are cut from it.
      rng: decides everything: of the same state, the same thing is painted.
      kinds: of `KINDS`, those to draw from; None for all.
    """
    softness = rng.uniform(*_SOFTNESS) * picture.shape[0] / _REFERENCE_SIZE
    brush = Brush(picture, landmarks, texture, softness)
    drawn = tuple((kinds or KINDS).values())
    shares = np.cumsum([kind.weight for kind in drawn])
    for _ in range(2 if rng.random() < _SECOND else 1):
        number = np.searchsorted(shares, rng.random() * shares[-1], side='right')
        drawn[number].paint(brush, rng)
    return CoveredFace(brush.picture, brush.covers)


def paint_shape(brush: Brush, rng: np.random.Generator) -> None:
    """A polygon, an oval, a box, a bar or a blob anywhere on the face, in any colours."""
    place = brush.at(int(rng.integers(NUM_LANDMARKS))) + rng.normal(0, 0.15, 2)
    outline = rotated(_outline(rng), rng.uniform(0, 2 * np.pi))
    opacity = rng.uniform(0.55, 0.95) if rng.random() < 0.2 else 1.0
    rim = swatches.pick((0.0, rng.uniform(0.03, 0.2)), rng)
    brush.paint([place + outline], _any_swatch(brush, rng), opacity=opacity, rim=rim)


def _outline(rng: np.random.Generator) -> np.ndarray:
    """Of a shape about the origin, (n, 2)."""
    size = np.exp(rng.uniform(np.log(0.22), np.log(1.0)))
    kind = rng.integers(4)
    if kind == 0:
        return ring(size * rng.uniform(0.5, 1.2, int(rng.integers(3, 9))))
    if kind == 1:
        return rounded_box(
            size, size * rng.uniform(0.3, 1), swatches.pick((1.2, 2.0, 5.0, 20.0), rng)
        )
    if kind == 2:
        return rounded_box(rng.uniform(1, 4), size * 0.4, 20)
    return ring(size * _wavy(rng))


def _wavy(rng: np.random.Generator) -> np.ndarray:
    """Distances (32,) about 1 of the outline of a blob."""
    angles = np.arange(32) * 2 * np.pi / 32
    waves = np.arange(2, 6)
    phases, heights = rng.uniform(0, 2 * np.pi, 4), rng.uniform(0, 0.5, 4) / waves
    return 1 + (heights * np.cos(angles[:, None] * waves + phases)).sum(axis=1)


def _any_swatch(brush: Brush, rng: np.random.Generator) -> np.ndarray:
    """Another photo's pixels, or a colour: plain, in uneven light, with grain or stripes."""
    if rng.random() < 0.55:
        return swatches.of_photo(brush.texture, rng)
    colour = swatches.some_colour(rng)
    kind = rng.integers(4)
    if kind == 0:
        return swatches.flat(colour)
    if kind == 1:
        return swatches.striped([colour, swatches.some_colour(rng)], int(rng.integers(3, 12)))
    return (swatches.shaded, swatches.noisy)[kind - 2](colour, rng, rng.uniform(0.05, 0.3))


KINDS: Mapping[str, Kind] = {
    'shape': Kind(paint_shape, 3),
    'hand': Kind(occluders_held.paint_hand, 3),
    'held thing': Kind(occluders_held.paint_held_thing, 1),
    'microphone': Kind(occluders_held.paint_microphone, 1.5),
    'small thing': Kind(occluders_held.paint_small_thing, 1.5),
    'glasses': Kind(occluders_worn.paint_glasses, 3),
    'strands': Kind(occluders_worn.paint_strands, 2.5),
    'fringe': Kind(occluders_worn.paint_fringe, 1.5),
    'mask': Kind(occluders_worn.paint_mask, 1.5),
    'scarf': Kind(occluders_worn.paint_scarf, 1),
    'hat': Kind(occluders_worn.paint_hat, 1.5),
}
