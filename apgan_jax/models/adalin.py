"""Adaptive layer-instance normalisation and the ID and PE blocks built on it (paper III-A, fig. 3).

Feature maps are NHWC; `embedding` is (n, d), `boundary_map` is (n, h, w, 3) in [0, 1] at the
feature map's own resolution.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from apgan_jax.models.convolutions import Conv

EPSILON = 1e-5
RHO_INIT = 0.9
_HEAD_INIT = nn.initializers.normal(0.02)

Modulation = tuple[jax.Array, jax.Array]


def leaky_relu(x: jax.Array) -> jax.Array:
    """LeakyReLU with slope 0.2, as everywhere in both networks."""
    return nn.leaky_relu(x, 0.2)


def layer_instance_norm(x: jax.Array, rho: jax.Array | float) -> jax.Array:
    """Eqs. 1-3 without the affine part: rho * IN(x) + (1 - rho) * LN(x).

    Both are affine in x for given statistics, so the mix is one multiplication and one addition a
    value; the layer's statistics follow from the channels'. Statistics in float32, biased variance.

    Args:
      x: (n, h, w, c).
      rho: (c,) or a number, in [0, 1].

    Returns:
      The same shape and dtype.
    """
    values = x.astype(jnp.float32)
    mean = values.mean(axis=(1, 2), keepdims=True)
    # Centred first: E[x²] - E[x]² loses its digits where the mean is large.
    variance = jnp.square(values - mean).mean(axis=(1, 2), keepdims=True)
    layer_mean = mean.mean(axis=3, keepdims=True)
    layer_variance = (variance + jnp.square(mean - layer_mean)).mean(axis=3, keepdims=True)
    instance_scale = rho * jax.lax.rsqrt(variance + EPSILON)
    layer_scale = (1.0 - rho) * jax.lax.rsqrt(layer_variance + EPSILON)
    scale = instance_scale + layer_scale
    offset = -(instance_scale * mean + layer_scale * layer_mean)
    return (values * scale + offset).astype(x.dtype)


class AdaLIN(nn.Module):
    """Eq. 3: normalises x with a learned mix of IN and LN and applies gamma and beta.

    Attributes:
      use_layer_norm: False fixes rho at 1, which makes it AdaIN (the paper's ablation).
    """

    use_layer_norm: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, modulation: Modulation) -> jax.Array:
        """Modulates x (n, h, w, c); gamma is given as its distance from 1.

        Args:
          x: features.
          modulation: (gamma - 1, beta), each (n, 1, 1, c) or (n, h, w, c).

        Returns:
          The same shape and dtype as x.
        """
        gamma_minus_one, beta = modulation
        rho: jax.Array | float = 1.0
        if self.use_layer_norm:
            rho = self.param('rho', nn.initializers.constant(RHO_INIT), (x.shape[-1],))
        normalised = layer_instance_norm(x, rho)
        return normalised * (1.0 + gamma_minus_one) + beta


class IdentityModulation(nn.Module):
    """gamma and beta of an ID block: one dense layer from the identity embedding."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, embedding: jax.Array) -> Modulation:
        """(n, d) → two of (n, 1, 1, features)."""
        head = nn.Dense(2 * self.features, kernel_init=_HEAD_INIT, dtype=self.dtype, name='head')
        gamma, beta = jnp.split(head(embedding)[:, None, None, :], 2, axis=-1)
        return gamma, beta


class BoundaryModulation(nn.Module):
    """gamma and beta of a PE block: 3x3 conv → ReLU → 3x3 conv on the boundary map."""

    features: int
    hidden: int
    dtype: Any = None

    @nn.compact
    def __call__(self, boundary_map: jax.Array) -> Modulation:
        """(n, h, w, 3) → two of (n, h, w, features), different at every pixel."""
        shared = nn.relu(Conv(self.hidden, dtype=self.dtype, name='shared')(boundary_map))
        head = Conv(2 * self.features, kernel_init=_HEAD_INIT, dtype=self.dtype, name='head')
        gamma, beta = jnp.split(head(shared), 2, axis=-1)
        return gamma, beta


class ModulatedResidual(nn.Module):
    """A residual block of (AdaLIN → LeakyReLU → 3x3 conv), `depth` times.

    Attributes:
      features: channels of the output; a learned 1x1 shortcut where the input has others.
      modulation: makes the module that turns the condition into gamma and beta, given channels.
      depth: 2 for the ID block, 1 for the PE block.
      use_layer_norm: see `AdaLIN`.
    """

    features: int
    modulation: Callable[..., nn.Module]
    depth: int
    use_layer_norm: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        """(n, h, w, c) and the condition → (n, h, w, features)."""
        shortcut = x
        if x.shape[-1] != self.features:
            shortcut = nn.Dense(self.features, use_bias=False, dtype=self.dtype, name='shortcut')(x)
        for number in range(self.depth):
            modulation = self.modulation(
                x.shape[-1], dtype=self.dtype, name=f'modulation_{number}'
            )(condition)
            x = AdaLIN(self.use_layer_norm, name=f'norm_{number}')(x, modulation)
            x = Conv(self.features, dtype=self.dtype, name=f'conv_{number}')(leaky_relu(x))
        return x + shortcut
