"""State dicts of PyTorch: their names and shapes, and the layers that they hold."""

import numpy as np

from data_prep.port import onnx_graph, state_dict
from data_prep.port.architectures import iresnet_layers
from data_prep.port.layers import layer_differences
from support.arcface_files import SMALL, iresnet_onnx


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


def test_the_prefix_and_the_counters_of_training_are_no_part_of_a_network(state):
    cleaned = state_dict.clean({f'module.{name}': array for name, array in state.items()})
    assert cleaned.keys() == {name for name in state if not name.endswith('num_batches_tracked')}
    assert cleaned['fc.bias'] is state['fc.bias']
    assert state_dict.tensor_differences(cleaned, iresnet_layers(SMALL)) == []


def test_the_layers_are_those_of_the_same_network_as_onnx(state):
    expected = iresnet_layers(SMALL)
    layers = state_dict.read_state(state_dict.clean(state), expected)
    assert layer_differences(layers, expected) == []
    theirs, _ = onnx_graph.read_graph(iresnet_onnx(SMALL, state, fused=False))
    for layer, other in zip(layers, theirs, strict=True):
        assert layer.signature == other.signature
        # The epsilon of an ONNX file is a float32.
        np.testing.assert_allclose(layer.weight, other.weight, rtol=1e-5)
        np.testing.assert_allclose(layer.bias, other.bias, rtol=1e-5, atol=1e-6)
