"""Smears on the forehead: painted hair over bare skin, or skin over a fringe."""

import numpy as np

from apgan_jax.face.areas import forehead_band
from apgan_jax.face.skin import skin_mask

# Levels of 255, and the part of the band that may differ by more.
_DIFFERENCE, _PART = 30.0, 0.2


def forehead_smear(swapped: np.ndarray, target: np.ndarray, landmarks: np.ndarray) -> float | None:
    """1 if a swap smeared the forehead, else 0; the mean over pairs is the share of smeared ones.

    The band reaches from a little above the brows to the top of the face's outline
    (`areas.forehead_band`). Nothing but skin, hair and headgear is there, all of which are the
    target's: a pixel is wrong if it differs by more than 30 levels (mean of the channels' absolute
    differences) beyond the skin's own shift, the median difference over the skin. More than a fifth
    of wrong pixels are a smear.

    Args:
      swapped: RGB uint8 (h, w, 3).
      target: the same pixels before.
      landmarks: (478, 2), pixels, of the target's face.

    Returns:
      0.0 or 1.0; None where band or skin are off the picture.
    """
    band, skin = (area(landmarks, target.shape[:2]) for area in (forehead_band, skin_mask))
    if not band.any() or not skin.any():
        return None
    difference = swapped.astype(np.float32) - target
    shift = np.median(difference[skin], axis=0)
    wrong = np.abs(difference[band] - shift).mean(axis=-1) > _DIFFERENCE
    return float(wrong.mean() > _PART)
