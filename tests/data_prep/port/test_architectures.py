"""The layers that an architecture needs, against graphs that were written from its own source."""

import pytest

from apgan_jax.models.identity.iresnet import DEPTHS
from data_prep.port import onnx_graph
from data_prep.port.architectures import iresnet_layers, sface_layers
from data_prep.port.layers import ADD, CONV, DENSE, NORM, layer_differences
from support.arcface_files import SMALL, iresnet_onnx


def test_a_network_of_another_depth_lists_its_missing_layers(state):
    found, _ = onnx_graph.read_graph(iresnet_onnx(SMALL, state, fused=True))
    listed = layer_differences(found, iresnet_layers((1, 1, 2, 1)))
    assert len(listed) == 4
    assert 'missing Conv 256×256×3×3 stride 1 pad 1 PRelu (layer3_block1/conv1)' in listed
    assert layer_differences(found[:-1], iresnet_layers(SMALL)) == [
        'missing Gemm 512×25088 (embedding)'
    ]


@pytest.mark.parametrize(('kind', 'convolutions'), [('iresnet18', 17), ('iresnet100', 99)])
def test_a_networks_number_counts_its_layers_with_weights(kind, convolutions):
    """As ResNets are named: convolutions and the dense layer, shortcuts apart."""
    layers = iresnet_layers(DEPTHS[kind])
    counted = [x for x in layers if x.signature.operation == CONV and 'downsample' not in x.name]
    assert len(counted) == convolutions
    assert [x.name for x in layers if x.signature.operation == DENSE] == ['embedding']


def test_an_iresnet_halves_its_resolution_four_times():
    layers = iresnet_layers(DEPTHS['iresnet50'])
    halving = [layer.name for layer in layers if layer.signature.strides == (2, 2)]
    assert [name for name in halving if name.endswith('conv2')] == [
        f'layer{stage}_block0/conv2' for stage in (1, 2, 3, 4)
    ]
    assert len(halving) == 8
    assert layers[-1].signature.shape == (512, 512 * 7 * 7)


def test_names_of_layers_are_unique():
    for layers in (iresnet_layers(DEPTHS['iresnet34']), sface_layers()[2:]):
        weighted = [layer.name for layer in layers if layer.signature.operation != ADD]
        assert len(set(weighted)) == len(weighted)


def test_sface_is_pairs_of_depthwise_and_pointwise_convolutions():
    scale, shift, stem, *blocks, norm, dense = [layer.signature for layer in sface_layers()]
    assert (scale.operation, shift.operation) == ('Sub 127.5', 'Mul 0.0078125')
    assert stem.shape == (32, 3, 3, 3)
    for depthwise, pointwise in zip(blocks[::2], blocks[1::2], strict=True):
        assert depthwise.shape == (depthwise.groups, 1, 3, 3)
        assert pointwise.shape[1:] == (depthwise.groups, 1, 1)
    assert norm.operation == NORM
    assert dense.shape == (128, norm.shape[0] * 7 * 7)
