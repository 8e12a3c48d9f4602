"""Generated faces that do not flicker.

The generator sees one frame at a time, and its shades come and go from frame to frame where the
target's do not. They are averaged along the target's optical flow, as far as that explains the
target; where it does not, at lips and lids that open, the frame is left as it came.
"""

from typing import Any

import cv2
import numpy as np

from apgan_jax.networks.flow import DisFlow, Flow, warp

# How much of the past is kept where the flow explains the target fully: some ten frames.
_MEMORY = 0.9
# Levels of 255 by which the target may differ from what its flow says until a third is believed.
_TOLERANCE = 20.0
# Standard deviations, parts of the size. Detail finer than the first is the frame's own: flow is
# not exact enough to carry it without blur. A change coarser than the second is one of the light.
_DETAIL, _LIGHT = 0.01, 0.06
# A part of the size: how near to something unexplained nothing is believed. Flow can make a closed
# lid of an open one's rim, and only the pixels beside it tell.
_DOUBT = 0.04
# Mean belief below which the last picture shows something else: another scene, another face.
# Neighbouring frames have 0.7 and more, different people 0.25 and less (docs/training-notes.md).
_MIN_BELIEF = 0.5


class FaceSteadier:
    """Steadies the generated pictures of one face, frame after frame.

    Coarse parts are averaged over the frames, and only they. What is carried from the frame before
    is lit as the target is now, so that a change of light does not lag. Averaging what was
    generated, and not how it differs from the target, keeps the target's features out of it: where
    flow errs, the difference to one frame would uncover the other's (docs/training-notes.md).

    Args:
      flow: finds optical flow; OpenCV's DIS by default.
    """

    def __init__(self, flow: Flow | None = None) -> None:
        self._flow = flow or DisFlow()
        self._target: np.ndarray | None = None
        self._coarse: np.ndarray | None = None

    def __call__(self, target: np.ndarray, generated: np.ndarray) -> np.ndarray:
        """Steadies the next frame's picture.

        Args:
          target: crop of the frame, RGB uint8 (size, size, 3).
          generated: from it, the same.

        Returns:
          RGB uint8 (size, size, 3); the first frame's, and that of another scene, as it came.
        """
        coarse = _blurred(generated.astype(np.float32), _DETAIL)
        steady = self._steadied(target, coarse)
        self._target, self._coarse = target, steady
        return np.clip(np.rint(generated + (steady - coarse)), 0, 255).astype(np.uint8)

    def state(self) -> dict[str, Any]:
        """What it remembers of the last frame: arrays, none of which changes later."""
        return {'target': self._target, 'coarse': self._coarse}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what `state` gave."""
        self._target, self._coarse = state['target'], state['coarse']

    def _steadied(self, target: np.ndarray, coarse: np.ndarray) -> np.ndarray:
        if self._target is None or self._coarse is None:
            return coarse
        flow = self._flow(target, self._target)
        unexplained = target - warp(self._target.astype(np.float32), flow)
        light = _coarse(unexplained, _LIGHT)
        distance = cv2.transform(cv2.absdiff(unexplained, light), np.full((1, 3), 1 / 3))
        belief = np.exp(-_spread(distance, _DOUBT) / _TOLERANCE)[..., None]
        if belief.mean() < _MIN_BELIEF:
            return coarse
        carried = warp(self._coarse, flow) + light
        return coarse + _MEMORY * belief * (carried - coarse)


def _blurred(picture: np.ndarray, part_of_size: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), part_of_size * picture.shape[0])


def _coarse(picture: np.ndarray, part_of_size: float) -> np.ndarray:
    """`_blurred` so much that a quarter of the size has room for it, at a sixth of the time."""
    small = cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    return cv2.resize(_blurred(small, part_of_size), picture.shape[1::-1])


def _spread(values: np.ndarray, part_of_size: float) -> np.ndarray:
    """The largest value of each pixel's neighbourhood of (size, size)."""
    side = 2 * round(part_of_size * values.shape[0] / 2) + 1
    return cv2.dilate(values, np.ones((side, side), np.uint8))
