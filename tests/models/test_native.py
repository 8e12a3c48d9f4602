"""The C++ convolutions against XLA's, and what happens where they cannot be had."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from apgan_jax.models import convolutions, native

needs_compiler = pytest.mark.skipif(
    not native.available(), reason='no C++ compiler: native convolutions are not available'
)

# (input (n, h, w, c), kernel (h, w, in, out), strides, padding)
CASES = {
    '3x3': ((2, 20, 20, 16), (3, 3, 16, 32), 1, (1, 1)),
    '3x3, stride 2': ((2, 20, 20, 16), (3, 3, 16, 16), 2, (1, 1)),
    '3x3, stride 2, odd size': ((1, 21, 19, 5), (3, 3, 5, 16), 2, (1, 1)),
    '4x4, stride 2': ((3, 16, 16, 6), (4, 4, 6, 32), 2, (1, 1)),
    '4x4, stride 1': ((2, 9, 9, 16), (4, 4, 16, 48), 1, (1, 2)),
    'no padding': ((2, 12, 30, 8), (3, 3, 8, 16), 1, (0, 0)),
    'channels that fill no vector': ((2, 13, 17, 3), (3, 3, 3, 21), 1, (1, 1)),
    'one output channel': ((1, 10, 10, 33), (4, 4, 33, 1), 1, (1, 2)),
    'rows in several parts': ((1, 70, 66, 32), (3, 3, 32, 16), 1, (1, 1)),
    'rows in several parts, stride 2': ((1, 71, 90, 32), (3, 3, 32, 16), 2, (1, 1)),
    'a kernel larger than the image': ((2, 2, 3, 4), (5, 5, 4, 16), 1, (2, 2)),
    'stride 3': ((1, 17, 17, 4), (3, 3, 4, 16), 3, (1, 1)),
}


def reference(x, kernel, bias, strides, padding):
    return bias + lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        (padding, padding),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


def arrays(x_shape, kernel_shape):
    rng = np.random.default_rng(0)
    shapes = (x_shape, kernel_shape, kernel_shape[-1:])
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def value_and_gradients(function, *operands):
    value, pullback = jax.vjp(function, *operands)
    weights = jnp.cos(jnp.arange(value.size, dtype=jnp.float32)).reshape(value.shape)
    return value, *pullback(weights)


@needs_compiler
@pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())
def test_values_and_gradients_equal_lax(case):
    x_shape, kernel_shape, strides, padding = case
    operands = arrays(x_shape, kernel_shape)
    ours = value_and_gradients(
        lambda x, k, b: convolutions.native_conv(x, k, b, strides=strides, padding=padding),
        *operands,
    )
    theirs = value_and_gradients(lambda x, k, b: reference(x, k, b, strides, padding), *operands)
    for got, wanted in zip(ours, theirs, strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * float(jnp.abs(wanted).max()))


@needs_compiler
def test_the_same_input_gives_the_same_bits():
    operands = arrays((9, 24, 24, 16), (3, 3, 16, 32))
    step = jax.jit(
        lambda *operands: value_and_gradients(
            lambda x, k, b: convolutions.native_conv(x, k, b, strides=1, padding=(1, 1)), *operands
        )
    )
    first = step(*operands)
    for _ in range(20):
        for a, b in zip(first, step(*operands), strict=True):
            np.testing.assert_array_equal(a, b)


@needs_compiler
def test_conv2d_calls_them_on_a_cpu_and_in_float32_only():
    x, kernel, bias = arrays((1, 32, 32, 16), (3, 3, 16, 16))

    def calls(*operands):
        return jax.jit(convolutions.conv2d).lower(*operands).as_text().count('apgan_convolve')

    assert calls(x, kernel, bias) == 1
    assert calls(*(array.astype(jnp.bfloat16) for array in (x, kernel, bias))) == 0


_PROBE = """
import json, jax.numpy as jnp
from apgan_jax.models import native
from apgan_jax.models.convolutions import conv2d
y = conv2d(jnp.ones((2, 32, 32, 16)), jnp.ones((3, 3, 16, 16)), jnp.ones(16))
print(json.dumps([native.available(), float(y[0, 1, 1, 0])]))
"""


@pytest.mark.parametrize(
    'environment',
    [
        {'APGAN_NATIVE': '0'},
        {'CXX': 'no-such-compiler'},
        {'CXX': 'false'},
        {'XLA_FLAGS': '--xla_force_host_platform_device_count=2'},
    ],
    ids=lambda environment: next(iter(environment.items())),
)
def test_without_them_xla_convolves(environment):
    run = subprocess.run(
        [sys.executable, '-c', _PROBE],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == [False, 9 * 16 + 1]
    assert 'Error' not in run.stderr


@needs_compiler
def test_the_library_is_compiled_once(tmp_path):
    environment = os.environ | {'XDG_CACHE_HOME': str(tmp_path)}
    made = []
    for _ in range(2):
        subprocess.run([sys.executable, '-c', _PROBE], env=environment, check=True)
        (library,) = (tmp_path / 'apgan_jax' / 'native').iterdir()
        made.append(library.stat().st_mtime_ns)
    assert made[0] == made[1]
