"""Coordinates of a face, for what is drawn on it: x along the eyes, y down, from between the eyes.

Lengths are in distances between the eyes, so that what is drawn has the face's size and turns with
it. Points of a face are (n, 2); where an outline is closed, its last point is not its first again.
"""

import math

import numpy as np

from apgan_jax.face import landmarks as points

# Of the distance between eyes and mouth in a face seen from the front: that between the eyes.
_EYES_OF_HEIGHT = 0.85
# Shorter ones are no face, pixels.
_LEAST_UNIT = 1e-3


class FacePlane:
    """The coordinates of one face.

    Attributes:
      unit: pixels of the length 1.
    """

    def __init__(self, landmarks: np.ndarray, *, turned: bool = False) -> None:
        """Lays the plane through the eyes.

        Args:
          landmarks: (478, 2), pixels.
          turned: whether to allow for a head turned aside, whose eyes are near each other: 1 is
            then at least what it would be from the front, by how high the face is.
        """
        left, right = _centre(landmarks, points.LEFT_EYE), _centre(landmarks, points.RIGHT_EYE)
        self._middle, self._x = (left + right) / 2, right - left
        if turned:
            self._x = _at_least(self._x, _EYES_OF_HEIGHT * _height(landmarks, self._middle))
        self._y = np.array([-self._x[1], self._x[0]])
        self._landmarks = landmarks
        self.unit = float(np.linalg.norm(self._x))

    def at(self, landmark: int) -> np.ndarray:
        """A landmark in the face's coordinates, (2,)."""
        away = self._landmarks[landmark] - self._middle
        return np.array([away @ self._x, away @ self._y]) / self.unit**2

    def all_points(self) -> np.ndarray:
        """All landmarks in the face's coordinates, (478, 2)."""
        return (self._landmarks - self._middle) @ np.stack([self._x, self._y], 1) / self.unit**2

    def pixels(self, corners: np.ndarray) -> np.ndarray:
        """Points in the face's coordinates (n, 2) as pixels of the picture (n, 2)."""
        return self._middle + corners[:, :1] * self._x + corners[:, 1:] * self._y


def ring(radii: np.ndarray) -> np.ndarray:
    """Corners (n, 2) about the origin at these distances (n,), clockwise from the right."""
    angles = np.arange(len(radii)) * 2 * np.pi / len(radii)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _centre(landmarks: np.ndarray, of: tuple[int, ...]) -> np.ndarray:
    # As `mean`, in half the time.
    return landmarks[list(of)].sum(axis=0) / len(of)


def _height(landmarks: np.ndarray, eyes: np.ndarray) -> float:
    """From the eyes to the mouth, pixels."""
    mouth = _centre(landmarks, (points.LEFT_MOUTH_CORNER, points.RIGHT_MOUTH_CORNER))
    return math.hypot(*(mouth - eyes))


def _at_least(vector: np.ndarray, length: float) -> np.ndarray:
    """A vector (2,), lengthened where it is shorter; to the right where it has no direction."""
    own = math.hypot(*vector)
    direction = vector / own if own > _LEAST_UNIT else np.array([1.0, 0.0])
    return direction * max(own, length, _LEAST_UNIT)
