"""The port of the original ArcFace file."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from apgan_jax.models.identity import load_identity_encoder
from data_prep import port_arcface
from data_prep.port import onnx_graph, state_dict, tflite
from data_prep.port.architectures import iresnet_layers
from data_prep.port.layers import layer_differences
from support.arcface_files import iresnet_onnx, random_state


@pytest.fixture
def tflite_file():
    if 'APGAN_DATA' not in os.environ:
        pytest.skip('APGAN_DATA is unset: it would hold weights/mobilefacenet_arcface.tflite')
    return Path(os.environ['APGAN_DATA']) / 'weights' / 'mobilefacenet_arcface.tflite'


def test_the_port_reproduces_the_shipped_file(tflite_file, tmp_path, capsys):
    output = tmp_path / 'ported.safetensors'
    assert port_arcface.main([str(tflite_file), '--output', str(output)]) == 0
    assert 'largest difference from LiteRT' in capsys.readouterr().out
    assert load_identity_encoder(path=output).sha256 == load_identity_encoder().sha256
    with safe_open(output, framework='numpy') as file:
        metadata = json.loads(file.metadata()['identity_encoder'])
    assert metadata['kind'] == 'mobilefacenet'
    assert metadata['licence'] == 'Apache-2.0'
    assert len(metadata['source_sha256']) == 64


def test_a_file_that_disagrees_with_litert_is_not_written(
    tflite_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(port_arcface, 'MAX_DIFFERENCE', 0.0)
    assert port_arcface.main([str(tflite_file), '--output', str(tmp_path / 'x')]) == 1
    assert 'differ by' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'content', [None, b'', b'no flatbuffer at all, but long enough to look at']
)
def test_an_unreadable_file_is_a_one_line_error(content, tmp_path, capsys):
    source = tmp_path / 'source.tflite'
    if content is not None:
        source.write_bytes(content)
    assert port_arcface.main([str(source), '--output', str(tmp_path / 'x')]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and 'source.tflite' in error
    assert error.count('\n') == 1
    assert not (tmp_path / 'x').exists()


def test_kernels_are_transposed_to_the_layout_of_flax():
    full = np.arange(2 * 3 * 3 * 4).reshape(2, 3, 3, 4)
    assert tflite._flax_kernel(full, depthwise=False)[1, 2, 3, 0] == full[0, 1, 2, 3]
    pointwise = np.arange(2 * 4).reshape(2, 1, 1, 4)
    assert tflite._flax_kernel(pointwise, depthwise=False)[3, 1] == pointwise[1, 0, 0, 3]
    depthwise = np.arange(9 * 4).reshape(1, 3, 3, 4)
    assert tflite._flax_kernel(depthwise, depthwise=True)[1, 2, 0, 3] == depthwise[0, 1, 2, 3]


@pytest.mark.parametrize(
    ('kind', 'name', 'remedy'),
    [
        ('mobilefacenet', 'a.onnx', 'mobilefacenet is read from .tflite'),
        ('sface', 'a.pth', 'sface is read from .onnx'),
        ('iresnet50', 'a.tflite', 'iresnet50 is read from .onnx, .pth, .pt, .safetensors'),
        ('iresnet50', 'none.pth', 'none.pth does not exist'),
        ('iresnet50', 'a.onnx', 'a.onnx is not a readable ONNX file'),
        ('iresnet50', 'a.pth', 'a.pth is no zip archive'),
        ('iresnet50', 'a.safetensors', 'a.safetensors is not a safetensors file'),
    ],
)
def test_a_file_of_the_wrong_format_is_a_one_line_error(kind, name, remedy, tmp_path, capsys):
    if not name.startswith('none'):
        (tmp_path / name).write_bytes(b'nothing that any of them reads')
    arguments = [str(tmp_path / name), '--kind', kind, '--output', str(tmp_path / 'x')]
    assert port_arcface.main(arguments) == 1
    error = capsys.readouterr().err
    assert remedy in error and error.count('\n') == 1
    assert not (tmp_path / 'x').exists()


SMALL = (1, 1, 1, 1)


@pytest.fixture(scope='module')
def state():
    return random_state(SMALL)


def small_onnx(state, fused=True):
    return iresnet_onnx(SMALL, state, fused)


def problems(model):
    found, unknown = onnx_graph.read_graph(model)
    return unknown + layer_differences(found, iresnet_layers(SMALL))


def only(nodes, operation, number=0):
    return [node for node in nodes if node.op_type == operation][number]


@pytest.mark.parametrize('fused', [False, True])
def test_the_layers_of_an_onnx_file_are_the_expected(state, fused):
    assert problems(small_onnx(state, fused)) == []


def test_a_network_of_another_depth_lists_its_missing_layers(state):
    found, _ = onnx_graph.read_graph(small_onnx(state))
    listed = layer_differences(found, iresnet_layers((1, 1, 2, 1)))
    assert len(listed) == 4
    assert 'missing Conv 256×256×3×3 stride 1 pad 1 PRelu (layer3_block1/conv1)' in listed
    assert layer_differences(found[:-1], iresnet_layers(SMALL)) == [
        'missing Gemm 512×25088 (embedding)'
    ]


def test_all_that_differs_in_a_graph_is_listed(state):
    wrong = dict(state)
    wrong['layer2.0.conv1.weight'] = np.zeros((128, 64, 5, 5), np.float32)
    model = small_onnx(wrong)
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
    model = small_onnx(state)
    node = only(model.graph.node, operation)
    kept = [other for other in node.attribute if other.name != attribute]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(attribute, value)])
    # What follows an unknown node may be unknown as well.
    _, (unknown, *_) = onnx_graph.read_graph(model)
    assert unknown.startswith(f'unknown {operation} ') and reason in unknown


def test_constants_of_another_size_or_none_are_listed(state):
    model = small_onnx(state)
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


def test_an_onnx_file_that_differs_is_refused_with_the_list(state, tmp_path, capsys):
    onnx.save(small_onnx(state), tmp_path / 'small.onnx')
    arguments = [str(tmp_path / 'small.onnx'), '--kind', 'iresnet18', '--output']
    assert port_arcface.main([*arguments, str(tmp_path / 'x')]) == 1
    error = capsys.readouterr().err
    assert error.count('missing') == 16 and error.count('\n') == 1  # four layers a block
    assert not (tmp_path / 'x').exists()


def test_all_wrong_names_and_shapes_of_a_state_dict_are_listed(state):
    wrong = state_dict.clean(state)
    del wrong['layer1.0.bn3.running_var'], wrong['fc.bias']
    wrong['layer1.0.se.fc.weight'] = np.zeros(1)
    wrong['prelu.weight'] = np.zeros(1)
    assert state_dict.tensor_differences(wrong, iresnet_layers(SMALL)) == [
        'missing fc.bias',
        'missing layer1.0.bn3.running_var',
        'surplus layer1.0.se.fc.weight',
        'prelu.weight is (1,), not (64,)',
    ]


def test_a_state_dict_that_differs_is_refused_with_the_list(state, tmp_path, capsys):
    save_file(state, tmp_path / 'small.safetensors')
    arguments = [str(tmp_path / 'small.safetensors'), '--kind', 'iresnet18', '--output']
    assert port_arcface.main([*arguments, str(tmp_path / 'x')]) == 1
    error = capsys.readouterr().err
    assert 'missing layer1.1.conv2.weight' in error and error.count('\n') == 1
    assert not (tmp_path / 'x').exists()
