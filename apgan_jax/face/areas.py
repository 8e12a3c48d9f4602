"""Areas of a face by its landmarks, in the pixels of whatever picture those belong to.

Landmarks are (478, 2), a size is that of the picture: one number for a square, or (height, width).
Lengths are parts of the distance between the eyes, so that an area is the same in a crop and in a
frame.
"""

import cv2
import numpy as np

from apgan_jax.face import landmarks as points
from apgan_jax.face.drawing import Size, filled

# How far within the mesh's outline the inner face begins, and how far above the brows the band.
_RIM, _ABOVE_BROWS = 0.1, 0.12
# How far the outline goes beyond the mesh, and above its highest point.
_MARGIN, _FOREHEAD = 0.13, 0.35
# Of the mesh: the upper edge of either brow.
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_MESH = 468


def eye_distance(landmarks: np.ndarray) -> float:
    """Between the centres of the eyes, pixels, at least a millionth."""
    return max(float(np.linalg.norm(_across(landmarks))), 1e-6)


def inner_face(landmarks: np.ndarray, size: Size) -> np.ndarray:
    """Within the mesh and a tenth of the eyes' distance off its outline, bool (h, w)."""
    outline = cv2.convexHull(np.asarray(landmarks[:_MESH], np.float32))
    radius = round(_RIM * eye_distance(landmarks))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    mesh = filled([outline], size).astype(np.uint8)
    return cv2.erode(mesh, kernel, borderType=cv2.BORDER_REPLICATE).astype(bool)


def forehead_band(landmarks: np.ndarray, size: Size) -> np.ndarray:
    """From a little above the brows up to the top of the face's outline, bool (h, w).

    The outline goes beyond the mesh, which ends below the hairline.
    """
    distance = eye_distance(landmarks)
    x, y = _across(landmarks) / distance
    up = np.array([y, -x])
    brows = landmarks[list(_BROWS)] + _ABOVE_BROWS * distance * up
    above = filled([_from_line_on(brows, up, 4 * distance)], size)
    return above & filled([_outline(landmarks, up, distance)], size)


def _outline(landmarks: np.ndarray, up: np.ndarray, distance: float) -> np.ndarray:
    """About the mesh, with a margin and all of the forehead, as faces are blended in.

    With numbers of its own: what is measured must not move when blending is tuned.
    """
    away = landmarks - landmarks.mean(axis=0)
    length = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    above = np.maximum(away @ up, 0.0)
    lift = _FOREHEAD * distance * above / max(above.max(), 1e-6)
    grown = landmarks + _MARGIN * distance * away / length + lift[:, None] * up
    return cv2.convexHull(grown.astype(np.float32))


def _from_line_on(line: np.ndarray, up: np.ndarray, far: float) -> np.ndarray:
    """A polygon: a line from left to right, longer on both sides, and what is above it."""
    side = np.array([-up[1], up[0]])
    long = np.concatenate([line[:1] - far * side, line, line[-1:] + far * side])
    return np.concatenate([long, long[[-1, 0]] + far * up])


def _across(landmarks: np.ndarray) -> np.ndarray:
    """From the left eye's centre to the right one's, (2,), to the right in an upright picture."""
    left, right = (landmarks[list(eye)].mean(axis=0) for eye in (points.LEFT_EYE, points.RIGHT_EYE))
    return np.asarray(right - left, np.float64)
