"""The fast CPU forms in JAX against `jax.lax.conv_general_dilated`; test_native has the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from apgan_jax.models.convolutions import Conv, conv3x3, depthwise_conv, pointwise_conv


@pytest.fixture(autouse=True)
def without_native(monkeypatch):
    monkeypatch.setenv('APGAN_NATIVE', '0')


def reference(x, kernel, strides=1, padding=(1, 1), groups=1):
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        (padding, padding),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


def value_and_gradients(function, x, kernel):
    value, pullback = jax.vjp(function, x, kernel)
    weights = jnp.cos(jnp.arange(value.size, dtype=jnp.float32)).reshape(value.shape)
    return value, *pullback(weights)


def assert_same_value_and_gradients(function, expected, x, kernel):
    compare = jax.jit(lambda x, k: [value_and_gradients(f, x, k) for f in (function, expected)])
    for ours, theirs in zip(*compare(x, kernel), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * float(jnp.abs(theirs).max()))


def arrays(x_shape, kernel_shape):
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=s).astype(np.float32) for s in (x_shape, kernel_shape))


@pytest.mark.parametrize('strides', [1, 2])
@pytest.mark.parametrize('padding', [(1, 1), (0, 1)])
@pytest.mark.parametrize('size', [(6, 6), (7, 5)])
def test_depthwise_conv_equals_lax(size, padding, strides):
    x, kernel = arrays((2, *size, 4), (3, 3, 1, 4))
    assert_same_value_and_gradients(
        lambda x, k: depthwise_conv(x, k, strides, padding),
        lambda x, k: reference(x, k, strides, padding, groups=4),
        x,
        kernel,
    )


def test_depthwise_conv_takes_other_kernel_sizes():
    x, kernel = arrays((2, 9, 8, 4), (5, 2, 1, 4))
    assert_same_value_and_gradients(
        lambda x, k: depthwise_conv(x, k, 2, (1, 0)),
        lambda x, k: reference(x, k, 2, (1, 0), groups=4),
        x,
        kernel,
    )


@pytest.mark.parametrize('strides', [1, 2])
@pytest.mark.parametrize('size', [(1, 1), (4, 4), (5, 8), (15, 16), (18, 19)])
def test_conv3x3_equals_lax(size, strides):
    x, kernel = arrays((2, *size, 3), (3, 3, 3, 5))
    assert_same_value_and_gradients(
        lambda x, k: conv3x3(x, k, strides), lambda x, k: reference(x, k, strides), x, kernel
    )


def test_pointwise_conv_equals_lax():
    x, kernel = arrays((2, 5, 4, 3), (3, 7))
    assert_same_value_and_gradients(
        pointwise_conv, lambda x, k: reference(x, k[None, None], padding=(0, 0)), x, kernel
    )


def test_conv3x3_module_adds_its_bias_to_the_convolution():
    x, kernel = arrays((1, 6, 6, 3), (3, 3, 3, 4))
    bias = jnp.arange(4.0)
    module = Conv(features=4, strides=2)
    shapes = jax.tree.map(jnp.shape, module.init(jax.random.key(0), x)['params'])
    assert shapes == {'kernel': (3, 3, 3, 4), 'bias': (4,)}
    y = module.apply({'params': {'kernel': kernel, 'bias': bias}}, x)
    np.testing.assert_allclose(y, reference(x, kernel, 2) + bias, rtol=1e-4, atol=1e-4)


def test_conv3x3_module_computes_in_the_given_dtype_and_keeps_float32_parameters():
    x = jnp.ones((1, 4, 4, 3))
    module = Conv(features=4, use_bias=False, dtype=jnp.bfloat16)
    variables = module.init(jax.random.key(0), x)
    assert list(variables['params']) == ['kernel']
    assert variables['params']['kernel'].dtype == jnp.float32
    assert module.apply(variables, x).dtype == jnp.bfloat16


@pytest.mark.parametrize('platform, convolutions', [('cpu', 0), ('cuda', 2), ('tpu', 2)])
def test_the_form_is_chosen_for_the_platform_that_is_compiled_for(platform, convolutions):
    def both(x, depthwise_kernel, kernel):
        return conv3x3(depthwise_conv(x, depthwise_kernel), kernel)

    shapes = [(1, 4, 4, 8), (3, 3, 1, 8), (3, 3, 8, 8)]
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    text = jax.export.export(jax.jit(both), platforms=[platform])(*arguments).mlir_module()
    assert text.count('stablehlo.convolution') == convolutions
