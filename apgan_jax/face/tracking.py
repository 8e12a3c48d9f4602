"""Steadiness over the frames of a video."""

import numpy as np

from apgan_jax.face.landmarks import LEFT_EYE, RIGHT_EYE


class LandmarkSmoother:
    """One Euro filter (Casiez et al., CHI 2012): still points stand still, fast ones are not held.

    A face that jumps by more than half its eye distance, or comes back after a gap, starts afresh.

    Args:
      min_cutoff: of a face at rest, hertz.
      speed_gain: hertz added for a speed of one eye distance a second.
    """

    _SPEED_CUTOFF = 4.0
    _LONGEST_GAP_SECONDS = 0.5

    def __init__(self, *, min_cutoff: float = 1.0, speed_gain: float = 8.0) -> None:
        self._min_cutoff = min_cutoff
        self._speed_gain = speed_gain
        self._points: np.ndarray | None = None
        self._raw = self._speed = np.zeros(0)
        self._time = 0.0

    def __call__(self, landmarks: np.ndarray, time_seconds: float) -> np.ndarray:
        """Smooths landmarks (478, 2), pixels, seen at this time; the same shape."""
        points = np.asarray(landmarks, np.float64)
        scale = _eye_distance(points)
        if self._points is None or self._is_new(points, time_seconds, scale):
            self._points, self._speed = points, np.zeros_like(points)
        else:
            elapsed = time_seconds - self._time
            speed = (points - self._raw) / elapsed
            self._speed += _weight(self._SPEED_CUTOFF, elapsed) * (speed - self._speed)
            relative = np.linalg.norm(self._speed, axis=1, keepdims=True) / scale
            cutoff = self._min_cutoff + self._speed_gain * relative
            self._points = self._points + _weight(cutoff, elapsed) * (points - self._points)
        self._raw, self._time = points, time_seconds
        return self._points.astype(np.float32)

    def reset(self) -> None:
        """Forgets the face: the next one starts afresh."""
        self._points = None

    def _is_new(self, points: np.ndarray, time_seconds: float, scale: float) -> bool:
        elapsed = time_seconds - self._time
        moved = np.linalg.norm(points.mean(axis=0) - self._raw.mean(axis=0))
        return not 0 < elapsed <= self._LONGEST_GAP_SECONDS or bool(moved > 0.5 * scale)


def _weight(cutoff: np.ndarray | float, elapsed: float) -> np.ndarray | float:
    """Of the new value, for a first-order low pass of this cutoff (hertz)."""
    return 1.0 / (1.0 + 1.0 / (2.0 * np.pi * cutoff * elapsed))


def _eye_distance(points: np.ndarray) -> float:
    centres = [points[list(eye)].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    return max(float(np.linalg.norm(centres[0] - centres[1])), 1e-6)
