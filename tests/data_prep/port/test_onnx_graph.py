"""The layers of an ONNX file, however it was exported, and what no such network has."""

import numpy as np
import onnx
import pytest

from data_prep.port import onnx_graph
from data_prep.port.architectures import iresnet_layers
from data_prep.port.layers import layer_differences
from support.arcface_files import SMALL, iresnet_onnx


def problems(model):
    found, unknown = onnx_graph.read_graph(model)
    return unknown + layer_differences(found, iresnet_layers(SMALL))


def only(nodes, operation, number=0):
    return [node for node in nodes if node.op_type == operation][number]


@pytest.mark.parametrize('fused', [False, True])
def test_the_layers_of_an_onnx_file_are_the_expected(state, fused):
    assert problems(iresnet_onnx(SMALL, state, fused)) == []


def test_all_that_differs_in_a_graph_is_listed(state):
    wrong = dict(state)
    wrong['layer2.0.conv1.weight'] = np.zeros((128, 64, 5, 5), np.float32)
    model = iresnet_onnx(SMALL, wrong, fused=True)
    nodes = model.graph.node
    only(nodes, 'Conv').attribute[-1].ints[:] = [2, 2]
    only(nodes, 'PRelu', 1).op_type = 'LeakyRelu'
    listed = problems(model)
    text = 'Conv 64×3×3×3 stride {} pad 1 PRelu'
    assert f'stem is {text.format(2)}, not {text.format(1)}' in listed
    assert any(problem.startswith("unknown LeakyRelu '") for problem in listed)
    # Without its activation the first block's convolution is another layer.
    assert any(problem.startswith('layer1_block0/conv1 is Conv 64×64×3×3') for problem in listed)
    assert any(problem.startswith('layer2_block0/conv1 is Conv 128×64×5×5') for problem in listed)
    assert len(listed) == 4


@pytest.mark.parametrize(
    ('operation', 'attribute', 'value', 'reason'),
    [
        ('Conv', 'dilations', [2, 2], 'dilated'),
        ('Conv', 'auto_pad', 'SAME_UPPER', 'automatic padding'),
        ('Gemm', 'alpha', 2.0, 'only'),
    ],
)
def test_attributes_that_no_such_network_has(state, operation, attribute, value, reason):
    model = iresnet_onnx(SMALL, state, fused=True)
    node = only(model.graph.node, operation)
    kept = [other for other in node.attribute if other.name != attribute]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(attribute, value)])
    # What follows an unknown node may be unknown as well.
    _, (unknown, *_) = onnx_graph.read_graph(model)
    assert unknown.startswith(f'unknown {operation} ') and reason in unknown


def test_constants_of_another_size_or_none_are_listed(state):
    model = iresnet_onnx(SMALL, state, fused=True)
    for constant in model.graph.initializer:
        if constant.name == 'prelu.weight':
            constant.CopyFrom(
                onnx.numpy_helper.from_array(np.zeros(63, np.float32), 'prelu.weight')
            )
    only(model.graph.node, 'Gemm').input[1] = 'data'
    _, unknown = onnx_graph.read_graph(model)
    assert len(unknown) == 2
    assert "'prelu.weight' is (63,), not (64,)" in unknown[0]
    assert "'data' is no constant" in unknown[1]
