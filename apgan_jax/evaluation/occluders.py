"""Things in front of a face, drawn over a target before it is swapped.

A swap should leave them as they are; how far it does is `metrics.occluder_error`. They are drawn by
the face's landmarks, lengths in distances between the eyes, and are plain: what counts is whether
they survive, not whether anybody would take them for real.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from apgan_jax.face import drawing
from apgan_jax.face import landmarks as points
from apgan_jax.face.face_plane import FacePlane, ring

# A part this opaque belongs to the occluder.
_OPAQUE = 0.5
_LENS_ALPHA = 0.85
_DARK, _GREY = (25, 25, 30), (70, 70, 75)


class Occluded(NamedTuple):
    """A picture with something in front of its face.

    Attributes:
      picture: RGB uint8 (h, w, 3).
      mask: bool (h, w), where the thing is.
    """

    picture: np.ndarray
    mask: np.ndarray


class _Brush:
    """A canvas in the coordinates of a face.

    Args:
      picture: RGB uint8 (h, w, 3).
      landmarks: (478, 2), pixels.
    """

    def __init__(self, picture: np.ndarray, landmarks: np.ndarray) -> None:
        self._plane = FacePlane(landmarks)
        self.at = self._plane.at
        self.picture: np.ndarray = picture.astype(np.float32)
        self.alpha: np.ndarray = np.zeros(picture.shape[:2], np.float32)

    def fill(self, corners: np.ndarray, colour: np.ndarray, alpha: float = 1.0) -> None:
        """A polygon (n, 2) in one colour (3,), or in a picture's colours (h, w, 3)."""
        self._paint(drawing.filled([self._plane.pixels(corners)], self.alpha.shape), colour, alpha)

    def line(self, corners: np.ndarray, colour: np.ndarray, width: float) -> None:
        """A line through points (n, 2), at least 3 pixels wide."""
        canvas = np.zeros(self.alpha.shape, np.uint8)
        thickness = max(3, round(width * self._plane.unit))
        pixels = drawing.fixed_point(self._plane.pixels(corners))
        cv2.polylines(canvas, [pixels], False, 1, thickness, shift=drawing.FRACTION_BITS)
        self._paint(canvas.astype(bool), colour, 1.0)

    def _paint(self, area: np.ndarray, colour: np.ndarray, alpha: float) -> None:
        colours = np.broadcast_to(np.asarray(colour, np.float32), self.picture.shape)[area]
        self.picture[area] += alpha * (colours - self.picture[area])
        self.alpha[area] = np.maximum(self.alpha[area], alpha)

    def done(self) -> Occluded:
        """What was drawn."""
        picture = np.clip(np.rint(self.picture), 0, 255).astype(np.uint8)
        return Occluded(picture, self.alpha >= _OPAQUE)


def draw_occluder(picture: np.ndarray, landmarks: np.ndarray, seed: int) -> Occluded:
    """Draws one of `OCCLUDERS` in front of a face; they take turns by the seed.

    Args:
      picture: RGB uint8 (h, w, 3), not changed.
      landmarks: (478, 2), pixels.
      seed: at least 0; the same one draws the same thing.
    """
    brush, rng = _Brush(picture, landmarks), np.random.default_rng(seed)
    OCCLUDERS[seed % len(OCCLUDERS)](brush, rng)
    return brush.done()


def _textured_shape(brush: _Brush, rng: np.random.Generator) -> None:
    """An opaque polygon over a cheek or the chin, stripes and noise on it."""
    height, width = brush.alpha.shape
    coarse = rng.uniform(0, 255, (6, 6, 3)).astype(np.float32)
    texture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    texture = np.clip(texture + rng.normal(0, 12, texture.shape), 0, 255)
    centre = np.array([rng.uniform(-0.8, 0.8), rng.uniform(0.4, 1.4)])
    brush.fill(centre + ring(rng.uniform(0.3, 0.5, 7)), texture)


def _hand(brush: _Brush, rng: np.random.Generator) -> None:
    """A blob in the colour of skin that comes from the side below, and its fingers."""
    side = rng.choice([-1.0, 1.0])
    skin = np.array([198, 150, 125]) * rng.uniform(0.5, 1.1)
    palm = np.array([side * 0.85, 1.6])
    brush.fill(palm + ring(rng.uniform(0.45, 0.55, 12)), skin)
    for finger in range(4):
        tip = np.array([side * (0.25 + 0.2 * finger), rng.uniform(0.7, 0.9)])
        brush.line(np.stack([palm, tip]), skin * (0.94 + 0.03 * finger), 0.2)


def _glasses(brush: _Brush, rng: np.random.Generator) -> None:
    """Frames without lenses."""
    _frames(brush, np.array(_DARK) + rng.uniform(0, 60))


def _sunglasses(brush: _Brush, rng: np.random.Generator) -> None:
    """Frames with dark, tinted lenses."""
    tint = np.array(_GREY) * rng.uniform(0.2, 1.0, 3)
    for lens in _lenses():
        brush.fill(lens, tint, _LENS_ALPHA)
    _frames(brush, np.array(_DARK))


def _strands(brush: _Brush, rng: np.random.Generator) -> None:
    """Strands of hair from above over forehead and brows."""
    colour = rng.choice([[30, 22, 18], [90, 60, 35], [190, 160, 110]])
    for x in rng.uniform(-0.8, 0.8, 9):
        bend, end = rng.uniform(-0.25, 0.25), rng.uniform(-0.35, -0.1)
        path = np.array([[x, -1.5], [x + bend / 2, -0.9], [x + bend, end]])
        brush.line(path, colour * rng.uniform(0.8, 1.2), 0.09)


def _microphone(brush: _Brush, rng: np.random.Generator) -> None:
    """A round head before the chin, and its handle."""
    mouth = (brush.at(points.LEFT_MOUTH_CORNER) + brush.at(points.RIGHT_MOUTH_CORNER)) / 2
    head = mouth + np.array([rng.uniform(-0.3, 0.3), 0.35])
    end = head + np.array([rng.uniform(-0.4, 0.4), 2.0])
    brush.line(np.stack([head, end]), np.array(_DARK), 0.22)
    brush.fill(head + ring(np.full(24, 0.3)), np.array(_GREY))


def _mask(brush: _Brush, rng: np.random.Generator) -> None:
    """A surgeon's mask over nose and mouth."""
    # Round the jaw, from the bridge of the nose.
    edge = (197, 117, 147, 172, 150, 152, 379, 397, 376, 346)
    corners = np.stack([brush.at(landmark) for landmark in edge])
    brush.fill(corners, np.array([150, 190, 205]) * rng.uniform(0.7, 1.2))


def _frames(brush: _Brush, colour: np.ndarray) -> None:
    for lens in _lenses():
        brush.line(np.concatenate([lens, lens[:1]]), colour, 0.09)
    brush.line(np.array([[-0.14, -0.05], [0.14, -0.05]]), colour, 0.09)
    for side in (-1.0, 1.0):
        brush.line(np.array([[side * 0.86, -0.08], [side * 1.2, -0.12]]), colour, 0.09)


def _lenses() -> list[np.ndarray]:
    oval = ring(np.ones(24)) * (0.36, 0.28)
    return [oval + np.array([side, 0.05]) for side in (-0.5, 0.5)]


OCCLUDERS: tuple[Callable[[_Brush, np.random.Generator], None], ...] = (
    _textured_shape,
    _hand,
    _glasses,
    _sunglasses,
    _strands,
    _microphone,
    _mask,
)
