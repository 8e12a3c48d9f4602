"""Head pose, and the pose distance (paper IV-C): yaw, pitch and roll, degrees.

The paper measures with Hopenet [47], whose weights are not at hand: they can be plugged in.
3DDFA_V2 and MediaPipe's pose matrix stand beside it under their own names. Their angles have the
same signs; on 391 photos they differ by 1.9 degrees in yaw, 1.6 in roll and 3.7 in pitch, of which
3.6 are another zero (means of absolute values). What is compared is always two angles of one
estimator, so zeros cancel.
"""

from collections.abc import Callable

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.metrics.metric import Metric
from apgan_jax.networks.adapters import AdaptedNetwork
from apgan_jax.networks.network import NetworkInfo, Remembered, mediapipe_info
from apgan_jax.networks.pose_estimator import PoseEstimator, euler_angles

# Hopenet's outputs are scores of 66 bins of 3 degrees, the first at -99.
_HOPENET_BINS, _HOPENET_STEP, _HOPENET_FIRST = 66, 3.0, -99.0


def pose_3ddfa(estimator: PoseEstimator) -> Metric:
    """Pose distance by 3DDFA_V2, degrees."""
    return _pose_metric('pose_3ddfa', estimator.info, lambda face: estimator.of_face(face).angles)


def pose_mediapipe() -> Metric:
    """Pose distance by the pose matrix that MediaPipe fits to its landmarks, degrees.

    Pairs of which a face was placed and not looked for are left out.

    Raises:
      UserError: MediaPipe's model file is missing.
    """
    return _pose_metric('pose_mediapipe', mediapipe_info(), mediapipe_angles)


def pose_hopenet(network: AdaptedNetwork) -> Metric:
    """Pose distance by Hopenet [47], the paper's estimator, or another of its kind, degrees.

    Args:
      network: of an adapter of the kind 'pose'.

    Raises:
      UserError: the adapter is of another kind.
    """
    if network.adapter.kind != 'pose':
        raise UserError(
            f"{network.adapter.file}: kind = {network.adapter.kind!r}: a network of pose is 'pose'"
        )
    angles = Remembered(lambda face: hopenet_angles(network.of_faces([face]))[0])
    return _pose_metric(f'pose_{network.info.key}', network.info, angles)


def _pose_metric(
    key: str, network: NetworkInfo, angles_of: Callable[[SeenFace], np.ndarray | None]
) -> Metric:
    def measure(pair: FacePair) -> float | None:
        if pair.swapped is None:
            return None
        angles, other = angles_of(pair.target), angles_of(pair.swapped)
        if angles is None or other is None:
            return None
        return float(pose_distance(angles, other))

    return Metric(
        key=key,
        title='pose distance',
        definition=(
            'Euclidean norm of the differences in yaw, pitch and roll of the target and the '
            'swapped face'
        ),
        better='lower',
        measure=measure,
        unit='degrees',
        network=network,
    )


def mediapipe_angles(face: SeenFace) -> np.ndarray | None:
    """Yaw, pitch and roll, float64 (3,), of MediaPipe's pose matrix; None if it was not looked for.

    Raises:
      ValueError: the landmarker was made without `expressions`, which yields no matrix.
    """
    if face.face is None:
        return None
    matrix = np.asarray(face.face.pose_matrix, np.float64)[:3, :3]
    if np.isnan(matrix).any():
        raise ValueError('a face without a pose matrix: the landmarker needs expressions=True')
    return euler_angles(matrix)


def hopenet_angles(output: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll from scores, as Hopenet's authors read them.

    Args:
      output: (n, 3, 66), scores of 66 bins an angle; or (n, 3), degrees already.

    Returns:
      float64 (n, 3): the mean bin by softmax, times 3, minus 99.

    Raises:
      UserError: the output is of another shape.
    """
    scores = np.asarray(output, np.float64)
    if scores.ndim == 2 and scores.shape[1] == 3:
        return scores
    if scores.ndim != 3 or scores.shape[1:] != (3, _HOPENET_BINS):
        raise UserError(
            f'a network of pose with the output {scores.shape}: must be three of (n, 66), yaw, '
            'pitch and roll, or one of (n, 3); declare `output`'
        )
    share = np.exp(scores - scores.max(axis=2, keepdims=True))
    share /= share.sum(axis=2, keepdims=True)
    return share @ np.arange(_HOPENET_BINS) * _HOPENET_STEP + _HOPENET_FIRST


def pose_distance(angles: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Euclidean norm of the differences in yaw, pitch and roll, degrees: (..., 3) → (...)."""
    difference = (np.asarray(angles) - np.asarray(other) + 180.0) % 360.0 - 180.0
    return np.linalg.norm(difference, axis=-1)
