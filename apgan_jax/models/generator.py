"""The U-Net based generator (paper III-A, fig. 2)."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from apgan_jax.models.adalin import (
    BoundaryModulation,
    IdentityModulation,
    ModulatedResidual,
    leaky_relu,
)
from apgan_jax.models.convolutions import Conv
from apgan_jax.models.identity import IdentityEmbedding
from apgan_jax.models.images import area_downsample, bilinear_upsample


class Generator(nn.Module):
    """Gives the target's picture the source's identity.

    The encoder halves the resolution from `size` to the last stage, the decoder doubles it back;
    each decoder stage sees the encoder's features of its resolution, then its ID block, then its PE
    block, where the fields ask for them.

    Attributes:
      size: height and width of pictures, pixels.
      widths: channels a stage, from full resolution down, halving each time.
      id_resolutions: decoder stages with an ID block (paper IV-A: 4 … size/2).
      pe_resolutions: decoder stages with a PE block (paper: size/2 and size).
      skip_resolutions: decoder stages that see the encoder's features.
      pe_hidden: hidden channels of the PE blocks' modulation.
      id_features: channels that the pooled identity features are reduced to; 0 leaves them out and
        modulates by the identity vector alone.
      use_layer_norm: False makes AdaLIN AdaIN (ablation).
      dtype: of the computation; parameters and statistics stay float32.
    """

    size: int
    widths: Sequence[int]
    id_resolutions: Sequence[int]
    pe_resolutions: Sequence[int]
    skip_resolutions: Sequence[int]
    pe_hidden: int
    id_features: int = 128
    use_layer_norm: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(
        self, target: jax.Array, boundary_map: jax.Array, identity: IdentityEmbedding
    ) -> jax.Array:
        """Generates the swapped picture.

        Args:
          target: float (n, size, size, 3) in [-1, 1].
          boundary_map: float (n, size, size, 3) in [0, 1], of the target.
          identity: of the source.

        Returns:
          float32 (n, size, size, 3) in [-1, 1].
        """
        skips = self._encode(target)
        x = skips[self.size >> (len(self.widths) - 1)]
        for depth in reversed(range(len(self.widths))):
            resolution, width = self.size >> depth, self.widths[depth]
            if depth < len(self.widths) - 1:
                up = Conv(width, dtype=self.dtype, name=f'up_{resolution}')
                x = up(bilinear_upsample(x))
                if resolution in self.skip_resolutions:
                    x = jnp.concatenate([x, skips[resolution]], axis=-1)
            x = self._modulate(x, resolution, width, boundary_map, identity)
        last = Conv(3, dtype=self.dtype, name='to_rgb')
        return jnp.tanh(last(leaky_relu(x)).astype(jnp.float32))

    def _encode(self, target: jax.Array) -> dict[int, jax.Array]:
        """Features of the target by resolution."""
        x = Conv(self.widths[0], dtype=self.dtype, name=f'down_{self.size}')(target)
        skips = {self.size: x}
        for depth, width in enumerate(self.widths[1:], start=1):
            resolution = self.size >> depth
            down = Conv(width, strides=2, dtype=self.dtype, name=f'down_{resolution}')
            x = down(leaky_relu(x))
            skips[resolution] = x
        return skips

    def _modulate(
        self,
        x: jax.Array,
        resolution: int,
        width: int,
        boundary_map: jax.Array,
        identity: IdentityEmbedding,
    ) -> jax.Array:
        block = functools.partial(
            ModulatedResidual, width, use_layer_norm=self.use_layer_norm, dtype=self.dtype
        )
        if resolution in self.id_resolutions:
            embedding = IdentityCondition(self.id_features, name=f'identity_{resolution}')(
                identity, resolution
            )
            id_block = block(IdentityModulation, depth=2, name=f'id_{resolution}')
            x = id_block(x, embedding)
        if resolution in self.pe_resolutions:
            modulation = functools.partial(BoundaryModulation, hidden=self.pe_hidden)
            pe_block = block(modulation, depth=1, name=f'pe_{resolution}')
            x = pe_block(x, area_downsample(boundary_map, self.size // resolution))
        return x


def generate(
    generator: Generator,
    params: Any,
    target: jax.Array,
    boundary_map: jax.Array,
    identity: IdentityEmbedding,
) -> jax.Array:
    """Applies a generator; see `Generator.__call__`."""
    return generator.apply({'params': params}, target, boundary_map, identity)  # type: ignore[return-value]


class IdentityCondition(nn.Module):
    """The multi-scale identity embedding of one stage: identity vector ⊕ dense(pooled features).

    Attributes:
      features: of the dense layer; 0 for the vector alone.
    """

    features: int

    @nn.compact
    def __call__(self, identity: IdentityEmbedding, resolution: int) -> jax.Array:
        """Embedding (n, d) for the decoder stage of this resolution."""
        vector = unit_rms(identity.vector)
        if not self.features:
            return vector
        stage = min(identity.features, key=lambda name: abs(math.log2(int(name) / resolution)))
        pooled = unit_rms(identity.features[stage])
        return jnp.concatenate([vector, nn.Dense(self.features, name='dense')(pooled)], axis=-1)


def unit_rms(x: jax.Array) -> jax.Array:
    """Scales each row of (n, d) to a mean square of 1.

    A unit vector of 192 numbers has entries of 0.07. Adam moves all weights at the same rate, so a
    modulation fed with it learns 14 times more slowly than one fed with entries of about 1.
    """
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-8)
