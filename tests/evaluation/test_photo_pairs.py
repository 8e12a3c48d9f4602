"""What a model of random weights gets for pairs of photos."""

import dataclasses
import os

import numpy as np
import pytest

from apgan_jax.bundle import SHIPPED_BUNDLE, load_bundle
from apgan_jax.errors import UserError
from apgan_jax.evaluation import photo_pairs
from apgan_jax.evaluation.photo_sets import lfw_pairs
from apgan_jax.face.alignment import CropSpec
from apgan_jax.inference.swapper import Swapper
from apgan_jax.networks.network import data_folder
from apgan_jax.networks.pose_estimator import WEIGHTS, PoseEstimator
from benchmarks import heldout_limits, pose_error
from support.faces import blank, variations, write_photos


def test_photos_without_a_face_take_their_pairs_along(tmp_path):
    people = {'a': variations()['ann/1.png'], 'b': blank(), 'c': variations()['cat/2.png']}
    wanted = lfw_pairs(
        write_photos(tmp_path, {f'{name}/{name}_0001.jpg': p for name, p in people.items()})
    )
    faces = photo_pairs.read_faces(wanted, CropSpec(size=64))
    without = next(n for n, photo in enumerate(wanted.photos) if photo.person == 'b')
    assert faces.faces[without] is None
    assert all(without not in pair for pair in faces.pairs)
    assert len(faces.pairs) < len(wanted.pairs)


def test_report_has_the_rows_of_its_protocol_and_the_summary(lfw, tiny_bundle, suite, tmp_path):
    wanted = lfw_pairs(lfw, 3)
    report, rows = photo_pairs.evaluate_photos(
        lambda spec: photo_pairs.read_faces(wanted, spec),
        [Swapper(tiny_bundle)],
        suite,
        ks=[1, 2],
        contact_sheet=tmp_path / 'sheet.png',
    )
    keys = {row.what.key: row for row in report.table.rows}
    assert report.table.columns == ('tiny k=1', 'tiny k=2')
    assert {'mean_match_score_sface', 'ssim', 'frechet_sface'} <= keys.keys()
    assert 'aee' not in keys
    assert -1 <= keys['ssim'].values[0].mean <= 1
    assert keys['ssim'].values[0].count == 3
    assert 'trained with' in keys['mean_match_score_mobilefacenet'].values[0].reason
    assert not keys['mean_match_score_sface'].values[0].reason
    assert [row['k'] for row in rows] == [1, 2]
    assert rows[0]['ssim'] == pytest.approx(keys['ssim'].values[0].mean, abs=1e-4)
    # 3DDFA_V2 is not shipped: without it there is neither number nor row, but its place.
    expression = keys.get('expression_3ddfa')
    mean = expression and expression.values[0].mean
    assert rows[0]['expression_3ddfa'] == (mean and pytest.approx(mean, abs=1e-4))
    assert (tmp_path / 'sheet.png').is_file()


def test_held_out_pairs_have_rows_of_what_is_seen_after_the_old_ones(lfw, tiny_bundle, suite):
    wanted = dataclasses.replace(lfw_pairs(lfw, 2), name='heldout')
    report, (row,) = photo_pairs.evaluate_photos(
        lambda spec: photo_pairs.read_faces(wanted, spec), [Swapper(tiny_bundle)], suite
    )
    *old, _, _, _, _, _, _, _, _ = row
    assert old[-1] == 'ssim'
    assert list(row)[len(old) :] == [
        'sharpness',
        'skin_de',
        'skin_de_p90',
        'self_lpips',
        'self_ssim',
        'same_person_lpips',
        'smear',
        'occluder_error',
    ]
    assert row['sharpness'] > 0 and 0 < row['skin_de'] <= row['skin_de_p90']
    assert 0 < row['self_ssim'] < 1 and 0 < row['occluder_error'] < 255
    keys = {row.what.key: row for row in report.table.rows}
    assert keys['self_ssim'].values[0].count == 2
    if row['self_lpips'] is not None:
        assert 0 < row['self_lpips'] < row['same_person_lpips'] + 1


def test_more_photos_than_a_person_has_are_refused(lfw, tiny_bundle, suite):
    faces = photo_pairs.read_faces(lfw_pairs(lfw, 2), tiny_bundle.crop_spec)
    with pytest.raises(UserError, match='--k 3'):
        photo_pairs.evaluate_faces(faces, Swapper(tiny_bundle), suite, k=3)


def test_every_k_is_checked_before_the_first_is_measured(lfw, tiny_bundle, suite, monkeypatch):
    monkeypatch.setattr(photo_pairs, 'evaluate_faces', lambda *_, **__: pytest.fail('measured'))
    wanted = lfw_pairs(lfw, 2)
    with pytest.raises(UserError, match='--k 3'):
        photo_pairs.evaluate_photos(
            lambda spec: photo_pairs.read_faces(wanted, spec),
            [Swapper(tiny_bundle)],
            suite,
            ks=[1, 3],
        )


def test_the_ends_of_the_scales(lfw):
    faces = photo_pairs.read_faces(lfw_pairs(lfw, 3), CropSpec(size=64))
    rows = heldout_limits.limits(faces)
    assert rows['source'].keys() == {
        f'{row}_{network}'
        for row in ('identity_retrieval', 'target_similarity')
        for network in ('sface', 'mobilefacenet')
    }
    assert 0.3 < rows['other_photo']['source_similarity_sface'] < 1
    blurred = [rows[f'blur_{sigma:g}']['ssim'] for sigma in heldout_limits.BLURS]
    assert 1 > blurred[0] > blurred[1] > blurred[2]


def test_where_pose_errors_come_from():
    rng = np.random.default_rng(0)
    targets = rng.uniform(-35, 35, (200, 3))
    turned = targets * [0.7, 0.5, 1.0] + [1.0, -2.0, 0.0]
    row = pose_error.summary(targets, turned)
    assert row['slope'] == {'yaw': 0.7, 'pitch': 0.5, 'roll': 1.0}
    assert row['by_yaw'].keys() == {'0-10', '10-20', '20-30', '30-90'}
    assert row['by_yaw']['30-90'] > row['by_yaw']['0-10']
    distance = np.hypot(0.3 * targets[:, 0] - 1.0, 0.5 * targets[:, 1] + 2.0)
    assert row['degrees']['mean'] == pytest.approx(distance.mean(), abs=1e-3)
    assert row['degrees']['0.5'] == pytest.approx(np.median(distance), abs=1e-3)


def test_pose_errors_of_a_bundle(lfw):
    if not os.environ.get('APGAN_DATA'):
        pytest.skip('APGAN_DATA is unset: the weights of 3DDFA_V2 are not there')
    swapper = Swapper(load_bundle(SHIPPED_BUNDLE))
    faces = photo_pairs.read_faces(lfw_pairs(lfw, 2), swapper.bundle.crop_spec)
    estimator = PoseEstimator(data_folder() / WEIGHTS)
    targets, swapped = pose_error.angles_of(faces, swapper, estimator)
    assert targets.shape == swapped.shape == (2, 3)
    assert np.abs(targets - swapped).max() < 30
