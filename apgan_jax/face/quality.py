"""How good a picture of a face is: one definition for training data and for sources."""

import cv2
import numpy as np

from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.landmarks import Face

# Sharp photos of CelebA have 0.010 (1st percentile) to 0.062; blurred by 2 px, 0.004 in the median.
MIN_SHARPNESS = 0.005
MAX_TURN_DEGREES = 50.0
# How far the nose tip lies beside the middle of the eyes, in distances between them: of 500 photos
# of CelebA, those beyond are turned by 25 degrees and more (correlation with MediaPipe's yaw 0.98).
_TURNED = 0.31
_SHARPNESS_SPEC = CropSpec(size=160)


def fault_of(picture: np.ndarray, face: Face) -> str | None:
    """Why a face is a bad source, in words; None for a good one.

    Args:
      picture: RGB uint8 (h, w, 3).
      face: found in it.
    """
    turn = turn_degrees(face.pose_matrix)
    if turn > MAX_TURN_DEGREES:
        return f'turned away by {turn:.0f} degrees, more than {MAX_TURN_DEGREES:.0f}'
    if sharpness(picture, face.landmarks) < MIN_SHARPNESS:
        return 'blurred'
    return None


def turn_degrees(pose_matrix: np.ndarray) -> float:
    """Angle between where a face looks and the camera, degrees.

    Args:
      pose_matrix: (4, 4), canonical face model to camera space.
    """
    forward = pose_matrix[:3, 2] / max(float(np.linalg.norm(pose_matrix[:3, 2])), 1e-6)
    return float(np.degrees(np.arccos(np.clip(forward[2], -1.0, 1.0))))


def looks_turned(points: np.ndarray) -> bool:
    """Whether a head is turned to the side by about 25 degrees or more.

    Args:
      points: five, (5, 2), see `landmarks.five_points`.
    """
    left, right, nose = np.asarray(points[:3], np.float64)
    across = right - left
    beside = (nose - (left + right) / 2) @ across
    return bool(abs(beside) > _TURNED * max(across @ across, 1e-6))


def sharpness(picture: np.ndarray, points: np.ndarray) -> float:
    """Energy of a face's Laplacian over that of its grey values, at ArcFace's size.

    Args:
      picture: RGB uint8 (h, w, 3).
      points: landmarks (478, 2), pixels.
    """
    spec = _SHARPNESS_SPEC
    crop = align_face(picture, points, spec).crop
    left, top, right, bottom = (round(spec.size * edge) for edge in spec.arcface_window)
    grey = cv2.cvtColor(crop[top:bottom, left:right], cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(float(grey.var()), 1e-6))
