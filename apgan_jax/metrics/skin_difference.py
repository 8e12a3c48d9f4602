"""Difference of skin colours: whether a swapped face goes with neck, ears and light."""

import cv2
import numpy as np

from apgan_jax.face.skin import skin_mask, typical_pixels


def skin_difference(swapped: np.ndarray, target: np.ndarray, landmarks: np.ndarray) -> float | None:
    """CIE76 ΔE of the mean colours of the skin of two pictures.

    The Euclidean distance of two means in CIELAB (D65), each over the middle half by luma of the
    pixels of `skin.skin_mask`: about 2.3 is just noticeable. The half is each picture's own, so
    that hair or a beard in one of them weighs little.

    Args:
      swapped: RGB uint8 (h, w, 3).
      target: the same pixels before.
      landmarks: (478, 2), pixels, of the target's face.

    Returns:
      At least 0; None where the skin is off the picture.
    """
    mask = skin_mask(landmarks, target.shape[:2])
    if not mask.any():
        return None
    ours, theirs = (_mean_lab(typical_pixels(picture, mask)) for picture in (swapped, target))
    return float(np.linalg.norm(ours - theirs))


def _mean_lab(pixels: np.ndarray) -> np.ndarray:
    """CIELAB (3,) of RGB uint8 (n, 3)."""
    rgb = pixels[None].astype(np.float32) / 255
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0].mean(axis=0, dtype=np.float64)
