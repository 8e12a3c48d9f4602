"""Spectral normalisation as a function of a parameter tree (paper IV-A, [43]).

The kernels of a whole network are normalised once a step, before its forward passes, and the
networks know nothing of it. `flax.linen.SpectralNorm` sits inside the forward pass: the generator's
real and fake passes would each iterate again, and its state would follow the model to inference.
Here an exported model holds `fold(params)` and is a plain network.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

Params = Any
State = dict[str, jax.Array]

_EPSILON = 1e-12
# The layers that make gamma and beta must be free to grow, and so must the last ones of picture and
# mask.
_EXEMPT = ('modulation_', 'to_rgb', 'to_mask', 'to_fine')
# A 1x1 convolution is a dense layer over the channels; the other dense layers are no convolutions.
_POINTWISE = 'shortcut/kernel'


def is_normalised(path: str, value: jax.Array | np.ndarray) -> bool:
    """Whether a parameter ('a/b/kernel') is a convolution kernel that gets normalised."""
    return (
        path.endswith('kernel')
        and (value.ndim == 4 or path.endswith(_POINTWISE))
        and not any(name.startswith(_EXEMPT) for name in path.split('/'))
    )


def init(params: Params, rng: jax.Array) -> State:
    """Random unit vectors, one (out,) a normalised kernel, by its path."""
    kernels = _kernels(params)
    rngs = jax.random.split(rng, max(len(kernels), 1))
    return {
        path: _unit(jax.random.normal(key, kernel.shape[-1:]))
        for key, (path, kernel) in zip(rngs, sorted(kernels.items()), strict=False)
    }


# On a TPU or GPU a product of float32 matrices is rounded to fewer bits by default.
@jax.default_matmul_precision('float32')
def normalise(params: Params, state: State, *, steps: int = 1) -> tuple[Params, State]:
    """Divides each convolution kernel by an estimate of its largest singular value.

    A kernel (h, w, in, out) counts as the matrix (h*w*in, out). The singular vectors are constants
    to the gradient; the singular value, u W v, is not.

    Args:
      params: raw parameters.
      state: from `init` or the last call.
      steps: power iterations.

    Returns:
      (normalised parameters, the next state).
    """
    flat = traverse_util.flatten_dict(params, sep='/')
    next_state = {}
    for path, vector in state.items():
        matrix = flat[path].reshape(-1, flat[path].shape[-1])
        left, right = _power_iteration(jax.lax.stop_gradient(matrix), vector, steps)
        sigma = left @ matrix @ right
        flat[path] = flat[path] / jnp.maximum(sigma, _EPSILON)
        next_state[path] = right
    return traverse_util.unflatten_dict(flat, sep='/'), next_state


def fold(params: Params) -> Params:
    """Divides each convolution kernel by its exact largest singular value, for export."""
    flat = traverse_util.flatten_dict(params, sep='/')
    for path, kernel in _kernels(params).items():
        matrix = kernel.reshape(-1, kernel.shape[-1])
        flat[path] = kernel / jnp.linalg.norm(matrix, ord=2)
    return traverse_util.unflatten_dict(flat, sep='/')


def _kernels(params: Params) -> dict[str, jax.Array]:
    flat = traverse_util.flatten_dict(params, sep='/')
    return {path: value for path, value in flat.items() if is_normalised(path, value)}


def _power_iteration(
    matrix: jax.Array, right: jax.Array, steps: int
) -> tuple[jax.Array, jax.Array]:
    for _ in range(steps):
        left = _unit(matrix @ right)
        right = _unit(left @ matrix)
    return left, right


def _unit(vector: jax.Array) -> jax.Array:
    return vector / (jnp.linalg.norm(vector) + _EPSILON)
