"""Layers of numbers so few that they can be computed by their formulas."""

import numpy as np
import pytest

from data_prep.port import layers
from data_prep.port.layers import (
    ADD,
    CONV,
    DENSE,
    ExpectedLayer,
    Layer,
    Norm,
    Signature,
    batch_norm,
    flax_tensors,
    layer_differences,
    norm_layer,
)

STEM = Signature(CONV, (4, 3, 3, 3), (2, 2), (1, 1, 1, 1), prelu=True)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_batch_normalisation_is_its_formula(rng):
    gamma, beta, mean, x = rng.normal(size=(4, 5)).astype(np.float32)
    variance = rng.uniform(0.5, 2, 5).astype(np.float32)
    norm = batch_norm([gamma, beta, mean, variance], 0.25)
    expected = gamma * (x - mean) / np.sqrt(variance + 0.25) + beta
    np.testing.assert_allclose(norm.scale * x + norm.offset, expected, rtol=1e-5)


@pytest.mark.parametrize('shape', [(4, 6), (4, 6, 1, 1)], ids=['dense', 'convolution'])
def test_a_folded_layer_gives_what_the_two_gave(shape, rng):
    norm = Norm(rng.normal(size=4), rng.normal(size=4))
    layer = Layer(DENSE, rng.normal(size=shape), rng.normal(size=4))
    x = rng.normal(size=6)
    before = layer.weight.reshape(4, 6) @ x + layer.bias
    layer.fold(norm)
    after = layer.weight.reshape(4, 6) @ x + layer.bias
    np.testing.assert_allclose(after, norm.scale * before + norm.offset, rtol=1e-4)
    assert layer.weight.dtype == layer.bias.dtype == np.float32


def test_signatures_in_words():
    assert str(STEM) == 'Conv 4×3×3×3 stride 2 pad 1 PRelu'
    uneven = Signature(CONV, (4, 1, 3, 3), (1, 2), (0, 1, 0, 1), groups=4)
    assert str(uneven) == 'Conv 4×1×3×3 stride 1,2 pad 0,1,0,1 groups 4'
    assert str(Signature(ADD)) == 'Add'


def test_a_surplus_layer_is_listed_with_its_place():
    found = [Layer(ADD), norm_layer(Norm(np.ones(4), np.zeros(4))), Layer(ADD)]
    assert layer_differences(found, [ExpectedLayer('add', Signature(ADD))] * 2) == [
        'surplus BatchNormalization 4 (layer 1 of the file)'
    ]


def test_kernels_have_the_layout_of_flax():
    weight = np.arange(5 * 4 * 2 * 3).reshape(5, 4, 2, 3)
    assert layers.flax_kernel(weight)[1, 2, 3, 4] == weight[4, 3, 1, 2]
    pointwise = np.arange(5 * 4).reshape(5, 4, 1, 1)
    np.testing.assert_array_equal(layers.flax_kernel(pointwise), pointwise[:, :, 0, 0].T)


def test_the_embedding_of_a_map_is_that_of_pytorch(rng):
    """PyTorch flattens planes first; Flax's maps end in channels."""
    x = rng.normal(size=(3, 2, 2))
    norm = norm_layer(Norm(rng.normal(size=3), rng.normal(size=3)))
    dense = Layer(DENSE, rng.normal(size=(7, 12)), rng.normal(size=7))
    expected = ExpectedLayer('head/norm', norm.signature), ExpectedLayer('head', dense.signature)
    tensors = flax_tensors([norm, dense], expected)
    assert tensors.keys() == {'head/kernel', 'head/bias'}
    ours = x.transpose(1, 2, 0).ravel() @ tensors['head/kernel'] + tensors['head/bias']
    normalised = norm.weight[:, None, None] * x + norm.bias[:, None, None]
    np.testing.assert_allclose(ours, dense.weight @ normalised.ravel() + dense.bias, rtol=1e-4)


def test_tensors_are_named_by_their_layers(rng):
    norm = norm_layer(Norm(np.ones(3), np.zeros(3)))
    convolution = Layer(CONV, np.ones((4, 3, 3, 3)), np.zeros(4), slope=np.full(4, 0.25))
    last = norm_layer(Norm(np.ones(4), np.zeros(4))), Layer(DENSE, np.ones((2, 4)), np.zeros(2))
    found = [norm, convolution, Layer(ADD), *last]
    names = ('before', 'stem', 'sum', 'head/norm', 'head')
    expected = [ExpectedLayer(name, x.signature) for name, x in zip(names, found, strict=True)]
    tensors = flax_tensors(found, expected)
    assert {name: array.shape for name, array in tensors.items()} == {
        'before/scale': (3,),
        'before/offset': (3,),
        'stem/kernel': (3, 3, 3, 4),
        'stem/bias': (4,),
        'stem/slope': (4,),
        'head/kernel': (4, 2),
        'head/bias': (2,),
    }
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.float32)}
