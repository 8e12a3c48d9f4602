"""Adapters, with real ONNX files that return what they were given."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.alignment import ARCFACE_WINDOWS
from apgan_jax.face.face_pair import SeenFace
from apgan_jax.models.images import arcface_window
from apgan_jax.networks.adapters import AdaptedNetwork, Adapter, cut_face
from apgan_jax.networks.network import NetworkInfo, OnnxNetwork, Remembered
from support.onnx_files import adapter, helper, write_network

PICTURE = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)


@pytest.fixture
def planes(tmp_path):
    """A folder with a network of planes that returns its input."""
    write_network(tmp_path / 'net.onnx', ['n', 3, 8, 6])
    return tmp_path


def test_the_network_sees_the_pixels_themselves(planes):
    seen = AdaptedNetwork(adapter(planes))(PICTURE[None])
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen, PICTURE.transpose(2, 0, 1)[None])


def test_mean_and_scale_are_of_the_networks_order_of_channels(planes):
    declared = adapter(planes, channels='bgr', mean=[1, 2, 3], scale=[0.5, 2, 4])
    blue, green, red = AdaptedNetwork(declared)(PICTURE[None])[0]
    np.testing.assert_array_equal(blue, (PICTURE[..., 2] - 1.0) * 0.5)
    np.testing.assert_array_equal(green, (PICTURE[..., 1] - 2.0) * 2)
    np.testing.assert_array_equal(red, (PICTURE[..., 0] - 3.0) * 4)


def test_layout_with_channels_last(tmp_path):
    write_network(tmp_path / 'net.onnx', ['n', 8, 6, 3])
    seen = AdaptedNetwork(adapter(tmp_path, layout='nhwc'))(PICTURE[None])
    np.testing.assert_array_equal(seen[0], PICTURE)


def test_a_network_of_one_picture_is_run_one_by_one(tmp_path):
    write_network(tmp_path / 'net.onnx', [1, 3, 8, 6])
    both = AdaptedNetwork(adapter(tmp_path))(np.stack([PICTURE, 255 - PICTURE]))
    np.testing.assert_array_equal(both[0] + both[1], np.full((3, 8, 6), 255))


def test_pictures_of_another_size_are_resized_by_area(planes):
    large = PICTURE.repeat(2, axis=0).repeat(2, axis=1)
    network = AdaptedNetwork(adapter(planes))
    np.testing.assert_array_equal(network(large[None]), network(PICTURE[None]))


@pytest.fixture
def two_outputs(tmp_path):
    nodes = [
        helper.make_node('Neg', ['x'], ['less']),
        helper.make_node('Abs', ['less'], ['more']),
    ]
    write_network(tmp_path / 'net.onnx', ['n', 3, 8, 6], *nodes, outputs=('less', 'more'))
    return tmp_path


@pytest.mark.parametrize(('output', 'sign'), [(0, -1), (1, 1), ('more', 1), ('less', -1)])
def test_output_by_place_or_name(two_outputs, output, sign):
    seen = AdaptedNetwork(adapter(two_outputs, output=output))(PICTURE[None])
    np.testing.assert_array_equal(seen[0], sign * PICTURE.transpose(2, 0, 1).astype(np.float32))


def test_several_outputs_are_stacked_and_columns_cut(two_outputs):
    declared = adapter(two_outputs, output=['more', 'less'], columns=[1, 3])
    seen = AdaptedNetwork(declared)(PICTURE[None])
    assert seen.shape == (1, 2, 3, 8, 2)
    np.testing.assert_array_equal(seen[0, 0], -seen[0, 1])
    np.testing.assert_array_equal(seen[0, 0], PICTURE.transpose(2, 0, 1)[..., 1:3])


def test_columns_outside_the_output_are_refused(planes):
    with pytest.raises(UserError, match=r'columns = \[0, 7\] of an output of 6'):
        AdaptedNetwork(adapter(planes, columns=[0, 7]))(PICTURE[None])


def test_defaults_of_identity_are_insightfaces(tmp_path):
    declared = Adapter.from_dict({'file': 'a.onnx', 'kind': 'identity'}, tmp_path / 'a.toml')
    assert declared.size == (112, 112)
    assert declared.region == 'arcface'
    assert declared.mean == (127.5,) * 3
    assert declared.scale == (1 / 127.5,) * 3


def test_toml_is_read_and_the_file_lies_beside_it(planes):
    toml = planes / 'net.toml'
    toml.write_text(
        'file = "net.onnx"\nkind = "features"\nname = "Mirror"\nsize = [8, 6]\n'
        'mean = [0, 0, 0]\nscale = 1.0\n'
    )
    network = AdaptedNetwork(Adapter.read(toml))
    assert network.info == NetworkInfo.of_file('Mirror', planes / 'net.onnx')
    assert network.info.key == 'mirror'


@pytest.mark.parametrize('window', ARCFACE_WINDOWS.values(), ids=ARCFACE_WINDOWS)
def test_regions_of_a_crop(tmp_path, window):
    crop = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert adapter(tmp_path, size=[64, 64]).cut(crop, window) is crop
    face = adapter(tmp_path, size=[112, 112], region='arcface').cut(crop, window)
    expected = np.asarray(arcface_window(crop[None].astype(np.float32), window))[0]
    assert np.abs(face - expected).max() <= 0.5
    # Landmarks from 15.5 to 47.5 and no margin: 32 pixels, shown one to one.
    corners = np.array([[15.5, 15.5], [47.5, 47.5]], np.float32)
    face = adapter(tmp_path, size=[32, 32], region='face', margin=0).cut(crop, window, corners)
    np.testing.assert_array_equal(face, crop[16:48, 16:48])


def test_margin_is_a_share_of_the_longer_side():
    crop = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    flat = np.array([[23.5, 29.5], [39.5, 33.5]], np.float32)
    np.testing.assert_array_equal(cut_face(crop, flat, 32, margin=0.5), crop[16:48, 16:48])


def test_of_faces_shows_the_region(planes):
    face = SeenFace(PICTURE.repeat(2, axis=0).repeat(2, axis=1), np.zeros((478, 2), np.float32))
    seen = AdaptedNetwork(adapter(planes)).of_faces([face, face])
    np.testing.assert_array_equal(seen[1], PICTURE.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'kind': 'age'}, "kind = 'age': must be one of identity, pose"),
        ({'channels': 'yuv'}, 'channels'),
        ({'layout': ['nchw']}, 'layout'),
        ({'region': 'mouth'}, 'region'),
        ({'size': [8]}, 'size'),
        ({'size': [0, 6]}, 'size'),
        ({'size': [8, 6], 'region': 'face'}, 'must be square'),
        ({'mean': [1, 2]}, 'mean'),
        ({'scale': True}, 'scale'),
        ({'scale': float('nan')}, 'scale'),
        ({'output': []}, 'output'),
        ({'output': 1.5}, 'output'),
        ({'margin': -1}, 'margin'),
        ({'columns': [3, 3]}, 'columns'),
        ({'name': ''}, 'name'),
        ({'colour': 1}, "unknown field 'colour'"),
    ],
)
def test_each_field_is_checked(tmp_path, fields, message):
    with pytest.raises(UserError, match=message.replace('[', r'\[')) as caught:
        adapter(tmp_path, **fields)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('missing', ['file', 'kind', 'size', 'mean', 'scale'])
def test_missing_fields_are_named(tmp_path, missing):
    fields = {'file': 'a', 'kind': 'features', 'size': [1, 1], 'mean': 0, 'scale': 1}
    del fields[missing]
    with pytest.raises(UserError, match=f'{missing} is missing'):
        Adapter.from_dict(fields, tmp_path / 'a.toml')


def test_no_toml_and_no_file(tmp_path):
    with pytest.raises(UserError, match=r'absent\.toml: cannot be read'):
        Adapter.read(tmp_path / 'absent.toml')
    (tmp_path / 'bad.toml').write_text('file = ')
    with pytest.raises(UserError, match='is no TOML'):
        Adapter.read(tmp_path / 'bad.toml')
    with pytest.raises(UserError, match=r'net\.onnx: no such network'):
        AdaptedNetwork(adapter(tmp_path))


@pytest.mark.parametrize('fields', [{'size': [6, 8]}, {'layout': 'nhwc'}])
def test_an_adapter_that_contradicts_its_file_is_refused(planes, fields):
    with pytest.raises(UserError, match='mend its size or layout'):
        AdaptedNetwork(adapter(planes, **fields))


def test_an_absent_output_is_named(planes):
    with pytest.raises(UserError, match='no output 3'):
        AdaptedNetwork(adapter(planes, output=3))
    with pytest.raises(UserError, match="no output 'z'; name one of y"):
        AdaptedNetwork(adapter(planes, output='z'))


def test_a_file_that_is_no_network_is_refused(tmp_path):
    (tmp_path / 'net.onnx').write_bytes(b'nothing')
    with pytest.raises(UserError, match='cannot load it') as caught:
        OnnxNetwork(tmp_path / 'net.onnx')
    assert '\n' not in str(caught.value)


def test_a_network_of_whole_numbers_refuses_pictures_in_one_line(tmp_path):
    write_network(tmp_path / 'net.onnx', ['n', 3, 8, 6], element=helper.TensorProto.UINT8)
    with pytest.raises(UserError, match='refuses float32') as caught:
        AdaptedNetwork(adapter(tmp_path))(PICTURE[None])
    assert '\n' not in str(caught.value)


def test_a_remembered_function_runs_once_a_face_and_forgets_the_oldest():
    runs = []
    remembered = Remembered(lambda face: runs.append(face) or len(runs), kept=2)
    first, second, third = [0], [0], [0]  # equal, but not the same
    assert [remembered(face) for face in (first, second, first, third, first)] == [1, 2, 1, 3, 4]
