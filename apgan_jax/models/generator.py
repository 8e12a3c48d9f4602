"""The U-Net based generator (paper III-A, fig. 2).

Three departures from the paper, each a field that is off by default: a mask of the generator's own,
pixels put into channels at both ends, and a few convolutions at full resolution behind them.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

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
from apgan_jax.models.images import (
    area_downsample,
    bilinear_upsample,
    depth_to_space,
    space_to_depth,
)

# Where a mask starts: most of the gradient goes to the picture, and the sigmoid is not yet flat.
MASK_START = 0.9
# Of last layers that start as next to nothing.
_SMALL_INIT = nn.initializers.normal(0.02)
_REFINING_LAYERS = 2


class Painting(NamedTuple):
    """What a generator makes of a target, before both are one.

    Attributes:
      picture: float32 (n, size, size, 3) in [-1, 1].
      mask: float32 (n, size, size, 1) in [0, 1]: where the picture shows; ones of a generator that
        has no mask.
    """

    picture: jax.Array
    mask: jax.Array


def compose(painting: Painting, target: jax.Array) -> jax.Array:
    """The picture where the mask is 1, the target where it is 0, both in between.

    Args:
      painting: from `paint`.
      target: float (n, size, size, 3) in [-1, 1].

    Returns:
      float32 (n, size, size, 3) in [-1, 1].
    """
    return painting.mask * painting.picture + (1.0 - painting.mask) * target


class Generator(nn.Module):
    """Gives the target's picture the source's identity.

    The encoder halves the resolution from `size` to the last stage, the decoder doubles it back;
    each decoder stage sees the encoder's features of its resolution, then its ID block, then its PE
    block, where the fields ask for them.

    Attributes:
      size: height and width of pictures, pixels.
      widths: channels a stage, from `size / shuffle` down, halving each time.
      id_resolutions: decoder stages with an ID block (paper IV-A: 4 … size/2).
      pe_resolutions: decoder stages with a PE block (paper: size/2 and size).
      skip_resolutions: decoder stages that see the encoder's features.
      pe_hidden: hidden channels of the PE blocks' modulation.
      id_features: channels that the pooled identity features are reduced to; 0 leaves them out and
        modulates by the identity vector alone.
      use_layer_norm: False makes AdaLIN AdaIN (ablation).
      mask: whether it decides where its picture shows, pixel by pixel; the target is left as it is
        where it does not. Unless a loss teaches it, it closes: nothing is as real as the target.
      shuffle: the first and the last stage are this many times smaller than the pictures, and each
        pixel there has the channels of shuffle x shuffle pixels; 1: as in the paper.
      refine_channels: of two 3x3 convolutions at full resolution that see picture, target and
        boundary map, and change what was made of the last stage; 0: none.
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
    mask: bool = False
    shuffle: int = 1
    refine_channels: int = 0
    dtype: Any = None

    def __call__(
        self, target: jax.Array, boundary_map: jax.Array, identity: IdentityEmbedding
    ) -> jax.Array:
        """Generates the swapped picture: `paint`'s, over the target where there is a mask.

        Args:
          target: float (n, size, size, 3) in [-1, 1].
          boundary_map: float (n, size, size, 3) in [0, 1], of the target.
          identity: of the source.

        Returns:
          float32 (n, size, size, 3) in [-1, 1].
        """
        painting = self.paint(target, boundary_map, identity)
        return compose(painting, target) if self.mask else painting.picture

    @nn.compact
    def paint(
        self, target: jax.Array, boundary_map: jax.Array, identity: IdentityEmbedding
    ) -> Painting:
        """Generates picture and mask; arguments as of `__call__`."""
        x = self._decode(self._encode(target), boundary_map, identity)
        values = self._last_layers(leaky_relu(x))
        if self.refine_channels:
            values += self._refine(jnp.tanh(values[..., :3]), target, boundary_map)
        picture = jnp.tanh(values[..., :3])
        if not self.mask:
            return Painting(picture, jnp.ones_like(picture[..., :1]))
        start = math.log(MASK_START / (1 - MASK_START))
        return Painting(picture, nn.sigmoid(start + values[..., 3:]))

    def _decode(
        self, skips: dict[int, jax.Array], boundary_map: jax.Array, identity: IdentityEmbedding
    ) -> jax.Array:
        """Features of the last stage."""
        first = self.size // self.shuffle
        x = skips[first >> (len(self.widths) - 1)]
        for depth in reversed(range(len(self.widths))):
            resolution, width = first >> depth, self.widths[depth]
            if depth < len(self.widths) - 1:
                up = Conv(width, dtype=self.dtype, name=f'up_{resolution}')
                x = up(bilinear_upsample(x))
                if resolution in self.skip_resolutions:
                    x = jnp.concatenate([x, skips[resolution]], axis=-1)
            x = self._modulate(x, resolution, width, boundary_map, identity)
        return x

    def _encode(self, target: jax.Array) -> dict[int, jax.Array]:
        """Features of the target by resolution."""
        first = self.size // self.shuffle
        stem = Conv(self.widths[0], dtype=self.dtype, name=f'down_{first}')
        x = stem(space_to_depth(target, self.shuffle))
        skips = {first: x}
        for depth, width in enumerate(self.widths[1:], start=1):
            resolution = first >> depth
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

    def _last_layers(self, x: jax.Array) -> jax.Array:
        """Picture and mask before tanh and sigmoid, float32 (n, size, size, 3 or 4)."""
        layer = functools.partial(Conv, dtype=self.dtype)
        layers = [layer(3 * self.shuffle**2, name='to_rgb')]
        # Of its own, so that a warm start from a generator without a mask has the colours.
        if self.mask:
            layers.append(layer(self.shuffle**2, kernel_init=_SMALL_INIT, name='to_mask'))
        values = [depth_to_space(each(x).astype(jnp.float32), self.shuffle) for each in layers]
        return jnp.concatenate(values, axis=-1)

    def _refine(self, picture: jax.Array, target: jax.Array, boundary_map: jax.Array) -> jax.Array:
        """What is added to the last layers' values."""
        x = jnp.concatenate([picture, target, boundary_map], axis=-1)
        for number in range(_REFINING_LAYERS):
            layer = Conv(self.refine_channels, dtype=self.dtype, name=f'refine_{number}')
            x = leaky_relu(layer(x))
        # One layer: at this size a second one for the mask alone would take as long as this.
        last = Conv(3 + self.mask, kernel_init=_SMALL_INIT, dtype=self.dtype, name='to_fine')
        return last(x).astype(jnp.float32)


def generate(
    generator: Generator,
    params: Any,
    target: jax.Array,
    boundary_map: jax.Array,
    identity: IdentityEmbedding,
) -> jax.Array:
    """Applies a generator; see `Generator.__call__`."""
    return generator.apply({'params': params}, target, boundary_map, identity)  # type: ignore[return-value]


def paint(
    generator: Generator,
    params: Any,
    target: jax.Array,
    boundary_map: jax.Array,
    identity: IdentityEmbedding,
) -> Painting:
    """Applies a generator, picture and mask apart; see `Generator.paint`."""
    return generator.apply(  # type: ignore[return-value]
        {'params': params}, target, boundary_map, identity, method=Generator.paint
    )


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
