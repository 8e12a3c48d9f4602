"""Pose distances of known rotations, of matrices and of pictures."""

import os

import cv2
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec, transform_points
from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.face.landmarks import Face
from apgan_jax.metrics.pose import (
    hopenet_angles,
    mediapipe_angles,
    pose_3ddfa,
    pose_distance,
    pose_hopenet,
    pose_mediapipe,
)
from apgan_jax.networks.adapters import AdaptedNetwork
from apgan_jax.networks.network import data_folder
from apgan_jax.networks.pose_estimator import WEIGHTS, PoseEstimator
from support.faces import portrait, rotation
from support.onnx_files import adapter, helper, write_network

CROP = np.zeros((8, 8, 3), np.uint8)
POINTS = np.zeros((478, 2), np.float32)


def turned(yaw: float, pitch: float, roll: float) -> SeenFace:
    """A face as MediaPipe gives it, with a pose and nothing else."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(yaw, pitch, roll)
    return SeenFace(CROP, POINTS, Face(POINTS, matrix, {}))


def pair(target: SeenFace, swapped: SeenFace | None) -> FacePair:
    return FacePair(target, target.crop, swapped)


@pytest.fixture(scope='module')
def estimator():
    if not os.environ.get('APGAN_DATA'):
        pytest.skip('APGAN_DATA is unset: the weights of 3DDFA_V2 are not there')
    return PoseEstimator(data_folder() / WEIGHTS)


@pytest.fixture(scope='module')
def seen(portrait_face) -> SeenFace:
    aligned = align_face(portrait(), portrait_face.landmarks, CropSpec(256))
    return SeenFace(aligned.crop, aligned.landmarks, portrait_face)


def rotated(face: SeenFace, degrees: float) -> SeenFace:
    """The picture turned counter-clockwise about the middle of the mesh."""
    x, y = face.landmarks[:468].mean(axis=0).tolist()
    matrix = cv2.getRotationMatrix2D((x, y), degrees, 1.0)
    picture = cv2.warpAffine(face.crop, matrix, face.crop.shape[1::-1], borderMode=1)
    return SeenFace(picture, transform_points(matrix, face.landmarks))


def test_pose_distance_is_the_norm_and_wraps():
    assert pose_distance([3, 4, 0], [0, 0, 0]) == pytest.approx(5)
    assert pose_distance([0, 0, 179], [0, 0, -179]) == pytest.approx(2)


def test_mediapipes_distance_of_known_rotations():
    metric = pose_mediapipe()
    assert metric.unit == 'degrees'
    assert metric.measure(pair(turned(0, 0, 0), turned(2, 3, -6))) == pytest.approx(7)
    assert metric.measure(pair(turned(20, 5, 9), turned(20, 5, 9))) == 0


def test_pairs_without_a_face_are_left_out():
    metric = pose_mediapipe()
    assert metric.measure(pair(turned(0, 0, 0), None)) is None
    assert metric.measure(pair(SeenFace(CROP, POINTS), turned(0, 0, 0))) is None


def test_a_face_without_a_matrix_is_an_error_and_no_number():
    face = SeenFace(CROP, POINTS, Face(POINTS, np.full((4, 4), np.nan), {}))
    with pytest.raises(ValueError, match='expressions=True'):
        mediapipe_angles(face)


@pytest.mark.parametrize('degrees', [10, -10])
def test_a_turned_picture_changes_3ddfas_roll_by_as_much(estimator, seen, degrees):
    before, after = (estimator.of_face(face).angles for face in (seen, rotated(seen, degrees)))
    np.testing.assert_allclose(after - before, [0, 0, degrees], atol=2.5)
    distance = pose_3ddfa(estimator).measure(pair(seen, rotated(seen, degrees)))
    assert distance == pytest.approx(10, abs=2)


def test_a_turned_picture_changes_mediapipes_roll_by_as_much(seen, image_landmarker):
    photo = portrait()
    centre = seen.face.landmarks[:468].mean(axis=0).tolist()
    matrix = cv2.getRotationMatrix2D(centre, 10, 1.0)
    (face,) = image_landmarker.detect(cv2.warpAffine(photo, matrix, photo.shape[1::-1]))
    after = mediapipe_angles(SeenFace(seen.crop, seen.landmarks, face))
    np.testing.assert_allclose(after - mediapipe_angles(seen), [0, 0, 10], atol=2.5)


def test_3ddfa_and_mediapipe_agree_in_sign_and_size(estimator, seen):
    difference = estimator.angles(seen.crop, seen.landmarks) - mediapipe_angles(seen)
    assert np.abs(difference).max() < 10


def test_one_face_has_a_distance_of_zero_and_one_run_serves_all(estimator, seen):
    assert pose_3ddfa(estimator).measure(pair(seen, seen)) == 0
    assert estimator.of_face(seen) is estimator.of_face(seen)
    parameters = estimator.of_face(seen)
    assert parameters.shape.shape == (40,) and parameters.expression.shape == (10,)


def test_hopenets_bins_are_read_as_its_authors_do():
    scores = np.full((1, 3, 66), -1e9)
    scores[0, 0, 33] = scores[0, 1, 0] = scores[0, 2, 65] = 0
    np.testing.assert_allclose(hopenet_angles(scores), [[0, -99, 96]], atol=1e-9)
    # Two bins alike: their mean. All alike: the middle of 0 … 65, which is 32.5 bins.
    scores[0, 0, 34] = 0
    assert hopenet_angles(scores)[0, 0] == pytest.approx(1.5)
    np.testing.assert_allclose(hopenet_angles(np.zeros((1, 3, 66))), -1.5)


def test_hopenet_in_a_file_is_measured(tmp_path):
    """Three outputs of 66 bins, of which brightness lifts one: the first pictures' mean."""
    nodes = [
        helper.make_node('ReduceMean', ['x'], ['mean'], axes=[1, 2, 3], keepdims=0),
        helper.make_node('Constant', [], ['bins'], value_floats=np.eye(66)[43].tolist()),
        helper.make_node('Constant', [], ['shape'], value_ints=[-1, 1]),
        helper.make_node('Reshape', ['mean', 'shape'], ['column']),
        helper.make_node('Mul', ['column', 'bins'], ['yaw']),
        helper.make_node('Sub', ['yaw', 'yaw'], ['pitch']),
        helper.make_node('Sub', ['yaw', 'yaw'], ['roll']),
    ]
    names = ('yaw', 'pitch', 'roll')
    write_network(tmp_path / 'net.onnx', ['n', 3, 8, 8], *nodes, outputs=names)
    declared = adapter(tmp_path, kind='pose', size=[8, 8], region='head', name='Hopenet')
    metric = pose_hopenet(AdaptedNetwork(declared))
    assert metric.key == 'pose_hopenet'
    black, white = SeenFace(CROP, POINTS), SeenFace(CROP + 255, POINTS)
    # Black: all bins alike, -1.5 degrees. White: bin 43 alone, 30 degrees.
    assert metric.measure(pair(black, white)) == pytest.approx(31.5)
    assert metric.measure(pair(white, white)) == 0
    assert metric.measure(pair(white, None)) is None


def test_degrees_are_taken_as_they_are_and_other_shapes_refused():
    np.testing.assert_array_equal(hopenet_angles(np.array([[1, 2, 3]])), [[1, 2, 3]])
    with pytest.raises(UserError, match='must be three of'):
        hopenet_angles(np.zeros((1, 3, 62)))


def test_a_network_of_another_kind_is_refused(tmp_path):
    write_network(tmp_path / 'net.onnx', ['n', 3, 8, 6])
    with pytest.raises(UserError, match="kind = 'features'"):
        pose_hopenet(AdaptedNetwork(adapter(tmp_path)))
