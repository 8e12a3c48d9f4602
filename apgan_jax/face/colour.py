"""Colour and light of a generated face: those of the face that it replaces."""

import cv2
import numpy as np

from apgan_jax.face.skin import plain_face, skin_mask

# Standard deviation over which light may differ from place to place, a part of the size, and by how
# much, in units of CIELAB: more is a beard, a fringe or a shadow of something.
_LIGHT, _MOST = 0.2, 12.0
# Of the places far from any skin, which get the nearest skin's light: a weight that is next to 0.
_LITTLE = 0.02
# Lightness of skin below which it is dark.
_DARK = 30.0
# The quantile of the target's lightness from which on what is brighter is pressed, and how much.
_BRIGHT, _KNEE = 0.85, 0.3
# Levels of 255 by which the channels of a grey picture may differ, for encoders' sake.
_GREY = 6


def match_skin(
    picture: np.ndarray,
    reference: np.ndarray,
    landmarks: np.ndarray,
    shown: np.ndarray | None = None,
) -> np.ndarray:
    """Gives a generated crop the colour and the light of the skin that it replaces.

    In CIELAB: the skins' medians are made equal, then what is left of the difference in the face,
    but for eyes, brows and lips, is taken over as far as it is coarse and small. Medians, because a
    fringe or a beard of either face says nothing of the other's skin.

    Args:
      picture: generated, RGB uint8 (size, size, 3).
      reference: the target's crop, the same.
      landmarks: (478, 2), crop pixels.
      shown: bool (size, size), where the generated face shows: elsewhere, before a hand, neither
        picture says anything of the skin; None: everywhere.

    Returns:
      RGB uint8 (size, size, 3).
    """
    size = len(picture)
    skin, face = skin_mask(landmarks, size), plain_face(landmarks, size)
    if shown is not None:
        skin, face = skin & shown, face & shown
    if not skin.any():
        return picture
    ours, theirs = _to_lab(picture), _to_lab(reference)
    ours = _pressed(_shifted(ours, theirs, skin), theirs[..., 0][face])
    ours += _difference_of_light(ours, theirs, face)
    return _to_rgb(_shifted(ours, theirs, skin))


def _shifted(ours: np.ndarray, theirs: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """With the other picture's medians, float32 Lab (size, size, 3).

    In the dark, contrast and colours fade with the light: of a face that only the lightness was
    taken from, blotches would be left.
    """
    middle, wanted = (np.median(each[skin], axis=0) for each in (ours, theirs))
    bright = min(1.0, wanted[0] / _DARK)
    dimmed = bright + (1 - bright) * min(1.0, wanted[0] / max(middle[0], 1e-3))
    offsets = (wanted - dimmed * middle)[:, None]
    return cv2.transform(ours, np.concatenate([dimmed * np.eye(3), offsets], axis=1))


def _pressed(lab: np.ndarray, their_lightness: np.ndarray) -> np.ndarray:
    """With darker highlights, in place: those of dark skin would burn out on a light one."""
    bright = np.float32(np.quantile(their_lightness, _BRIGHT))
    lightness = lab[..., 0]
    np.minimum(lightness, bright + np.float32(_KNEE) * (lightness - bright), out=lightness)
    return lab


def _difference_of_light(ours: np.ndarray, theirs: np.ndarray, face: np.ndarray) -> np.ndarray:
    """What the target is lighter or redder, as far as it is coarse and small."""
    difference = cv2.subtract(theirs, ours, dtype=cv2.CV_32F)
    squares = cv2.transform(cv2.multiply(difference, difference), np.full((1, 3), -1 / _MOST**2))
    alike = cv2.exp(squares) * face
    # What is so coarse has room in a quarter of the size.
    small = (len(ours) // 4, len(ours) // 4)
    sums, weights = (
        cv2.GaussianBlur(
            cv2.resize(each, small, interpolation=cv2.INTER_AREA), (0, 0), _LIGHT * small[0]
        )
        for each in (alike[..., None] * difference, alike)
    )
    light = sums / (weights + _LITTLE)[..., None]
    return cv2.resize(light, ours.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def is_grey(picture: np.ndarray) -> bool:
    """Whether a picture, RGB uint8 (h, w, 3), has no colours."""
    red, green, blue = cv2.split(picture)
    highest, lowest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    return bool(np.count_nonzero(cv2.subtract(highest, lowest) > _GREY) <= 0.01 * red.size)


def without_colour(picture: np.ndarray) -> np.ndarray:
    """A picture's luma (ITU-R BT.601) as RGB uint8 (h, w, 3)."""
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _to_lab(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.clip(np.round(255 * rgb), 0, 255).astype(np.uint8)
