"""Detail that a generator's resolution has no room for, from the frame under the generated face.

A crop of 128 px is softer than most frames. What of the frame the crop could not hold (frame less
enlarged crop) is pores, lashes and the sharp side of every edge. It fits a generated face where
that has the same edges as the target; where it has others the frame's would show as ghosts.
"""

import cv2
import numpy as np

# Standard deviations of Gaussians over the pictures and over what is compared, parts of the size.
_NOISE, _PLACE = 0.006, 0.012
# Levels of 255 a pixel at 128 px: gradients well below it are none, and agree.
_FLAT = 3.0


def agreement(target: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Where two pictures have the same edges.

    Twice the product of their gradients over the sum of their squares, in each pixel's
    neighbourhood: 1 where both are equal or flat, 0 where only one has an edge, or an opposite one.

    Args:
      target: crop, RGB uint8 (size, size, 3).
      generated: from it, the same.

    Returns:
      float32 (size, size) in [0, 1].
    """
    size = len(target)
    flat = (_FLAT * 128 / size) ** 2
    (x, y), (their_x, their_y) = _gradient(generated), _gradient(target)
    product = 2 * (x * their_x + y * their_y)
    squares = x * x + y * y + their_x * their_x + their_y * their_y
    product, squares = (
        cv2.GaussianBlur(each, (0, 0), _PLACE * size) + flat for each in (product, squares)
    )
    return np.clip(product / squares, 0, 1)


def _gradient(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of luma, levels of 255 a pixel, float32 (size, size): to the right, and down."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    luma = cv2.GaussianBlur(grey, (0, 0), _NOISE * len(picture))
    right = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=1 / 8)
    return right, cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=1 / 8)
