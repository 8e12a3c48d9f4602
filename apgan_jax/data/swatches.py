"""Small pictures that a brush stretches over what it paints: colours, light on them, patterns.

A swatch is RGB uint8 (h, w, 3) of any size. A colour is three numbers in [0, 255], RGB.
"""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np

Colour = Sequence[float] | np.ndarray
T = TypeVar('T')

# Rows of a stripe: stretched smoothly, its edges are a part of this of it.
_SHARPNESS = 4


def flat(colour: Colour) -> np.ndarray:
    """One colour, (1, 1, 3)."""
    return _swatch(np.asarray(colour, np.float64)[None, None])


def shaded(colour: Colour, rng: np.random.Generator, spread: float = 0.1) -> np.ndarray:
    """A colour in uneven light, (4, 4, 3).

    Args:
      colour: its mean.
      rng: of the light.
      spread: standard deviation of the light, part of its mean.
    """
    return _lit(colour, rng.normal(1, spread, (4, 4)))


def noisy(colour: Colour, rng: np.random.Generator, spread: float = 0.15) -> np.ndarray:
    """A colour with grain, as of wool or foam, (24, 24, 3); arguments as of `shaded`."""
    return _lit(colour, rng.normal(1, spread, (24, 24)))


def streaked(colour: Colour, rng: np.random.Generator, spread: float = 0.2) -> np.ndarray:
    """A colour with streaks from top to bottom, as of hair, (3, 48, 3); as `shaded`."""
    return _lit(colour, rng.normal(1, spread, (1, 48)) + rng.normal(0, spread / 2, (3, 48)))


def pleated(colour: Colour, rng: np.random.Generator, spread: float = 0.06) -> np.ndarray:
    """A colour with folds from side to side, (10, 3, 3); as `shaded`."""
    return _lit(colour, rng.normal(1, spread, (10, 1)) + rng.normal(0, spread / 2, (10, 3)))


def striped(colours: Sequence[Colour], count: int) -> np.ndarray:
    """Stripes from side to side, the colours in turn, (4 count, 1, 3)."""
    turns = np.array([colours[stripe % len(colours)] for stripe in range(count)])
    return _swatch(np.repeat(turns[:, None], _SHARPNESS, axis=0))


def lettered(colour: Colour, ground: Colour, rng: np.random.Generator) -> np.ndarray:
    """A word in letters of no alphabet on a ground, (24, 84, 3)."""
    canvas = np.broadcast_to(flat(ground), (24, 84, 3)).copy()
    ink = tuple(float(value) for value in colour)
    # Three strokes each: OpenCV's own letters take milliseconds and differ between versions.
    letters = rng.integers((0, 4), (9, 20), (6, 4, 2)) + np.arange(4, 84, 13)[:6, None, None] * (
        1,
        0,
    )
    cv2.polylines(canvas, list(letters.astype(np.int32)), False, ink, 2, cv2.LINE_AA)
    return canvas


def of_photo(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square of a photo, turned by right angles and tinted.

    Args:
      photo: RGB uint8 (h, w, 3).
      rng: of place, side, turn and tint.
    """
    side = max(1, round(min(photo.shape[:2]) * rng.uniform(0.15, 0.8)))
    top, left = (int(rng.integers(length - side + 1)) for length in photo.shape[:2])
    tint = rng.uniform(0.5, 1.3) * rng.uniform(0.8, 1.2, 3)
    window = np.rot90(photo[top : top + side, left : left + side], int(rng.integers(4)))
    return cv2.transform(np.ascontiguousarray(window), np.diag(tint))


def some_colour(rng: np.random.Generator) -> np.ndarray:
    """Any colour (3,), as often pale as strong."""
    return rng.uniform(10, 245) + (rng.uniform(10, 245, 3) - 128) * pick((0.15, 1.0), rng)


def pick(options: Sequence[T], rng: np.random.Generator) -> T:
    """One of several things, which `rng.choice` would make an array of first."""
    return options[int(rng.integers(len(options)))]


def one_of(colours: Sequence[Colour], rng: np.random.Generator) -> np.ndarray:
    """One of some colours (3,), a little lighter or darker."""
    return np.asarray(pick(colours, rng), np.float64) * rng.uniform(0.75, 1.2)


def _lit(colour: Colour, light: np.ndarray) -> np.ndarray:
    return _swatch(light[..., None] * np.asarray(colour, np.float64))


def _swatch(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
