"""Shapes with soft edges, for pictures and masks, and with hard ones, for counting pixels.

Soft ones are drawn on a finer canvas, area-reduced, to fractions of its pixels:
OpenCV's own anti-aliasing knows no line widths between whole pixels and widens what it fills.
"""

from collections.abc import Iterable

import cv2
import numpy as np

FRACTION_BITS = 4
# Pixels of a fine canvas along one of its picture.
SUPERSAMPLING = 4

# Of a picture: one number for a square, or (height, width).
Size = int | tuple[int, int]


def fine_canvas(size: Size, *channels: int) -> np.ndarray:
    """A canvas for a picture of (h, w, *channels), uint8, black."""
    height, width = _both(size)
    return np.zeros((SUPERSAMPLING * height, SUPERSAMPLING * width, *channels), np.uint8)


def to_fine(points: np.ndarray) -> np.ndarray:
    """Pixels of the picture (..., 2) to pixels of its fine canvas."""
    return (points + 0.5) * SUPERSAMPLING - 0.5


def fixed_point(coordinates: np.ndarray) -> np.ndarray:
    """As OpenCV draws with `shift=FRACTION_BITS`, int32."""
    return np.round(coordinates * 2**FRACTION_BITS).astype(np.int32)


def reduce(canvas: np.ndarray, size: Size) -> np.ndarray:
    """The picture of a fine canvas, uint8 (h, w) or (h, w, channels)."""
    height, width = _both(size)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


def reduce_by_halves(canvas: np.ndarray) -> np.ndarray:
    """What `reduce` makes but for rounding, in a sixth of the time: OpenCV is fast at halves.

    Args:
      canvas: a fine canvas, uint8.

    Returns:
      uint8 (h, w), or (h, w, channels).
    """
    size = canvas.shape[1] // SUPERSAMPLING, canvas.shape[0] // SUPERSAMPLING
    half = cv2.resize(canvas, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_AREA)
    return cv2.resize(half, size, interpolation=cv2.INTER_AREA)


def filled(polygons: Iterable[np.ndarray], size: Size) -> np.ndarray:
    """The pixels within any of some polygons (n, 2), pixels; bool (h, w)."""
    canvas = np.zeros(_both(size), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(canvas, [fixed_point(polygon)], 1, shift=FRACTION_BITS)
    return canvas.astype(bool)


def _both(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
