"""Shapes with soft edges, for pictures and masks, and with hard ones, for counting pixels.

Soft ones are drawn on a finer canvas, area-reduced, to fractions of its pixels:
OpenCV's own anti-aliasing knows no line widths between whole pixels and widens what it fills.
"""

from collections.abc import Iterable

import cv2
import numpy as np

FRACTION_BITS = 4
_SUPERSAMPLING = 4

# Of a picture: one number for a square, or (height, width).
Size = int | tuple[int, int]


def fine_canvas(size: int, *channels: int) -> np.ndarray:
    """A canvas for a picture of (size, size, *channels), uint8, black."""
    return np.zeros((_SUPERSAMPLING * size, _SUPERSAMPLING * size, *channels), np.uint8)


def to_fine(points: np.ndarray) -> np.ndarray:
    """Pixels of the picture (..., 2) to pixels of its fine canvas."""
    return (points + 0.5) * _SUPERSAMPLING - 0.5


def fixed_point(coordinates: np.ndarray) -> np.ndarray:
    """As OpenCV draws with `shift=FRACTION_BITS`, int32."""
    return np.round(coordinates * 2**FRACTION_BITS).astype(np.int32)


def reduce(canvas: np.ndarray, size: int) -> np.ndarray:
    """The picture of a fine canvas, uint8 (size, size) or (size, size, channels)."""
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def filled(polygons: Iterable[np.ndarray], size: Size) -> np.ndarray:
    """The pixels within any of some polygons (n, 2), pixels; bool (h, w)."""
    canvas = np.zeros((size, size) if isinstance(size, int) else size, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(canvas, [fixed_point(polygon)], 1, shift=FRACTION_BITS)
    return canvas.astype(bool)
