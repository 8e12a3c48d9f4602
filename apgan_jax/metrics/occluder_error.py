"""What a swap does to glasses, hands, hair and microphones in front of a face."""

import cv2
import numpy as np


def occluder_error(output: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float | None:
    """Mean absolute difference of output and target inside an occluder, levels of 255.

    An occluder belongs to the target: a swap should leave it alone, so 0 is best. The mask is
    eroded by a pixel, for its edge mixes with the face behind.

    Args:
      output: RGB uint8 (h, w, 3).
      target: the same, with the occluder in it.
      mask: bool (h, w), where the occluder is.

    Returns:
      In [0, 255]; None where nothing of the mask is left.
    """
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    if not inside.any():
        return None
    return float(cv2.absdiff(output, target)[inside].mean())
