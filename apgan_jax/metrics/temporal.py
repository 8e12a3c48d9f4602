"""Temporal continuity and stability of one swapped sequence (paper IV-C): AEE and FWE together."""

import dataclasses
from typing import NamedTuple

import numpy as np

from apgan_jax.metrics.aee import endpoint_error
from apgan_jax.metrics.fwe import visible, warping_error
from apgan_jax.networks.flow import Flow


@dataclasses.dataclass(frozen=True)
class TemporalErrors:
    """Errors of one frame against earlier ones, or their means over a sequence.

    None where an error is not defined: nothing of the earlier frame is visible, or there are no
    frames to take a mean of.

    Attributes:
      aee: end-point error, pixels a frame.
      fwe: flow warping error of the swapped sequence, `fwe_short + fwe_long` (eq. 15), in [0, 2].
      fwe_short: E_warp(Y_t, Y_{t-1}) (eq. 14), in [0, 1].
      fwe_long: E_warp(Y_t, Y_1).
      fwe_target: as `fwe`, of the original, to compare with: what flow, light and noise leave of a
        video that nobody swapped.
    """

    aee: float | None
    fwe: float | None
    fwe_short: float | None
    fwe_long: float | None
    fwe_target: float | None


class TemporalMeter:
    """Measures the frames of one sequence as they come; keeps the first and the last one.

    AEE compares the flows t - 1 → t of the original and of the swapped sequence. FWE warps with the
    original's flows and takes visibility from them, for both sequences (paper IV-C).

    Args:
      flow: finds optical flow, up to five times a frame.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._first: _Frame | None = None
        self._last: _Frame | None = None

    def add(self, target: np.ndarray, swapped: np.ndarray) -> TemporalErrors | None:
        """Measures the next frame.

        Args:
          target: the original's, cut to the sequence's area: RGB uint8 (h, w, 3).
          swapped: the same of the swapped video.

        Returns:
          The frame's errors; None for the first frame, which has none.

        Raises:
          ValueError: the pictures are not all of one size.
        """
        # Copies: what is cut from a frame holds on to the whole, and decoders use frames again.
        frame = _Frame(target.copy(), swapped.copy())
        first, last = self._first, self._last
        self._check(frame)
        self._first, self._last = first or frame, frame
        if first is None or last is None:
            return None
        to_last, from_last = self._flows(frame, last)
        moved = self._flow(last.swapped, swapped)
        short = _warping_errors(frame, last, to_last, from_last)
        long = short if first is last else _warping_errors(frame, first, *self._flows(frame, first))
        return TemporalErrors(
            aee=endpoint_error(from_last, moved),
            fwe=_sum(short.swapped, long.swapped),
            fwe_short=short.swapped,
            fwe_long=long.swapped,
            fwe_target=_sum(short.target, long.target),
        )

    def _flows(self, frame: '_Frame', earlier: '_Frame') -> tuple[np.ndarray, np.ndarray]:
        """The original's flows from a frame to an earlier one and from there to the frame."""
        return self._flow(frame.target, earlier.target), self._flow(earlier.target, frame.target)

    def _check(self, frame: '_Frame') -> None:
        expected = (self._first or frame).target.shape
        for picture in (frame.target, frame.swapped):
            if picture.shape != expected:
                raise ValueError(f'picture {picture.shape} in a sequence of {expected}')


@dataclasses.dataclass(frozen=True)
class _Frame:
    """Pictures of the original and of the swapped sequence; RGB uint8 (h, w, 3)."""

    target: np.ndarray
    swapped: np.ndarray


class _Errors(NamedTuple):
    target: float | None
    swapped: float | None


def _warping_errors(frame: _Frame, earlier: _Frame, to: np.ndarray, back: np.ndarray) -> _Errors:
    mask = visible(to, back)
    return _Errors(
        warping_error(_unit(frame.target), _unit(earlier.target), to, mask),
        warping_error(_unit(frame.swapped), _unit(earlier.swapped), to, mask),
    )


def _unit(image: np.ndarray) -> np.ndarray:
    """Uint8 in [0, 255] → float32 in [0, 1]."""
    return image.astype(np.float32) / np.float32(255)


def _sum(short: float | None, long: float | None) -> float | None:
    return None if short is None or long is None else short + long
