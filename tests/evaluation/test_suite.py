"""Which rows there are with which networks, and what is said of those that are not there."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.suite import build_suite
from apgan_jax.face.alignment import HEAD_V1_WINDOW
from apgan_jax.networks.flow import DisFlow, OnnxFlow
from apgan_jax.networks.recognisers import OnnxRecogniser
from support.onnx_files import write_network


def adapter_file(folder, kind, name, *, shape=(1, 3, 4, 4), **fields):
    """The TOML file of a network that passes its pictures on."""
    write_network(folder / f'{name}.onnx', shape)
    fields = {'file': f'{name}.onnx', 'kind': kind, 'name': name, 'size': [4, 4]} | fields
    fields = {'mean': 0.0, 'scale': 1.0} | fields
    path = folder / f'{name}.toml'
    path.write_text(''.join(f'{key} = {value!r}\n' for key, value in fields.items()))
    return str(path)


def keys(descriptions):
    return [each.key for each in descriptions]


def test_rows_are_in_the_papers_order(suite):
    order = ['dipd', 'pose', 'expression', 'ssim', 'aee', 'fwe', 'motion', 'frechet', 'fid']
    there = [row for row in suite.descriptions() if row not in suite.missing]
    places = [order.index(row.key.split('_')[0]) for row in there]
    assert places == sorted(places)
    assert len(set(keys(suite.descriptions()))) == len(suite.descriptions())
    assert {'ssim', 'aee', 'fwe', 'pose_mediapipe'} <= set(keys(there))


def test_pictures_that_stand_alone_have_no_temporal_rows(suite):
    left_out = set(keys(suite.descriptions())) - set(keys(suite.descriptions(temporal=False)))
    assert {'aee', 'fwe', 'fwe_short', 'fwe_long', 'fwe_target'} <= left_out
    assert all(key.startswith(('aee', 'fwe', 'motion_')) for key in left_out)


def test_a_row_without_its_network_says_why(monkeypatch):
    monkeypatch.delenv('APGAN_DATA', raising=False)
    suite = build_suite()
    (pose,) = (row for row in suite.missing if row.key == 'pose_3ddfa')
    assert pose.warning.startswith("left out: APGAN_DATA='': must name the folder")
    assert suite.descriptions()[-len(suite.missing) :] == list(suite.missing)
    assert isinstance(suite.flow, DisFlow)


def test_networks_that_are_given_take_their_places(suite, tmp_path):
    given = [
        adapter_file(tmp_path, 'features', 'colours'),
        adapter_file(tmp_path, 'pose', 'hopenet', output=0, columns=[0, 3]),
        adapter_file(tmp_path, 'expression', 'faces'),
        adapter_file(tmp_path, 'identity', 'arcface', encoder='iresnet50'),
        adapter_file(tmp_path, 'flow', 'raft', shape=('n', 6, 'h', 'w')),
    ]
    larger = build_suite(given)
    added = set(keys(larger.descriptions())) - set(keys(suite.descriptions()))
    assert added == {'frechet_colours', 'pose_hopenet', 'expression_faces'}
    # The paper's network goes before those that are there in its stead.
    poses = [key for key in keys(larger.metrics) if key.startswith('pose')]
    assert poses[0] == 'pose_hopenet'
    assert isinstance(larger.recognisers[-1], OnnxRecogniser)
    assert larger.recognisers[-1].key == 'iresnet50'
    assert isinstance(larger.flow, OnnxFlow)
    (aee,) = (row for row in larger.descriptions() if row.key == 'aee')
    assert aee.network.name == 'raft'


def test_features_are_a_networks_output_as_it_is(tmp_path):
    network = build_suite([adapter_file(tmp_path, 'features', 'pixels')]).feature_networks[-1]
    crops = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(
        network.features(crops, HEAD_V1_WINDOW), crops.transpose(0, 3, 1, 2).reshape(2, 48)
    )


def test_two_networks_of_one_name_are_refused(tmp_path):
    (tmp_path / 'other').mkdir()
    twins = [adapter_file(folder, 'features', 'twin') for folder in (tmp_path, tmp_path / 'other')]
    with pytest.raises(UserError, match="two networks would both be called 'frechet_twin'"):
        build_suite(twins)


@pytest.mark.parametrize('name', ['net.onnx', 'vgg'])
def test_what_is_neither_an_adapter_nor_built_in_is_refused(name):
    with pytest.raises(UserError, match=rf'--network {name}: must be the TOML file .* of dlib'):
        build_suite([name])


@pytest.mark.parametrize('fields', [{'mean': [1.0, 2.0, 3.0]}, {'layout': 'nhwc'}])
def test_a_flow_of_uneven_colours_is_refused(tmp_path, fields):
    path = adapter_file(tmp_path, 'flow', 'raft', shape=('n', 6, 'h', 'w'), **fields)
    with pytest.raises(UserError, match='takes one mean, one scale and the layout nchw'):
        build_suite([path])
