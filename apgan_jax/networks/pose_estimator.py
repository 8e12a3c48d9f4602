"""3DDFA_V2: pose, shape and expression of a face, by a small network that others trained."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from apgan_jax.face.face_pair import SeenFace
from apgan_jax.networks.network import OnnxNetwork, Remembered

WEIGHTS = Path('weights') / '3ddfa_v2_mb05.onnx'
_INPUT_SIZE = 120
# 3DDFA_V2 cuts a square around the 68 landmarks, its side their bounding box's diagonal. These
# points of the face mesh bound the same region: brows, jaw, chin.
_BOUNDING_POINTS = (70, 105, 107, 336, 334, 300, 234, 454, 132, 361, 172, 397, 152)


@dataclasses.dataclass(frozen=True)
class FaceParameters:
    """What 3DDFA_V2 fits to a face: parameters of the Basel face model.

    Attributes:
      pose: scaled rotation and translation, float32 (3, 4).
      shape: float32 (40,).
      expression: float32 (10,).
    """

    pose: np.ndarray
    shape: np.ndarray
    expression: np.ndarray

    @property
    def angles(self) -> np.ndarray:
        """Yaw, pitch and roll, float64 (3,), degrees."""
        return euler_angles(self.pose[:, :3])


class PoseEstimator:
    """3DDFA_V2 (MobileNet 0.5), not shipped with this project: pose, shape and expression.

    Args:
      path: the ONNX file.

    Attributes:
      info: its description.

    Raises:
      UserError: the file is missing.
    """

    def __init__(self, path: Path) -> None:
        self._network = OnnxNetwork(path, name='3DDFA_V2')
        self.info = self._network.info
        self._remembered = Remembered(lambda face: self.parameters(face.crop, face.landmarks))

    def parameters(self, image: np.ndarray, landmarks: np.ndarray) -> FaceParameters:
        """Fits the face model.

        Args:
          image: RGB uint8 (h, w, 3).
          landmarks: (478, 2), pixels; they only say where to look.
        """
        face = _cut(image, landmarks)[:, :, ::-1].astype(np.float32)
        planes = ((face - 127.5) / 128.0).transpose(2, 0, 1)[None]
        values = self._network(np.ascontiguousarray(planes))[0]
        return FaceParameters(values[:12].reshape(3, 4), values[12:52], values[52:62])

    def angles(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Yaw, pitch and roll, float64 (3,), degrees; arguments as of `parameters`."""
        return self.parameters(image, landmarks).angles

    def of_face(self, face: SeenFace) -> FaceParameters:
        """Fits the face model to a face; the network runs once for pose and expression."""
        parameters: FaceParameters = self._remembered(face)
        return parameters


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
