"""Head pose by 3DDFA_V2 and the pose distance (paper IV-C)."""

from pathlib import Path

import cv2
import numpy as np

from apgan_jax.metrics.networks import OnnxNetwork

WEIGHTS = Path('weights') / '3ddfa_v2_mb05.onnx'
_INPUT_SIZE = 120
# 3DDFA_V2 cuts a square around the 68 landmarks, its side their bounding box's diagonal. These
# points of the face mesh bound the same region: brows, jaw, chin.
_BOUNDING_POINTS = (70, 105, 107, 336, 334, 300, 234, 454, 132, 361, 172, 397, 152)


class PoseEstimator:
    """3DDFA_V2 (MobileNet 0.5), not shipped with this project.

    Args:
      path: the ONNX file.

    Raises:
      UserError: the file is missing.
    """

    def __init__(self, path: Path) -> None:
        self._network = OnnxNetwork(path)

    def angles(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Yaw, pitch and roll.

        Args:
          image: RGB uint8 (h, w, 3).
          landmarks: (478, 2), pixels; they only say where to look.

        Returns:
          float64 (3,), degrees.
        """
        face = _cut(image, landmarks)[:, :, ::-1].astype(np.float32)
        planes = ((face - 127.5) / 128.0).transpose(2, 0, 1)[None]
        parameters = self._network(np.ascontiguousarray(planes))[0]
        return euler_angles(parameters[:12].reshape(3, 4)[:, :3])


def pose_distance(angles: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Euclidean norm of the differences in yaw, pitch and roll, degrees: (..., 3) → (...)."""
    difference = (np.asarray(angles) - np.asarray(other) + 180.0) % 360.0 - 180.0
    return np.linalg.norm(difference, axis=-1)


def euler_angles(matrix: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll (degrees) of a scaled rotation (3, 3), by 3DDFA_V2's convention."""
    first = matrix[0] / np.linalg.norm(matrix[0])
    second = matrix[1] / np.linalg.norm(matrix[1])
    third = np.cross(first, second)
    yaw = np.arcsin(np.clip(third[0], -1.0, 1.0))
    # At a yaw of 90 degrees pitch and roll are one: the roll is put at 0.
    if abs(third[0]) > 0.998:
        pitch, roll = np.arctan2(-first[1], -first[2]) * np.sign(third[0]), 0.0
    else:
        pitch = np.arctan2(third[1], third[2])
        roll = np.arctan2(second[0], first[0])
    return np.degrees([yaw, pitch, roll])


def _cut(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    points = landmarks[list(_BOUNDING_POINTS)]
    low, high = points.min(axis=0), points.max(axis=0)
    centre, side = (low + high) / 2, float(np.linalg.norm(high - low))
    scale = _INPUT_SIZE / side
    cut_from_image = np.hstack(
        [np.eye(2) * scale, ((_INPUT_SIZE - 1) / 2 - scale * centre)[:, None]]
    )
    return cv2.warpAffine(
        image,
        cut_from_image,
        (_INPUT_SIZE, _INPUT_SIZE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
