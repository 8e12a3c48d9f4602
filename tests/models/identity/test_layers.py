"""Each layer against what it is called: XLA's convolution, a bias and PReLU, on small images."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from apgan_jax.models.identity.layers import (
    Affine,
    DepthwiseConv,
    FullConv,
    GlobalDepthwiseConv,
    PointwiseConv,
    StemConv,
)


def random_params(layer, x):
    """Normal numbers for all parameters, biases and slopes included."""
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)['params']
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), shapes)


def images(channels, size=8):
    return np.random.default_rng(0).normal(size=(2, size, size, channels)).astype(np.float32)


def convolved(x, kernel, strides, padding, groups=1):
    return lax.conv_general_dilated(
        *(x, kernel, (strides, strides), (padding, padding)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


def prelu(x, slope):
    return jnp.maximum(x, 0) + slope * jnp.minimum(x, 0)


@pytest.mark.parametrize(('strides', 'padding'), [(1, (1, 1)), (2, (1, 1)), (2, (0, 1))])
@pytest.mark.parametrize('layer', [StemConv, DepthwiseConv])
def test_padded_convolutions(layer, strides, padding):
    is_stem, x = layer is StemConv, images(3)
    module = layer(*([5] if is_stem else []), strides=strides, padding=padding)
    params = random_params(module, x)
    expected = convolved(x, params['kernel'], strides, padding, groups=1 if is_stem else 3)
    assert expected.shape == (2, 8 // strides, 8 // strides, 5 if is_stem else 3)
    np.testing.assert_allclose(
        module.apply({'params': params}, x),
        prelu(expected + params['bias'], params['slope']),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize('strides', [1, 2])
def test_full_convolution_with_and_without_prelu(strides):
    x = images(4)
    with_slope, without = (FullConv(6, strides, prelu=prelu) for prelu in (True, False))
    params = random_params(with_slope, x)
    linear = convolved(x, params['kernel'], strides, (1, 1)) + params['bias']
    bent = with_slope.apply({'params': params}, x)
    np.testing.assert_allclose(bent, prelu(linear, params['slope']), rtol=1e-4, atol=1e-5)
    del params['slope']
    straight = without.apply({'params': params}, x)
    np.testing.assert_allclose(straight, linear, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('shape', [(2, 4, 4, 3), (2, 3)])
def test_a_pointwise_convolution_is_a_dense_layer_of_every_position(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    module = PointwiseConv(5, prelu=False)
    params = random_params(module, x)
    dense = nn.Dense(5).apply({'params': params}, x)
    np.testing.assert_allclose(module.apply({'params': params}, x), dense, rtol=1e-5, atol=1e-6)


def test_the_global_convolution_is_a_weighted_sum_of_each_channel():
    x = images(3, size=4)
    params = random_params(GlobalDepthwiseConv(), x)
    kernel = params['kernel'][:, :, 0]
    expected = np.einsum('nhwc,hwc->nc', x, kernel) + params['bias']
    found = GlobalDepthwiseConv().apply({'params': params}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_affine_layer_starts_as_nothing_and_scales_each_channel():
    x = images(3)
    params = Affine().init(jax.random.key(0), x)['params']
    np.testing.assert_array_equal(Affine().apply({'params': params}, x), x)
    params = {'scale': np.float32([1, 2, 3]), 'offset': np.float32([0, 0, 1])}
    np.testing.assert_allclose(
        Affine().apply({'params': params}, x), x * params['scale'] + params['offset'], rtol=1e-6
    )
