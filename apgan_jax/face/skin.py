"""Where a face shows skin: cheeks, nose bridge, chin and the forehead just above the brows.

Polygons of the face mesh that have neither eyes, brows, nostrils nor lips in them. What may lie
over the skin, such as a fringe or a beard, is in them: take medians, or see `typical_pixels`.
"""

import cv2
import numpy as np

from apgan_jax.face import landmarks as points
from apgan_jax.face.drawing import Size, filled

_LEFT_CHEEK = (117, 118, 100, 36, 205, 207, 187, 147, 123)
_RIGHT_CHEEK = (346, 347, 329, 266, 425, 427, 411, 376, 352)
_NOSE_BRIDGE = (193, 417, 351, 419, 248, 3, 196, 122)
_CHIN = (201, 200, 421, 428, 396, 175, 171, 208)
_FOREHEAD = (66, 107, 9, 336, 296, 299, 337, 151, 108, 69)
_POLYGONS = (_LEFT_CHEEK, _RIGHT_CHEEK, _NOSE_BRIDGE, _CHIN, _FOREHEAD)
# What has colours of its own: each eye with its brow, and the lips.
_FEATURES = (
    (*points.LEFT_EYE, 70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (*points.RIGHT_EYE, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
    points.OUTER_LIP,
)
# Of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


def skin_mask(landmarks: np.ndarray, size: Size) -> np.ndarray:
    """The pixels of skin.

    Args:
      landmarks: (478, 2), pixels of the picture.
      size: of the picture: one number for a square, or (height, width).

    Returns:
      bool (h, w).
    """
    return filled([landmarks[list(polygon)] for polygon in _POLYGONS], size)


def plain_face(landmarks: np.ndarray, size: Size) -> np.ndarray:
    """The face without eyes, brows and lips: what light falls on, skin or beard.

    Args:
      landmarks: (478, 2), pixels of the picture.
      size: of the picture: one number for a square, or (height, width).

    Returns:
      bool (h, w), also where hair hangs into the face.
    """
    hulls = [cv2.convexHull(np.asarray(landmarks[list(part)], np.float32)) for part in _FEATURES]
    outline = cv2.convexHull(np.asarray(landmarks, np.float32))
    return filled([outline], size) & ~filled(hulls, size)


def typical_pixels(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The middle half by luma of a picture's pixels: no hair, no shadows, no highlights.

    Args:
      picture: RGB (h, w, 3).
      mask: bool (h, w), of which pixels.

    Returns:
      (n, 3), of the picture's type; n is 0 where the mask is empty.
    """
    pixels = picture[mask]
    if not len(pixels):
        return pixels
    luma = pixels @ np.array(_LUMA)
    low, high = np.quantile(luma, (0.25, 0.75))
    return pixels[(luma >= low) & (luma <= high)]
