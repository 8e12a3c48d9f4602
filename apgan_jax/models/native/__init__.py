"""Direct convolutions in C++ for XLA's CPU backend (convolution.cc), compiled at their first use.

XLA's own use half of two cores, and less where channels are few or the kernel's gradient is asked
for. Where there is no C++ compiler, or APGAN_NATIVE=0 is set, nothing
is lost but speed: `available` says no and callers take XLA's.

A convolution that is `rounded` has the factors of its products rounded to bfloat16, and sums in
float32: twice the products an instruction. `multiplies_bfloat16` says whether there is one.
"""

import ctypes
import functools
import hashlib
import logging
import os
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from apgan_jax.files.atomic import whole_file

_SOURCE = Path(__file__).parent / 'convolution.cc'
# FMA contraction and the machine's own vectors; -w: the warnings are those of jaxlib's headers.
_FLAGS = ('-std=gnu++17', '-O3', '-march=native', '-ffp-contract=fast', '-shared', '-fPIC', '-w')
_TARGETS = ('apgan_convolve', 'apgan_kernel_gradient')
_CHANNELS = 16  # The kernels fill whole vectors of output channels: 16 float32 suit every width.


def available() -> bool:
    """Whether programs traced now may call the foreign functions.

    XLA cannot split a foreign call over the devices of a mesh, so they serve one CPU device only.
    """
    wanted = os.environ.get('APGAN_NATIVE') != '0'
    return wanted and jax.default_backend() == 'cpu' and jax.device_count() == 1 and _registered()


def multiplies_bfloat16() -> bool:
    """Whether convolutions may be `rounded`: available, and the processor has AVX512_BF16."""
    return available() and bool(ctypes.c_int.in_dll(_library(), 'apgan_multiplies_bfloat16').value)


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    strides: int,
    padding: tuple[int, int],
    rounded: bool = False,
) -> jax.Array:
    """Convolves float32 images; `available` must be true.

    Args:
      x: (n, h, w, in).
      kernel: (kernel_h, kernel_w, in, out).
      bias: (out,) or None.
      strides: of both axes.
      padding: rows and columns of zeros before and after, the same for both axes.
      rounded: whether products are of bfloat16; `multiplies_bfloat16` must be true then.

    Returns:
      (n, out_h, out_w, out).
    """
    sizes = [
        (size + sum(padding) - taps) // strides + 1
        for size, taps in zip(x.shape[1:3], kernel.shape[:2], strict=True)
    ]
    return _call_convolve(x, kernel, bias, sizes, strides, 1, [padding[0]] * 2, rounded)


def input_gradient(
    gradient: jax.Array,
    kernel: jax.Array,
    sizes: tuple[int, int],
    strides: int,
    padding: tuple[int, int],
    rounded: bool = False,
) -> jax.Array:
    """The gradient of `convolve` with respect to `x`, of height and width `sizes`."""
    flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    before = [taps - 1 - padding[0] for taps in kernel.shape[:2]]
    return _call_convolve(gradient, flipped, None, sizes, 1, strides, before, rounded)


def kernel_gradient(
    x: jax.Array,
    gradient: jax.Array,
    taps: tuple[int, int],
    strides: int,
    padding: tuple[int, int],
    rounded: bool = False,
) -> jax.Array:
    """The gradient of `convolve` with respect to a kernel of height and width `taps`."""
    channels = gradient.shape[-1]
    gradient = _fill_vectors(gradient)
    shape = (*taps, x.shape[-1], gradient.shape[-1])
    call = jax.ffi.ffi_call('apgan_kernel_gradient', jax.ShapeDtypeStruct(shape, jnp.float32))
    result = call(
        x,
        gradient,
        stride=np.int64(strides),
        top=np.int64(padding[0]),
        left=np.int64(padding[0]),
        rounded=rounded,
    )
    return result[..., :channels]


def _call_convolve(x, kernel, bias, sizes, stride, dilation, before, rounded) -> jax.Array:
    channels = kernel.shape[-1]
    kernel = _fill_vectors(kernel)
    bias = jnp.zeros(0, jnp.float32) if bias is None else _fill_vectors(bias)
    shape = (x.shape[0], *sizes, kernel.shape[-1])
    call = jax.ffi.ffi_call('apgan_convolve', jax.ShapeDtypeStruct(shape, jnp.float32))
    result = call(
        x,
        kernel,
        bias,
        stride=np.int64(stride),
        dilation=np.int64(dilation),
        top=np.int64(before[0]),
        left=np.int64(before[1]),
        rounded=rounded,
    )
    return result[..., :channels]


def _fill_vectors(array: jax.Array) -> jax.Array:
    """Appends zeros until the last axis is a multiple of `_CHANNELS`."""
    missing = -array.shape[-1] % _CHANNELS
    return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)]) if missing else array


@functools.cache
def _library() -> ctypes.CDLL:
    """The functions, compiled where they are not yet."""
    return ctypes.CDLL(str(_compiled()))


@functools.cache
def _registered() -> bool:
    """Loads and registers the functions, once a process."""
    try:
        library = _library()
    except (OSError, subprocess.SubprocessError) as error:
        logging.getLogger(__name__).info(
            'No native convolutions (%s): XLA runs all of them, at about half the speed. '
            'A C++ compiler, named by CXX or found as c++, makes them available.',
            error,
        )
        return False
    for name in _TARGETS:
        handler = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(name, handler, platform='cpu')
    return True


def _compiled() -> Path:
    """The shared library for this source, compiler and processor, made if it is not there yet."""
    compiler = os.environ.get('CXX', 'c++')
    # What the compiler makes of -march=native is the processor's name and features.
    machine = subprocess.run(
        [compiler, '-march=native', '-E', '-v', '-x', 'c++', os.devnull],
        capture_output=True,
        check=True,
    ).stderr
    headers = jax.ffi.include_dir()
    parts = (_SOURCE.read_bytes(), machine, headers.encode(), repr(_FLAGS).encode())
    key = hashlib.sha256(b'\0'.join(parts)).hexdigest()[:16]
    library = _cache_folder() / f'convolution-{key}.so'
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(library) as part:
            command = [compiler, *_FLAGS, f'-I{headers}', '-o', str(part), str(_SOURCE)]
            subprocess.run(command, capture_output=True, check=True)
    return library


def _cache_folder() -> Path:
    """Where compiled libraries are kept."""
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return cache / 'apgan_jax' / 'native'
