"""Expression distances that are known without networks."""

import os

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.face.landmarks import Face
from apgan_jax.metrics.expression import (
    blendshape_vector,
    correlation,
    expression_3ddfa,
    expression_mediapipe,
    expression_onnx,
)
from apgan_jax.networks.adapters import AdaptedNetwork
from apgan_jax.networks.network import data_folder
from apgan_jax.networks.pose_estimator import WEIGHTS, FaceParameters, PoseEstimator
from support.faces import portrait
from support.onnx_files import adapter, helper, write_network

CROP = np.zeros((8, 6, 3), np.uint8)
POINTS = np.zeros((478, 2), np.float32)


def expressing(**blendshapes: float) -> SeenFace:
    return SeenFace(CROP, POINTS, Face(POINTS, np.eye(4), blendshapes))


def pair(target: SeenFace, swapped: SeenFace | None) -> FacePair:
    return FacePair(target, target.crop, swapped)


def test_correlation_of_series():
    series = np.array([0.0, 1.0, 0.5, 0.2])
    assert correlation(series, 2 * series + 1) == pytest.approx(1)
    assert correlation(series, -series) == pytest.approx(-1)
    assert correlation(series, np.ones(4)) is None


def test_blendshapes_differ_by_their_euclidean_distance_without_neutral():
    metric = expression_mediapipe()
    still = expressing(_neutral=0.9, jawOpen=0.1, eyeBlinkLeft=0.5)
    moved = expressing(eyeBlinkLeft=0.1, _neutral=0.0, jawOpen=0.4)
    assert metric.measure(pair(still, moved)) == pytest.approx(0.5)
    assert metric.measure(pair(still, still)) == 0


def test_pairs_without_blendshapes_are_left_out():
    metric = expression_mediapipe()
    assert metric.measure(pair(expressing(a=1.0), None)) is None
    assert metric.measure(pair(SeenFace(CROP, POINTS), expressing(a=1.0))) is None
    with pytest.raises(ValueError, match='expressions=True'):
        blendshape_vector(expressing())


def test_a_found_face_has_51_blendshapes(portrait_face):
    vector = blendshape_vector(SeenFace(CROP, POINTS, portrait_face))
    assert vector is not None and vector.shape == (51,)
    assert 0 <= vector.min() < vector.max() <= 1


@pytest.fixture(scope='module')
def estimator():
    if not os.environ.get('APGAN_DATA'):
        pytest.skip('APGAN_DATA is unset: the weights of 3DDFA_V2 are not there')
    return PoseEstimator(data_folder() / WEIGHTS)


def test_3ddfas_distance_is_of_the_expression_alone(estimator, monkeypatch):
    """Coefficients moved by known steps; pose and shape must not count."""
    steps = np.zeros(10)
    steps[[0, 3]] = 3.0, 4.0
    still = FaceParameters(np.ones((3, 4)), np.ones(40), np.full(10, 0.5))
    moved = FaceParameters(np.zeros((3, 4)), np.zeros(40), still.expression + steps)
    first, second = SeenFace(CROP, POINTS), SeenFace(CROP, POINTS)
    monkeypatch.setattr(estimator, 'of_face', lambda face: still if face is first else moved)
    assert expression_3ddfa(estimator).measure(pair(first, second)) == pytest.approx(5)


def test_one_face_has_a_distance_of_zero(estimator, portrait_face):
    aligned = align_face(portrait(), portrait_face.landmarks, CropSpec(256))
    seen = SeenFace(aligned.crop, aligned.landmarks, portrait_face)
    for metric in (expression_3ddfa(estimator), expression_mediapipe()):
        assert metric.measure(pair(seen, seen)) == 0
        assert metric.measure(pair(seen, None)) is None


def test_expression_vectors_of_a_file_are_compared_in_their_columns(tmp_path):
    """A network that gives the mean of each channel; the third does not count."""
    mean = helper.make_node('ReduceMean', ['x'], ['y'], axes=[2, 3], keepdims=0)
    write_network(tmp_path / 'net.onnx', ['n', 3, 8, 6], mean)
    declared = adapter(tmp_path, kind='expression', columns=[0, 2], name='Deng 2019')
    metric = expression_onnx(AdaptedNetwork(declared))
    assert metric.key == 'expression_deng_2019'
    coloured = SeenFace(CROP + np.array([3, 4, 200], np.uint8), POINTS)
    assert metric.measure(pair(SeenFace(CROP, POINTS), coloured)) == pytest.approx(5)
    assert metric.measure(pair(coloured, None)) is None


def test_a_network_of_another_kind_is_refused(tmp_path):
    write_network(tmp_path / 'net.onnx', ['n', 3, 8, 6])
    with pytest.raises(UserError, match="kind = 'features'"):
        expression_onnx(AdaptedNetwork(adapter(tmp_path)))
