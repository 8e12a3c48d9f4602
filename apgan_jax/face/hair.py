"""The target's own hair over a generated face.

A generator of 128 px paints skin over the target's fringe, or hair of its own where the target has
a bare forehead, both as smears. Nothing here knows hair from skin: above the brows and at the
temples, where a face has no features, the two pictures differ by more than their skins do only
where one of them shows hair, a hat or a hand, and there the target is left as it is.
"""

import cv2
import numpy as np

from apgan_jax.face import landmarks as points

# From where on the forehead begins, above the eyes, and the temples, beside their middle and from
# below them; in distances between the eyes, from nothing to all.
_FOREHEAD = 0.45, 0.65
_TEMPLE_SIDE = 0.85, 1.0
_TEMPLE_HEIGHT = -0.3, 0.0
# Mean difference of the channels, levels of 255, beyond that of the skins.
_DIFFERENCE = 50.0, 64.0
# Standard deviations of Gaussians over the difference and the result, parts of the size.
_DETAIL, _EDGE = 0.012, 0.008
# A part of the size: how wide the rim of hair is.
_RIM = 0.025


def without_hair(target: np.ndarray, generated: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Where the generated face may show.

    Args:
      target: crop, RGB uint8 (size, size, 3).
      generated: the same.
      landmarks: (478, 2), crop pixels.

    Returns:
      float32 (size, size) in [0, 1]: 0 where the target's hair stays, 1 in the face.
    """
    size = target.shape[0]
    difference = cv2.subtract(generated, target, dtype=cv2.CV_32F)
    difference = cv2.GaussianBlur(difference, (0, 0), _DETAIL * size)
    # Half the size tells the skins' as well, in a quarter of the time.
    small = cv2.resize(difference, (size // 2, size // 2), interpolation=cv2.INTER_AREA)
    difference -= np.median(small[_face(landmarks / 2 - 0.25, size // 2)], axis=0)
    is_hair = _ramp(_evidence(_mean_of_channels(np.abs(difference))), *_DIFFERENCE)
    soft = cv2.GaussianBlur(is_hair, (0, 0), _EDGE * size)
    return 1 - soft * _forehead_and_temples(landmarks, size)


def _mean_of_channels(picture: np.ndarray) -> np.ndarray:
    return cv2.transform(picture, np.full((1, 3), 1 / 3))


def _evidence(difference: np.ndarray) -> np.ndarray:
    """Differences, float32 (size, size), of which small ones beside a large one count for more.

    The soft rim of painted hair differs little, and was left on bare foreheads as a thin dark line.
    What is near a large difference counts as the geometric mean of both.
    """
    side = 2 * round(_RIM * len(difference)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.sqrt(difference * cv2.dilate(difference, disc))


def _forehead_and_temples(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Where hair may be, float32 (size, size) in [0, 1]."""
    left, right = (landmarks[list(eye)].mean(axis=0) for eye in (points.LEFT_EYE, points.RIGHT_EYE))
    across = right - left
    if across[0] < 0:
        across = -across
    squared_distance = max(float(across @ across), 1e-6)
    x = np.arange(size, dtype=np.float32)[None] - (left[0] + right[0]) / 2
    y = np.arange(size, dtype=np.float32)[:, None] - (left[1] + right[1]) / 2
    above = (x * across[1] - y * across[0]) / squared_distance
    beside = np.abs(x * across[0] + y * across[1]) / squared_distance
    temples = _ramp(beside, *_TEMPLE_SIDE) * _ramp(above, *_TEMPLE_HEIGHT)
    return np.maximum(_ramp(above, *_FOREHEAD), temples)


def _face(landmarks: np.ndarray, size: int) -> np.ndarray:
    """The pixels within the landmarks, bool (size, size); all of them if there is none."""
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(canvas, cv2.convexHull(np.rint(landmarks).astype(np.int32)), 1)
    return canvas.astype(bool) if canvas.any() else np.ones_like(canvas, bool)


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on, smooth between (3t² - 2t³), float32."""
    part = np.clip((values - low) / (high - low), 0, 1)
    return (part * part * (3 - 2 * part)).astype(np.float32)
