"""Optical flow: DIS on known motion, ONNX graphs whose flow is computed by hand, warping."""

import cv2
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.networks.flow import DisFlow, OnnxFlow, warp
from support.flows import bilinear, constant_flow, image

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')


def textured(height, width, seed=0):
    noise = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def constant(height, width, colour):
    return np.full((height, width, 3), colour, np.uint8)


def flow_graph(path, *nodes, inputs=(('image', 3), ('other', 3)), size=('h', 'w'), constants=()):
    """A graph of two outputs, of which the last is called 'flow'."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        'flow',
        [value(name, onnx.TensorProto.FLOAT, ('n', depth, *size)) for name, depth in inputs],
        [value(name, onnx.TensorProto.FLOAT, None) for name in ('coarse', 'flow')],
        [onnx.numpy_helper.from_array(np.array(data), name) for name, data in constants],
    )
    opset = onnx.helper.make_opsetid('', 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def first_two(name, result, start=0):
    """Nodes and constants for result = name[:, start : start + 2]."""
    node = onnx.helper.make_node(
        'Slice', [name, f'{result}_from', f'{result}_to', 'axis'], [result]
    )
    return node, [(f'{result}_from', [start]), (f'{result}_to', [start + 2])]


def difference_graph(path, **kwargs):
    """Flow = (other - image) of the first two channels; the first output is something else."""
    a, limits = first_two('image', 'a')
    b, more = first_two('other', 'b')
    flow = onnx.helper.make_node('Sub', ['b', 'a'], ['flow'])
    coarse = onnx.helper.make_node('Identity', ['a'], ['coarse'])
    constants = [('axis', [1]), *limits, *more]
    return flow_graph(path, a, b, coarse, flow, constants=constants, **kwargs)


def test_dis_recovers_a_translation():
    scene = textured(160, 200)
    image, other = scene[20:140, 20:180], scene[22:142, 17:177]
    flow = DisFlow()(image, other)
    assert flow.shape == (120, 160, 2)
    assert flow.dtype == np.float32
    # What is at p was 3 px further left and 2 px lower: other(p + (3, -2)) = image(p).
    error = np.linalg.norm(flow - np.array([3, -2]), axis=2)
    assert error[10:-10, 10:-10].max() < 0.25
    assert error.mean() < 0.1


def test_dis_of_a_picture_with_itself_is_zero():
    picture = textured(61, 47)
    assert not DisFlow()(picture, picture).any()


@pytest.mark.parametrize('size', [(1, 1), (5, 9), (12, 12), (20, 400), (33, 31), (400, 20)])
def test_dis_takes_any_size(size):
    flow = DisFlow()(textured(*size), textured(*size, seed=1))
    assert flow.shape == (*size, 2)
    assert np.isfinite(flow).all()


def test_dis_does_not_remember_the_pair_before():
    pairs = [(textured(*size), textured(*size, seed=1)) for size in ((64, 80), (40, 48), (64, 80))]
    flow = DisFlow()
    for first, second in pairs:
        np.testing.assert_array_equal(flow(first, second), DisFlow()(first, second))


def test_dis_names_itself_and_has_no_file():
    info = DisFlow().info
    assert info.name == f'OpenCV DIS {cv2.__version__}'
    assert (info.file_name, info.sha256) == ('', '')


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match='one size'):
        DisFlow()(constant(40, 40, 0), constant(40, 41, 0))


def test_onnx_flow_is_the_last_output_of_two_inputs(tmp_path):
    flow = OnnxFlow(difference_graph(tmp_path / 'raft.onnx'))
    found = flow(constant(13, 21, (10, 20, 30)), constant(13, 21, (13, 15, 90)))
    np.testing.assert_array_equal(found, np.broadcast_to(np.float32([3, -5]), (13, 21, 2)))
    assert (flow.info.name, flow.info.file_name) == ('raft', 'raft.onnx')
    assert len(flow.info.sha256) == 64


def test_onnx_flow_value_range_and_channel_order(tmp_path):
    path = difference_graph(tmp_path / 'flow.onnx')
    flow = OnnxFlow(path, name='RAFT', value_range=(-1.0, 1.0), channel_order='BGR')
    found = flow(constant(8, 8, (0, 0, 0)), constant(8, 8, (1, 51, 102)))
    np.testing.assert_allclose(found[4, 4], [0.8, 0.4], atol=1e-6)
    assert flow.info.name == 'RAFT'


def test_onnx_flow_of_one_input_of_six_channels(tmp_path):
    a, limits = first_two('pair', 'a')
    b, more = first_two('pair', 'b', start=3)
    nodes = [
        a,
        b,
        onnx.helper.make_node('Identity', ['a'], ['coarse']),
        onnx.helper.make_node('Sub', ['b', 'a'], ['flow']),
    ]
    path = flow_graph(
        tmp_path / 'flownet.onnx',
        *nodes,
        inputs=[('pair', 6)],
        constants=[('axis', [1]), *limits, *more],
    )
    found = OnnxFlow(path, multiple=64)(constant(9, 9, (1, 2, 3)), constant(9, 9, (5, 1, 0)))
    np.testing.assert_array_equal(found, np.broadcast_to(np.float32([4, -1]), (9, 9, 2)))


def pooled_graph(path):
    """`difference_graph` averaged over 8×8 pixels; too small if 8 does not divide the sides."""
    a, limits = first_two('image', 'a')
    b, more = first_two('other', 'b')
    eight = {'kernel_shape': [8, 8], 'strides': [8, 8]}
    nodes = [
        a,
        b,
        onnx.helper.make_node('Sub', ['b', 'a'], ['difference']),
        onnx.helper.make_node('AveragePool', ['difference'], ['coarse'], **eight),
        onnx.helper.make_node('Resize', ['coarse', '', 'scales'], ['flow'], mode='nearest'),
    ]
    scales = ('scales', np.float32([1, 1, 8, 8]))
    return flow_graph(path, *nodes, constants=[('axis', [1]), *limits, *more, scales])


def test_onnx_flow_pads_by_repeating_the_border_and_cuts_back(tmp_path):
    other = constant(13, 21, (7, 7, 7))
    other[:, 20] = 11
    flow = OnnxFlow(pooled_graph(tmp_path / 'flow.onnx'), min_size=1)
    found = flow(constant(13, 21, (0, 0, 0)), other)
    assert found.shape == (13, 21, 2)
    np.testing.assert_array_equal(found[:, :16], 7)
    # Columns 16-19 are 7, column 20 and its three repetitions 11.
    np.testing.assert_array_equal(found[:, 16:], 9)


def test_onnx_flow_of_fixed_size_is_scaled_back(tmp_path):
    path = difference_graph(tmp_path / 'flow.onnx', size=(16, 32))
    found = OnnxFlow(path)(constant(40, 48, (0, 0, 0)), constant(40, 48, (10, 10, 0)))
    np.testing.assert_allclose(found, np.broadcast_to([15, 25], (40, 48, 2)), rtol=1e-6)


def test_onnx_flow_of_reduced_size_is_refused(tmp_path):
    flow = OnnxFlow(pooled_graph(tmp_path / 'flow.onnx'), multiple=1, min_size=1)
    with pytest.raises(UserError, match='full size'):
        flow(constant(13, 21, 0), constant(13, 21, 1))


def test_onnx_file_of_another_kind_is_refused(tmp_path):
    node = onnx.helper.make_node('Identity', ['image'], ['flow'])
    other = onnx.helper.make_node('Identity', ['image'], ['coarse'])
    path = flow_graph(tmp_path / 'vgg.onnx', node, other, inputs=[('image', 3)])
    with pytest.raises(UserError, match='two pictures'):
        OnnxFlow(path)
    with pytest.raises(UserError, match=r'absent\.onnx'):
        OnnxFlow(tmp_path / 'absent.onnx')


@pytest.mark.parametrize('channels', [2, 3])
def test_warp_is_bilinear_interpolation(channels):
    picture = image(channels=channels)
    flow = np.random.default_rng(1).uniform(-5, 5, (12, 15, 2)).astype(np.float32)
    np.testing.assert_allclose(warp(picture, flow), bilinear(picture, flow), atol=2e-6)


def test_warp_fetches_what_moved():
    picture = image()
    moved = np.roll(picture, (2, -3), axis=(0, 1))
    back = warp(moved, constant_flow(12, 15, -3, 2))
    np.testing.assert_array_equal(back[:-2, 3:], picture[:-2, 3:])
