"""The C++ convolutions against XLA's, and what happens where they cannot be had."""

import functools
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

needs_bfloat16 = pytest.mark.skipif(
    not native.multiplies_bfloat16(), reason='this processor has no products of bfloat16'
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
    'one input channel': ((2, 11, 12, 1), (3, 3, 1, 16), 1, (1, 1)),
    'more input channels than a vector, odd': ((2, 9, 10, 19), (3, 3, 19, 33), 2, (1, 1)),
    'taps shared out': ((2, 8, 9, 130), (3, 3, 130, 128), 1, (1, 1)),
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


def as_bfloat16(*operands):
    return [array.astype(jnp.bfloat16).astype(jnp.float32) for array in operands]


@needs_bfloat16
@pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())
def test_rounded_products_are_those_of_rounded_factors(case):
    """What comes in is rounded and nothing else: as float32 convolves what was rounded before."""
    x_shape, kernel_shape, strides, padding = case
    x, kernel, bias = arrays(x_shape, kernel_shape)
    rounded_x, rounded_kernel = as_bfloat16(x, kernel)
    fields = {'strides': strides, 'padding': padding}
    got, pullback = jax.vjp(
        lambda *operands: convolutions.native_conv(*operands, **fields, rounded=True),
        x,
        kernel,
        bias,
    )
    wanted, plain_pullback = jax.vjp(
        lambda *operands: reference(*operands, strides, padding), rounded_x, rounded_kernel, bias
    )
    (weights,) = arrays(got.shape, ())[:1]
    ours = (got, *pullback(weights)[:2])
    theirs = (wanted, *plain_pullback(*as_bfloat16(weights))[:2])
    for got, wanted in zip(ours, theirs, strict=True):
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * float(jnp.abs(wanted).max()))
    # The bias and its gradient are not rounded.
    np.testing.assert_allclose(pullback(weights)[2], weights.sum((0, 1, 2)), rtol=1e-4, atol=1e-4)


@needs_bfloat16
def test_rounded_products_of_small_whole_numbers_are_exact():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(-128, 129, (2, 12, 13, 7)), jnp.float32)
    kernel = jnp.asarray(rng.integers(-8, 9, (4, 4, 7, 17)), jnp.float32)
    values = [
        value_and_gradients_of_ones(
            lambda x, k, rounded=rounded: convolutions.native_conv(
                x, k, strides=2, padding=(1, 1), rounded=rounded
            ),
            x,
            kernel,
        )
        for rounded in (False, True)
    ]
    for plain, rounded in zip(*values, strict=True):
        np.testing.assert_array_equal(plain, rounded)


def value_and_gradients_of_ones(function, *operands):
    value, pullback = jax.vjp(function, *operands)
    return value, *pullback(jnp.ones_like(value))


@needs_bfloat16
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_what_is_not_finite_stays_so_when_it_is_rounded(value):
    x, kernel, _ = arrays((1, 6, 6, 3), (3, 3, 3, 16))
    x = x.at[0, 2, 2, 1].set(value)
    y = convolutions.native_conv(x, kernel, strides=1, padding=(1, 1), rounded=True)
    finite = np.isfinite(y).all(-1)[0]
    assert not finite[1:4, 1:4].any() and finite.sum() == 36 - 9


@needs_compiler
@pytest.mark.parametrize('rounded', [False, pytest.param(True, marks=needs_bfloat16)])
def test_the_same_input_gives_the_same_bits(rounded):
    operands = arrays((9, 24, 24, 16), (3, 3, 16, 32))
    convolve = functools.partial(
        convolutions.native_conv, strides=1, padding=(1, 1), rounded=rounded
    )
    step = jax.jit(lambda *operands: value_and_gradients(convolve, *operands))
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


@needs_bfloat16
def test_conv2d_rounds_where_jax_is_asked_for_bfloat16_products():
    operands = arrays((1, 32, 32, 16), (3, 3, 16, 16))

    def gradients(*operands):
        return value_and_gradients(convolutions.conv2d, *operands)

    def rounded_calls():
        text = jax.jit(gradients).lower(*operands).as_text()
        return text.count('rounded = true'), text.count('rounded = false')

    assert rounded_calls() == (0, 3)
    with jax.default_matmul_precision('bfloat16'):
        assert rounded_calls() == (3, 0)
    # Another thread pulls back, or the same one later: as the convolution was, so is its gradient.
    with jax.default_matmul_precision('bfloat16'):
        _, pullback = jax.vjp(convolutions.conv2d, *operands)
    later = pullback(jnp.ones((1, 32, 32, 16)))
    with jax.default_matmul_precision('bfloat16'):
        _, pullback = jax.vjp(convolutions.conv2d, *operands)
        inside = pullback(jnp.ones((1, 32, 32, 16)))
    for a, b in zip(later, inside, strict=True):
        np.testing.assert_array_equal(a, b)


_THREADS = """
import functools, hashlib, jax, jax.numpy as jnp, numpy as np
from apgan_jax.models import native
from apgan_jax.models.convolutions import native_conv
rng = np.random.default_rng(0)
x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((8, 40, 41, 6), (3, 3, 6, 48)))
for rounded in (False, True)[: 1 + native.multiplies_bfloat16()]:
    convolve = functools.partial(native_conv, strides=1, padding=(1, 1), rounded=rounded)
    y, pullback = jax.vjp(convolve, x, kernel)
    for array in (y, *pullback(jnp.cos(y))):
        print(hashlib.sha256(np.asarray(array).tobytes()).hexdigest())
"""


@needs_compiler
@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='cannot choose how many threads')
def test_one_thread_gives_the_bits_of_all():
    one = f'import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})\n{_THREADS}'
    told = [
        subprocess.run(
            [sys.executable, '-c', program], capture_output=True, text=True, check=True
        ).stdout
        for program in (one, _THREADS)
    ]
    assert told[0] == told[1] and told[0]


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
