"""Sharpness of a swapped face: how much of its frame's fine detail it has."""

import cv2
import numpy as np

from apgan_jax.face.areas import inner_face


def relative_sharpness(
    swapped: np.ndarray, target: np.ndarray, landmarks: np.ndarray
) -> float | None:
    """Mean |Laplacian| of luma in the face, of the swapped picture over the target's.

    1 is as sharp as the target, 0 no detail at all; above 1 is noise, or more contrast. It is
    measured at the pictures' own pixels: the same face in a larger frame has less of the target's
    sharpness, which is what a viewer sees. The face is the mesh without its rim
    (`areas.inner_face`), so that the seam of blending does not count.

    Args:
      swapped: RGB uint8 (h, w, 3).
      target: the same pixels before.
      landmarks: (478, 2), pixels, of the target's face.

    Returns:
      At least 0; None where the target's face is off the picture or has no detail.
    """
    face = inner_face(landmarks, target.shape[:2])
    if not face.any():
        return None
    detail, original = (_detail(picture)[face].mean() for picture in (swapped, target))
    return float(detail / original) if original else None


def _detail(picture: np.ndarray) -> np.ndarray:
    luma = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2GRAY)
    return np.abs(cv2.Laplacian(luma, cv2.CV_32F))
