"""Metrics whose answers are known without them."""

import os

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.metrics import heldout, networks
from apgan_jax.metrics.expression import correlation
from apgan_jax.metrics.identity import cosine, nearest_identity
from apgan_jax.metrics.pose import euler_angles, pose_distance
from apgan_jax.metrics.ssim import ssim


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


def test_planted_nearest_neighbour_and_its_exclusion():
    gallery = np.eye(4, dtype=np.float32)
    people = np.array(['a', 'b', 'c', 'a'])
    query = np.array([0.1, 0.9, 0.2, 0.3], np.float32)
    nobody = np.zeros(4, bool)
    assert nearest_identity(query, gallery, people, nobody) == 'b'
    assert nearest_identity(query, gallery, people, np.array([False, True, False, False])) == 'a'


def test_cosine_of_rows():
    np.testing.assert_allclose(cosine(np.eye(3), np.eye(3)[[0, 2, 2]]), [1, 0, 1])


def test_correlation_of_series():
    series = np.array([0.0, 1.0, 0.5, 0.2])
    assert correlation(series, 2 * series + 1) == pytest.approx(1)
    assert correlation(series, -series) == pytest.approx(-1)
    assert correlation(series, np.ones(4)) is None


def test_pairs_are_500_of_different_photos():
    rows = heldout.PAIRS_FILE.read_text().splitlines()[1:]
    pairs = {tuple(row.split('\t')) for row in rows}
    assert len(rows) == len(pairs) == 500
    assert all(source != target for source, target in pairs)


def test_pairs_are_of_different_people():
    if not os.environ.get('APGAN_DATA'):
        pytest.skip('APGAN_DATA is unset: the labels of the held-out photos are not there')
    index = (networks.data_folder() / 'faces' / 'index.tsv').read_text().splitlines()[1:]
    people = dict(line.split('\t') for line in index)
    rows = [row.split('\t') for row in heldout.PAIRS_FILE.read_text().splitlines()[1:]]
    assert all(people[f'celeba_heldout/{s}'] != people[f'celeba_heldout/{t}'] for s, t in rows)


def test_missing_data_folder_is_named(monkeypatch):
    monkeypatch.delenv('APGAN_DATA', raising=False)
    with pytest.raises(UserError, match='APGAN_DATA'):
        networks.data_folder()


def test_missing_network_is_named(tmp_path):
    pytest.importorskip('onnxruntime')
    with pytest.raises(UserError, match=r'absent\.onnx'):
        networks.OnnxNetwork(tmp_path / 'absent.onnx')
