"""Paints shapes with soft edges in front of a face, and keeps account of what they cover.

Shapes are in the face's coordinates, see `face_plane`: corners (n, 2) are a filled polygon, a
`Line` is drawn along its path.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from apgan_jax.face import drawing
from apgan_jax.face.face_plane import FacePlane

# Where skin is seen on most faces, whatever hair they have: cheeks, nose, chin.
_SKIN = (50, 280, 117, 346, 205, 425, 197, 195, 199)
# How dark the rim of what is round becomes.
_RIM_LIGHT = 0.55
# Farther away nothing is drawn, pixels: OpenCV counts sixteenths of fine pixels in 32 bits.
_FAR = 1e6
# OpenCV's limit, fine pixels.
_THICKEST = 32_767


class Line(NamedTuple):
    """A line of even width with round ends.

    Attributes:
      path: (n, 2).
      width: in distances between the eyes.
      closed: whether it returns to where it began.
    """

    path: np.ndarray
    width: float
    closed: bool = False


Shape = np.ndarray | Line
# Rows and columns of a picture.
_Box = tuple[slice, slice]


class Brush:
    """A picture that is painted on.

    Attributes:
      picture: RGB uint8 (h, w, 3), what was painted so far.
      plane: the face's coordinates.
      texture: RGB uint8 (h, w, 3), another photo to take colours from.
    """

    def __init__(
        self, picture: np.ndarray, landmarks: np.ndarray, texture: np.ndarray, softness: float
    ) -> None:
        """Begins with the bare face.

        Args:
          picture: RGB uint8 (h, w, 3), not changed.
          landmarks: (478, 2), pixels.
          texture: RGB uint8 (h, w, 3), of any size.
          softness: of edges, standard deviation of a blur, pixels, more than 0.
        """
        self.picture = picture.copy()
        self.plane = FacePlane(landmarks, turned=True)
        self.texture = texture
        self._landmarks, self._points = landmarks, self.plane.all_points()
        self._softness = softness
        self._bare: np.ndarray = np.ones(picture.shape[:2], np.float32)

    @property
    def covers(self) -> np.ndarray:
        """How much of each pixel belongs to what was painted, float32 (h, w) in [0, 1]."""
        return 1 - self._bare

    @property
    def skin(self) -> np.ndarray:
        """The colour (3,) of the face's skin as the picture is now."""
        return self._colour(self._landmarks[list(_SKIN)])

    def at(self, *landmarks: int) -> np.ndarray:
        """The centre of some landmarks in the face's coordinates, (2,)."""
        return self._points[list(landmarks)].sum(axis=0) / len(landmarks)

    def colour_at(self, point: np.ndarray) -> np.ndarray:
        """The picture's colour (3,) about a point (2,) of the face, or that at its border."""
        around = point + 0.1 * np.array([[-1, -1], [-1, 1], [0, 0], [1, -1], [1, 1]])
        return self._colour(self.plane.pixels(around))

    def paint(
        self,
        shapes: Sequence[Shape],
        swatch: np.ndarray,
        *,
        opacity: float | np.ndarray = 1.0,
        rim: float = 0.0,
        clear: bool = False,
    ) -> None:
        """Paints shapes at once: where they overlap they are one.

        What shines through belongs to the shapes nevertheless: a pane and what is behind it. Behind
        a clear one it is the face, to be swapped.

        Args:
          shapes: what to paint.
          swatch: RGB uint8 (h, w, 3), stretched over the shapes' box in the picture.
          opacity: of the paint: a number in [0, 1], or uint8 (h, w), stretched likewise.
          rim: how broad a darker rim the shapes have, as if they were round; a length, 0 none.
          clear: whether only so much is covered as the paint is opaque.
        """
        if not shapes:
            # Of rimless glasses on a turned head, for instance.
            return
        # All shapes' at once: a call of NumPy costs more than what it does here.
        corners = np.concatenate([_corners(shape) for shape in shapes])
        pixels = np.clip(self.plane.pixels(corners), -_FAR, _FAR)
        box = self._box(shapes, pixels)
        area = self.picture[box]
        if not area.size:
            return
        mask = self._mask(shapes, pixels, box)
        colours = _stretched(swatch, mask.shape)
        if rim:
            colours = _rounded(colours, mask, rim * self.plane.unit)
        shown = _weakened(mask, opacity)
        self.picture[box] = cv2.add(_times(area, 255 - shown), _times(colours, shown))
        covered = shown if clear else mask
        self._bare[box] *= (255 - covered).astype(np.float32) / 255

    def _box(self, shapes: Sequence[Shape], pixels: np.ndarray) -> _Box:
        """Whatever of the picture the shapes and their soft edges may touch."""
        broadest = max(shape.width if isinstance(shape, Line) else 0.0 for shape in shapes)
        margin = broadest * self.plane.unit / 2 + 3 * self._softness + 1
        height, width = self._bare.shape
        left, top = (pixels.min(axis=0) - margin).tolist()
        right, bottom = (pixels.max(axis=0) + margin).tolist()
        return _clipped(top, bottom, height), _clipped(left, right, width)

    def _mask(self, shapes: Sequence[Shape], pixels: np.ndarray, box: _Box) -> np.ndarray:
        """How much of each pixel of a box the shapes cover, uint8 (h, w)."""
        rows, columns = box
        canvas = drawing.fine_canvas((rows.stop - rows.start, columns.stop - columns.start))
        fine = drawing.fixed_point(drawing.to_fine(pixels - (columns.start, rows.start)))
        first = 0
        for shape in shapes:
            last = first + len(_corners(shape))
            if isinstance(shape, Line):
                self._draw_line(canvas, fine[first:last], shape)
            else:
                cv2.fillPoly(canvas, [fine[first:last]], 255, shift=drawing.FRACTION_BITS)
            first = last
        side = 2 * max(1, round(1.8 * self._softness)) + 1
        return cv2.GaussianBlur(drawing.reduce_by_halves(canvas), (side, side), self._softness)

    def _draw_line(self, canvas: np.ndarray, points: np.ndarray, line: Line) -> None:
        fine = line.width * self.plane.unit * drawing.SUPERSAMPLING
        thickness = min(max(1, round(fine)), _THICKEST)
        cv2.polylines(canvas, [points], line.closed, 255, thickness, shift=drawing.FRACTION_BITS)

    def _colour(self, pixels: np.ndarray) -> np.ndarray:
        """The picture's median colour (3,) at some pixels (n, 2), the nearest ones in it."""
        height, width = self.picture.shape[:2]
        columns, rows = np.clip(np.rint(pixels), 0, (width - 1, height - 1)).astype(int).T
        return np.median(self.picture[rows, columns], axis=0)


def _corners(shape: Shape) -> np.ndarray:
    return shape.path if isinstance(shape, Line) else shape


def _clipped(first: float, last: float, length: int) -> slice:
    """The pixels from one place to another that a picture of a length has."""
    start = min(max(math.floor(first), 0), length)
    return slice(start, min(max(math.ceil(last) + 1, start), length))


def _stretched(swatch: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """A swatch as large as a box, by areas where it is larger."""
    shrinks = swatch.shape[0] > size[0] and swatch.shape[1] > size[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(swatch, (size[1], size[0]), interpolation=interpolation)


def _rounded(colours: np.ndarray, mask: np.ndarray, rim: float) -> np.ndarray:
    """Colours that become dark towards the edge of a mask (uint8), over `rim` pixels."""
    side = 2 * max(1, round(rim)) + 1
    inner = cv2.blur(mask, (side, side))
    light = cv2.convertScaleAbs(inner, alpha=1 - _RIM_LIGHT, beta=255 * _RIM_LIGHT)
    return _times(colours, light)


def _weakened(mask: np.ndarray, opacity: float | np.ndarray) -> np.ndarray:
    """How much of each pixel is paint, uint8 (h, w); see `Brush.paint`."""
    if isinstance(opacity, np.ndarray):
        return cv2.multiply(mask, _stretched(opacity, mask.shape), scale=1 / 255)
    return mask if opacity == 1 else cv2.convertScaleAbs(mask, alpha=opacity)


def _times(colours: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Colours (h, w, 3) times a part (h, w) of 255, rounded, both uint8; 255 leaves them as is."""
    # Much faster than floats, or than OpenCV's `blendLinear`.
    return cv2.multiply(colours, cv2.merge([part, part, part]), scale=1 / 255)
