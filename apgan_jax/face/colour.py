"""Colours of a generated face."""

import cv2
import numpy as np


def match_colours(picture: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Gives a crop the mean and spread of another one's colours (Reinhard et al., 2001).

    In CIELAB, channel by channel, over what the mask shows. A picture without any spread is only
    shifted.

    Args:
      picture: RGB uint8 (size, size, 3).
      reference: the same.
      mask: float32 (size, size) in [0, 1], such as a patch's.

    Returns:
      RGB uint8 (size, size, 3).
    """
    weights = mask[..., None]
    ours, theirs = _to_lab(picture), _to_lab(reference)
    mean, spread = _moments(ours, weights)
    wanted_mean, wanted_spread = _moments(theirs, weights)
    gain = np.where(spread > 1e-3, wanted_spread / np.maximum(spread, 1e-3), 1.0)
    matched = ((ours - mean) * gain + wanted_mean).astype(np.float32)
    rgb = cv2.cvtColor(matched, cv2.COLOR_LAB2RGB)
    return np.clip(np.round(255 * rgb), 0, 255).astype(np.uint8)


def _to_lab(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _moments(lab: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each channel, (3,)."""
    mean = (weights * lab).sum(axis=(0, 1)) / weights.sum()
    variance = (weights * (lab - mean) ** 2).sum(axis=(0, 1)) / weights.sum()
    return mean, np.sqrt(variance)
