"""Convolutions in the form that is fastest on the platform they are compiled for.

Images are NHWC; every kernel is laid out as `jax.lax.conv_general_dilated` takes it (HWIO), except
a pointwise one, which is a matrix (in, out). On GPU and TPU the vendor's convolution runs. XLA's
CPU backend is slow at depthwise and at small convolutions, so there they become slices and
products, or calls of `models.native` where that is available. `jax.lax.platform_dependent` chooses
when the program is lowered: it costs no run time.

Traced under `jax.default_matmul_precision('bfloat16')`, which means to a TPU what it does anyway,
convolutions of float32 arrays round the factors of their products to bfloat16 on a CPU that has an
instruction for it (AVX512_BF16), and sum in float32; other CPUs multiply float32. Gradients do as
the convolution did, depthwise and pointwise convolutions never.

A program for `jax.export` is traced with APGAN_NATIVE=0 in the environment, since foreign functions
do not travel with it.
"""

import operator
from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from apgan_jax.models import native

# Where there are no native convolutions. Measured on 2 cores, batch 16, forward + backward,
# `lax.conv` against row products: 16 px, 128 channels 20 against 27 ms; 8 px, 256 channels 21
# against 21; 4 px, 256 channels 8.3 against 5.5. With stride 2, from 16 px 13.2 against 10.8 and
# from 8 px 10.3 against 6.3.
_ROW_PRODUCTS_UP_TO = 8  # px, of the output


def depthwise_conv(
    x: jax.Array, kernel: jax.Array, strides: int = 1, padding: tuple[int, int] = (1, 1)
) -> jax.Array:
    """Convolves every channel with its own kernel.

    Args:
      x: (n, h, w, c), floating point.
      kernel: (kernel_h, kernel_w, 1, c), the dtype of `x`.
      strides: of both axes.
      padding: rows and columns of zeros before and after, the same for both axes. A stride of 2
        with TensorFlow's `SAME` on an even size is (0, 1).

    Returns:
      (n, out_h, out_w, c), the dtype of `x`.
    """
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(_depthwise_shifted, strides=strides, padding=padding),
        default=partial(_conv, strides=strides, padding=padding, groups=x.shape[-1]),
    )


def pointwise_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """1×1 convolution as one matrix product: x (..., in), kernel (in, out) → (..., out)."""
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


def conv2d(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    strides: int = 1,
    padding: tuple[int, int] = (1, 1),
) -> jax.Array:
    """Convolution, then the bias where there is one.

    Args:
      x: (n, h, w, in), floating point.
      kernel: (kernel_h, kernel_w, in, out), the dtype of `x`.
      bias: (out,), the dtype of `x`.
      strides: of both axes.
      padding: rows and columns of zeros before and after, the same for both axes.

    Returns:
      (n, out_h, out_w, out), the dtype of `x`.
    """

    def plain(x: jax.Array, kernel: jax.Array, *bias: jax.Array) -> jax.Array:
        return sum(bias, _conv(x, kernel, strides, padding))

    operands = (x, kernel) if bias is None else (x, kernel, bias)
    on_cpu = _cpu_form(x, kernel, strides, padding)
    if on_cpu is None:
        return plain(*operands)
    return lax.platform_dependent(*operands, cpu=on_cpu, default=plain)


def conv3x3(x: jax.Array, kernel: jax.Array, strides: int = 1) -> jax.Array:
    """3×3 convolution with one pixel of zeros on each side.

    Args:
      x: (n, h, w, in), floating point.
      kernel: (3, 3, in, out), the dtype of `x`.
      strides: of both axes.

    Returns:
      (n, ceil(h / strides), ceil(w / strides), out), the dtype of `x`.
    """
    return conv2d(x, kernel, strides=strides)


class Conv(nn.Module):
    """`conv2d` with parameters `kernel` (size, size, in, features) and `bias` (features,).

    The output has ceil(h / strides) rows; zeros are divided as TensorFlow's `SAME` does, but for a
    stride of 2 and a size of 3, which have one on each side.

    Attributes:
      features: output channels.
      size: of the kernel.
      strides: of both axes.
      dtype: the one to compute in; None takes what the input and the parameters promote to.
    """

    features: int
    size: int = 3
    strides: int = 1
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, h, w, in) → (n, ceil(h / strides), ceil(w / strides), features)."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param('kernel', self.kernel_init, shape)
        bias = None
        if self.use_bias:
            bias = self.param('bias', nn.initializers.zeros_init(), (self.features,))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        padding = ((self.size - 1) // 2, self.size // 2) if self.strides == 1 else (1, 1)
        return conv2d(x, kernel, bias, self.strides, padding)


def _cpu_form(
    x: jax.Array, kernel: jax.Array, strides: int, padding: tuple[int, int]
) -> Callable[..., jax.Array] | None:
    """What a CPU does instead of XLA's own convolution, if anything."""
    if native.available() and x.dtype == jnp.float32:
        wanted = jax.config.jax_default_matmul_precision == 'bfloat16'  # type: ignore[attr-defined]
        rounded = wanted and native.multiplies_bfloat16()
        return partial(native_conv, strides=strides, padding=padding, rounded=rounded)
    small = -(-max(x.shape[1:3]) // strides) <= _ROW_PRODUCTS_UP_TO
    if small and kernel.shape[:2] == (3, 3) and padding == (1, 1):
        return partial(_row_products, strides=strides)
    return None


def _conv(
    x: jax.Array, kernel: jax.Array, strides: int, padding: tuple[int, int], groups: int = 1
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        (padding, padding),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


def native_conv(
    x: jax.Array,
    kernel: jax.Array,
    *bias: jax.Array,
    strides: int,
    padding: tuple[int, int],
    rounded: bool = False,
) -> jax.Array:
    """`conv2d` of float32 arrays by `apgan_jax.models.native`, which must be available."""
    return _native(x, kernel, bias[0] if bias else None, strides, padding, rounded)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _native(x, kernel, bias, strides, padding, rounded) -> jax.Array:
    return native.convolve(x, kernel, bias, strides, padding, rounded)


def _native_forward(x, kernel, bias, strides, padding, rounded):
    return _native(x, kernel, bias, strides, padding, rounded), (x, kernel, bias)


def _native_backward(strides, padding, rounded, residuals, gradient):
    x, kernel, bias = residuals
    return (
        native.input_gradient(gradient, kernel, x.shape[1:3], strides, padding, rounded),
        native.kernel_gradient(x, gradient, kernel.shape[:2], strides, padding, rounded),
        None if bias is None else gradient.sum((0, 1, 2)),
    )


_native.defvjp(_native_forward, _native_backward)


def _row_products(x: jax.Array, kernel: jax.Array, *bias: jax.Array, strides: int) -> jax.Array:
    """A 3×3 convolution as three matrix products, one for each row of the kernel."""
    n, height, width, channels = x.shape
    out_height, out_width = -(-height // strides), -(-width // strides)
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    columns = [x[:, :, j : j + (out_width - 1) * strides + 1 : strides] for j in range(3)]
    triples = jnp.concatenate(columns, axis=-1)
    rows = [triples[:, i : i + (out_height - 1) * strides + 1 : strides] for i in range(3)]
    products = [
        row.reshape(-1, 3 * channels) @ kernel[i].reshape(3 * channels, -1)
        for i, row in enumerate(rows)
    ]
    return sum(bias, reduce(operator.add, products).reshape(n, out_height, out_width, -1))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise_shifted(
    x: jax.Array, kernel: jax.Array, strides: int, padding: tuple[int, int]
) -> jax.Array:
    """`depthwise_conv` as a sum of shifted products, one for each tap of the kernel."""
    x = lax.pad(x, jnp.zeros((), x.dtype), _spatial(padding, padding))
    return _weighted_sum(x, kernel, strides)


def _depthwise_forward(
    x: jax.Array, kernel: jax.Array, strides: int, padding: tuple[int, int]
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _depthwise_shifted(x, kernel, strides, padding), (x, kernel)


def _depthwise_backward(
    strides: int,
    padding: tuple[int, int],
    residuals: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The input's gradient is the flipped kernel over `gradient`, zeros between where strided.

    Derived automatically it would be a sum of nine padded arrays, which XLA's CPU backend writes to
    memory one by one.
    """
    x, kernel = residuals
    edges: list[tuple[int, int]] = []
    for size, taps, out in zip(x.shape[1:3], kernel.shape[:2], gradient.shape[1:3], strict=True):
        before = taps - 1 - padding[0]
        edges.append((before, size + taps - 1 - before - ((out - 1) * strides + 1)))
    spread = lax.pad(gradient, jnp.zeros((), x.dtype), _spatial(edges[0], edges[1], strides - 1))
    # Without the barrier XLA computes the padded array anew for each of the nine taps.
    spread = lax.optimization_barrier(spread)
    x_gradient = _weighted_sum(spread, jnp.flip(kernel, (0, 1)), 1)
    x = lax.pad(x, jnp.zeros((), x.dtype), _spatial(padding, padding))
    sums = [jnp.sum(t * gradient, (0, 1, 2)) for _, _, t in _taps(x, kernel.shape[:2], strides)]
    return x_gradient, jnp.stack(sums).reshape(kernel.shape)


_depthwise_shifted.defvjp(_depthwise_forward, _depthwise_backward)


def _weighted_sum(x: jax.Array, kernel: jax.Array, strides: int) -> jax.Array:
    """The depthwise convolution of an `x` that is padded already."""
    taps = _taps(x, kernel.shape[:2], strides)
    return reduce(operator.add, (piece * kernel[i, j, 0] for i, j, piece in taps))


def _taps(
    x: jax.Array, taps: tuple[int, ...], strides: int
) -> Iterator[tuple[int, int, jax.Array]]:
    """Yields (row, column, the part of the padded `x` that this tap of the kernel multiplies)."""
    height, width = x.shape[1] - taps[0] + 1, x.shape[2] - taps[1] + 1
    for i in range(taps[0]):
        for j in range(taps[1]):
            yield i, j, x[:, i : i + height : strides, j : j + width : strides]


def _spatial(
    rows: tuple[int, int], columns: tuple[int, int], interior: int = 0
) -> list[tuple[int, int, int]]:
    """The configuration of `lax.pad` that touches only the two spatial axes."""
    return [(0, 0, 0), (*rows, interior), (*columns, interior), (0, 0, 0)]
