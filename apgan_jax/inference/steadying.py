"""Generated faces that do not flicker.

The generator sees one frame at a time, and its shades come and go from frame to frame where the
target's do not. What it adds to the target is steadied along the target's optical flow. It is the
difference that is kept, and not the picture: what the target does by itself, a blink, a word, a
change of light, goes through in the same frame.
"""

import cv2
import numpy as np

from apgan_jax.metrics.flow import DisFlow, Flow
from apgan_jax.metrics.fwe import warp

# How much of the past is kept where the flow explains the target fully: some two seconds.
_MEMORY = 0.98
# Levels of 255 by which the target may differ from what its flow says until a third is believed.
_TOLERANCE = 20.0
# Standard deviation of what is steadied, a part of the size. Finer detail is the frame's own: flow
# is not exact enough to carry it without blur.
_SMOOTHNESS = 0.01
# Mean belief below which the last picture shows something else: another scene, another face.
# Neighbouring frames have 0.83 and more, different people less than 0.4 (docs/training-notes.md).
_MIN_BELIEF = 0.6


class FaceSteadier:
    """Steadies the generated pictures of one face, frame after frame.

    With V the target's crop, G the generated one, S a Gaussian and W the warp by the flow of V, the
    result is G + D' - S(G - V), where D' is S(G - V) averaged along W over the frames before; less
    is kept where V is not what W makes of the frame before.

    Args:
      flow: finds optical flow; OpenCV's DIS by default.
    """

    def __init__(self, flow: Flow | None = None) -> None:
        self._flow = flow or DisFlow()
        self._target: np.ndarray | None = None
        self._difference: np.ndarray | None = None

    def __call__(self, target: np.ndarray, generated: np.ndarray) -> np.ndarray:
        """Steadies the next frame's picture.

        Args:
          target: crop of the frame, RGB uint8 (size, size, 3).
          generated: from it, the same.

        Returns:
          RGB uint8 (size, size, 3); the first frame's, and that of another scene, as it came.
        """
        sigma = _SMOOTHNESS * target.shape[0]
        difference = cv2.GaussianBlur(
            cv2.subtract(generated, target, dtype=cv2.CV_32F), (0, 0), sigma
        )
        steady = self._steadied(target, difference)
        self._target, self._difference = target, steady
        return np.clip(np.rint(generated + (steady - difference)), 0, 255).astype(np.uint8)

    def _steadied(self, target: np.ndarray, difference: np.ndarray) -> np.ndarray:
        if self._target is None or self._difference is None:
            return difference
        flow = self._flow(target, self._target)
        explained = warp(self._target.astype(np.float32), flow)
        distance = cv2.absdiff(target.astype(np.float32), explained).mean(axis=-1, keepdims=True)
        belief = np.exp(-distance / _TOLERANCE)
        if belief.mean() < _MIN_BELIEF:
            return difference
        kept = warp(self._difference, flow)
        return difference + _MEMORY * belief * (kept - difference)
