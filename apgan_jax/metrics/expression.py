"""Whether the swapped face shows and moves what the target does.

The paper's expression distance (IV-C) is the Euclidean distance of the expression vectors of a 3D
face model, Deng et al.'s [48]: 64 coefficients. Its weights are not at hand; a network of its kind
can be plugged in. 3DDFA_V2's 10 coefficients and MediaPipe's blendshapes stand beside it under
their own names. Each has its own scale: only numbers of one network compare.

Over the frames of a clip: how well blendshapes of the two go together.
"""

from collections.abc import Callable

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.metrics.metric import Description, Metric
from apgan_jax.networks.adapters import AdaptedNetwork
from apgan_jax.networks.network import NetworkInfo, Remembered, mediapipe_info
from apgan_jax.networks.pose_estimator import PoseEstimator

BLENDSHAPES = ('jawOpen', 'eyeBlinkLeft', 'eyeBlinkRight')

_NEUTRAL = '_neutral'  # a blendshape of MediaPipe's that says nothing


def expression_3ddfa(estimator: PoseEstimator) -> Metric:
    """Distance of 3DDFA_V2's 10 expression coefficients.

    In the units of its face model, as the paper measures with its own: the first two coefficients,
    which open the mouth and draw its corners, weigh most.
    """
    return _expression_metric(
        'expression_3ddfa',
        'Euclidean distance of the 10 expression coefficients of the target and the swapped face',
        estimator.info,
        lambda face: estimator.of_face(face).expression,
    )


def expression_mediapipe() -> Metric:
    """Distance of MediaPipe's blendshapes, each in [0, 1].

    Pairs of which a face was placed and not looked for are left out.

    Raises:
      UserError: MediaPipe's model file is missing.
    """
    return _expression_metric(
        'expression_mediapipe',
        'Euclidean distance of the 51 blendshapes of the target and the swapped face',
        mediapipe_info(),
        blendshape_vector,
    )


def expression_onnx(network: AdaptedNetwork) -> Metric:
    """Distance of the expression vectors of a network in an ONNX file, Deng et al.'s [48] say.

    Args:
      network: of an adapter of the kind 'expression'; where its output holds more than expression,
        the adapter's `columns` say which part is.

    Raises:
      UserError: the adapter is of another kind.
    """
    if network.adapter.kind != 'expression':
        raise UserError(
            f'{network.adapter.file}: kind = {network.adapter.kind!r}: a network of expression is '
            "'expression'"
        )
    return _expression_metric(
        f'expression_{network.info.key}',
        'Euclidean distance of the expression vectors of the target and the swapped face',
        network.info,
        Remembered(lambda face: network.of_faces([face]).ravel()),
    )


def blendshape_vector(face: SeenFace) -> np.ndarray | None:
    """MediaPipe's 51 blendshapes by name, float64 (51,); None if the face was not looked for.

    Raises:
      ValueError: the landmarker was made without `expressions`, which yields none.
    """
    if face.face is None:
        return None
    values = face.face.blendshapes
    if not values:
        raise ValueError('a face without blendshapes: the landmarker needs expressions=True')
    return np.array([values[name] for name in sorted(values) if name != _NEUTRAL])


def _expression_metric(
    key: str,
    definition: str,
    network: NetworkInfo,
    vector_of: Callable[[SeenFace], np.ndarray | None],
    unit: str = '',
) -> Metric:
    def measure(pair: FacePair) -> float | None:
        if pair.swapped is None:
            return None
        vector, other = vector_of(pair.target), vector_of(pair.swapped)
        if vector is None or other is None:
            return None
        return float(np.linalg.norm(np.subtract(vector, other)))

    return Metric(
        key=key,
        title='expression distance',
        definition=definition,
        better='lower',
        measure=measure,
        unit=unit,
        network=network,
    )


class MotionCorrelation:
    """How well blendshapes of the target and of the swapped face go together over a clip's frames.

    Frames in which either face was not found are left out.
    """

    def __init__(self) -> None:
        self._values: list[tuple[list[float], list[float]]] = []

    def add(self, pair: FacePair) -> None:
        """Takes the next frame."""
        if pair.target.face and pair.swapped and pair.swapped.face:
            target, swapped = pair.target.face.blendshapes, pair.swapped.face.blendshapes
            self._values.append(
                ([target[name] for name in BLENDSHAPES], [swapped[name] for name in BLENDSHAPES])
            )

    def correlations(self) -> dict[str, float | None]:
        """By `motion_key`: Pearson's correlation; None of a series that never changes."""
        values = np.array(self._values).reshape(-1, 2, len(BLENDSHAPES))
        return {
            motion_key(name): correlation(values[:, 0, number], values[:, 1, number])
            for number, name in enumerate(BLENDSHAPES)
        }


def motion_key(blendshape: str) -> str:
    """The key of a blendshape's row."""
    return f'motion_{blendshape}'


def motion_rows() -> list[Description]:
    """The rows of `MotionCorrelation`.

    Raises:
      UserError: MediaPipe's model file is missing.
    """
    return [
        Description(
            motion_key(name),
            f'motion of {name}',
            "correlation of the blendshape's values in target and swapped frames",
            'higher',
            network=mediapipe_info(),
        )
        for name in BLENDSHAPES
    ]


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's correlation of two series (n,); None if one is constant, or of one value."""
    if len(a) < 2 or min(a.std(), b.std()) < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])
