"""Landmarks that stand still on a still face and do not lag behind a moving one.

Points are complex numbers x + iy here. A face is split into the similarity that the crop is cut by
and its shape, what remains of the expression. Both go through the same filter, the shape's eyes and
lips over fewer frames; so the crop is as steady as its similarity, whatever the lips do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from apgan_jax.face import landmarks as points
from apgan_jax.face.alignment import ARCFACE_TEMPLATE

# A blink is over in four frames: whatever their noise, lids and lips see their neighbours only.
_MOBILE_REACH = 2
_MOBILE = sorted(
    {
        *(*points.LEFT_EYE, *points.RIGHT_EYE, *points.LEFT_IRIS, *points.RIGHT_IRIS),
        *(*points.OUTER_LIP, *points.INNER_LIP),
    }
)
# The noise of a coordinate, as a part of the face's unit: at first, and the bounds within which a
# measurement is believed. MediaPipe's own smoothing of a lone face hides noise but drifts a little,
# and a camera held in the hand shakes the face in truth.
_FIRST_NOISE, _MIN_NOISE, _MAX_NOISE = 0.006, 0.0035, 0.012
_FOURTH_DIFFERENCE = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
_NOISE_GAIN = 0.05


class FaceSmoother:
    """Smooths the landmarks of one face, frame after frame, with a look at the frames to come."""

    def __init__(self) -> None:
        self._motion = _SteadyFilter()
        self._shape = _SteadyFilter()

    def __call__(self, window: Sequence[np.ndarray], centre: int) -> np.ndarray:
        """Smooths one frame; call it for consecutive frames.

        Args:
          window: landmarks (478, 2) of consecutive frames, some before and some after the one that
            is wanted.
          centre: which one is wanted.

        Returns:
          float32 (478, 2).
        """
        place, unit, shapes = _split(_complex(np.stack(window)))
        motion = np.stack([place, unit], axis=1)
        place_and_unit = self._motion(motion, centre, scale=float(np.abs(unit[centre])))
        shape = self._shape(shapes, centre, reach=_REACH)
        # Five points smoothed each by itself have a similarity of their own, which would shake.
        _, _, shape = _split(shape[None])
        face = shape[0] * place_and_unit[1] + place_and_unit[0]
        return np.stack([face.real, face.imag], axis=-1).astype(np.float32)

    def state(self) -> dict[str, Any]:
        """What it remembers, as JSON values and arrays, none of which changes later."""
        return {'motion': self._motion.state(), 'shape': self._shape.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what `state` gave."""
        self._motion.restore(state['motion'])
        self._shape.restore(state['shape'])


def _split(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Complex faces (n, 478) = unit * shape + place, by `estimate_crop_from_frame`'s similarity.

    Returns:
      place (n,), unit (n,), pixels per root mean square radius of the template, and shape (n, 478).
    """
    eyes = [faces[:, list(eye)].mean(axis=1) for eye in (points.LEFT_EYE, points.RIGHT_EYE)]
    five = np.stack([*eyes, *faces[:, _NOSE_AND_MOUTH].T], axis=1)
    place = five.mean(axis=1)
    five -= place[:, None]
    unit = np.sum(np.abs(five) ** 2, axis=1) / np.sum(five.conj() * _TEMPLATE, axis=1)
    return place, unit, (faces - place[:, None]) / unit[:, None]


class _SteadyFilter:
    """An average over the neighbours that differ by no more than noise, then some play.

    With play the output rests until the average has left it by more than noise explains; a trend
    through the window takes the play away, so that nothing lags.
    """

    _SIMILAR = 1.6  # standard deviations of noise within which frames are averaged
    _PLAY = 1.6
    _TREND = 2.0  # from where on, in standard deviations of noise, a trend is believed

    def __init__(self) -> None:
        self._variance: np.ndarray | float = _FIRST_NOISE**2
        self._value: np.ndarray | None = None

    def __call__(
        self,
        window: np.ndarray,
        centre: int,
        *,
        scale: float = 1.0,
        reach: np.ndarray | None = None,
    ) -> np.ndarray:
        """Smooths signals, complex (frames, n), at `centre`; complex (n,).

        Args:
          window: consecutive values of the signals.
          centre: which of them is wanted.
          scale: the face's unit, of which noise is a part.
          reach: over how many frames before and after each signal is averaged; all by default.
        """
        noise = scale * self._noise(window / scale, centre)
        steps = np.arange(len(window)) - centre
        slope = _slope(steps, window)
        # How far the window's second half lies from its first, more than noise explains.
        moving = np.clip(np.abs(slope) * len(window) / 2 / noise - self._TREND, 0, 1)
        still = window - steps[:, None] * (moving * slope)
        first = self._value is None
        mean = self._mean(still, centre, noise * (1 + 2 * first), reach)
        if self._value is None:
            self._value = mean
        play = self._PLAY * noise * (1 - moving)
        away = self._value - mean
        distance = np.maximum(np.abs(away), 1e-9)
        # Within the play: rest. From there to twice the play: less and less of it is left.
        left = np.clip(2 * play - distance, 0, distance)
        self._value = mean + away * (left / distance)
        return self._value

    def state(self) -> dict[str, Any]:
        """The noise and the value of the last frame; complex numbers as pairs."""
        value = None if self._value is None else self._value.copy().view(np.float64)
        return {'variance': np.copy(self._variance), 'value': value}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what `state` gave."""
        value = state['value']
        self._variance = state['variance']
        self._value = None if value is None else value.view(np.complex128)

    def _mean(
        self, window: np.ndarray, centre: int, noise: np.ndarray, reach: np.ndarray | None
    ) -> np.ndarray:
        difference = np.abs(window - window[centre]) / (self._SIMILAR * noise)
        weight = np.exp(-0.5 * difference**2)
        if reach is not None:
            weight *= np.abs(np.arange(len(window)) - centre)[:, None] <= reach
        return (weight * window).sum(axis=0) / weight.sum(axis=0)

    def _noise(self, window: np.ndarray, centre: int) -> np.ndarray:
        """Standard deviations (n,) of a coordinate; fourth differences hardly see smooth motion."""
        if 2 <= centre < len(window) - 2:
            difference = (
                np.abs(_weighted_sum(_FOURTH_DIFFERENCE, window[centre - 2 : centre + 3])) ** 2
            )
            variance = difference / (2 * np.sum(_FOURTH_DIFFERENCE**2))
            if len(variance) == points.NUM_LANDMARKS:
                # Lids and lips that move in truth must not pass for noisy ones.
                variance = np.median(variance)
            news = np.minimum(variance, 9 * self._variance) - self._variance
            self._variance = np.clip(
                self._variance + _NOISE_GAIN * news, _MIN_NOISE**2, _MAX_NOISE**2
            )
        return np.sqrt(self._variance) * np.ones(window.shape[1])


def _slope(steps: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Of the straight lines through a window's signals (frames, n), a frame; complex (n,)."""
    centred = steps - steps.mean()
    return _weighted_sum(centred, window) / max(float(np.sum(centred**2)), 1.0)


def _weighted_sum(weights: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Over the frames of a window (frames, n); complex (n,)."""
    # As a matrix product it would wake the threads of BLAS, which then spin for 15 ms a frame.
    return np.sum(weights[:, None] * window, axis=0)


def _complex(landmarks: np.ndarray) -> np.ndarray:
    landmarks = np.asarray(landmarks, np.float64)
    return landmarks[..., 0] + 1j * landmarks[..., 1]


def _template() -> np.ndarray:
    """The five points that crops are cut by, complex (5,), mean 0 and mean square radius 1."""
    five = _complex(ARCFACE_TEMPLATE)
    five -= five.mean()
    return five / np.sqrt(np.mean(np.abs(five) ** 2))


_REACH = np.full(points.NUM_LANDMARKS, np.inf)
_REACH[_MOBILE] = _MOBILE_REACH
_TEMPLATE = _template()
_NOSE_AND_MOUTH = [points.NOSE_TIP, points.LEFT_MOUTH_CORNER, points.RIGHT_MOUTH_CORNER]
