"""FID's Inception by way of ONNX; its weights cannot be shipped, so a small graph stands there."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from apgan_jax.errors import UserError
from apgan_jax.face.alignment import HEAD_V1_WINDOW
from apgan_jax.networks.inception import Inception, find_inception


def pooled_colours(path, dimension=2048):
    """A network whose features are the mean colour times fixed weights (3, dimension)."""
    weights = np.zeros((3, dimension), np.float32)
    weights[:, :3] = np.eye(3)
    graph = helper.make_graph(
        [
            helper.make_node('GlobalAveragePool', ['x'], ['pooled']),
            helper.make_node('Flatten', ['pooled'], ['flat']),
            helper.make_node('MatMul', ['flat', 'weights'], ['y']),
        ],
        'pooled colours',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 3, 299, 299])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [1, dimension])],
        [numpy_helper.from_array(weights, 'weights')],
    )
    opset = helper.make_opsetid('', 14)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def crops():
    """Two pictures of one colour each, and one that is half black, half white."""
    pictures = np.zeros((3, 64, 48, 3), np.uint8)
    pictures[0] = (255, 0, 51)
    pictures[1] = (0, 102, 255)
    pictures[2, :, 24:] = 255
    return pictures


@pytest.mark.parametrize(('value_range', 'scale'), [((0.0, 1.0), (1, 0)), ((-1.0, 1.0), (2, -1))])
def test_channels_range_and_size(value_range, scale, tmp_path):
    network = Inception(pooled_colours(tmp_path / 'net.onnx'), value_range)
    features = network.features(crops(), HEAD_V1_WINDOW)
    assert features.shape == (3, 2048) and features.dtype == np.float32
    colours = np.array([[1.0, 0.0, 0.2], [0.0, 0.4, 1.0], [0.5, 0.5, 0.5]])
    # onnxruntime sums 299² float32 numbers.
    np.testing.assert_allclose(features[:, :3], colours * scale[0] + scale[1], atol=1e-3)
    assert network.info.file_name == 'net.onnx' and len(network.info.sha256) == 64


def test_no_pictures(tmp_path):
    network = Inception(pooled_colours(tmp_path / 'net.onnx'))
    assert network.features(crops()[:0], HEAD_V1_WINDOW).shape == (0, 2048)


def test_another_output_is_refused(tmp_path):
    network = Inception(pooled_colours(tmp_path / 'net.onnx', dimension=1008))
    with pytest.raises(UserError, match=r'net\.onnx: gives 1008 numbers, not the 2048'):
        network.features(crops(), HEAD_V1_WINDOW)


def test_where_it_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv('APGAN_DATA', str(tmp_path))
    with pytest.raises(UserError, match=r'APGAN_DATA/weights/inception_v3_fid\.onnx.*2015-12-05'):
        find_inception()
    with pytest.raises(UserError, match=r'other\.onnx: no such file'):
        find_inception(tmp_path / 'other.onnx')
    (tmp_path / 'weights').mkdir()
    there = pooled_colours(tmp_path / 'weights' / 'inception_v3_fid.onnx')
    assert find_inception() == there
    monkeypatch.delenv('APGAN_DATA')
    with pytest.raises(UserError, match='no such file'):
        find_inception()
