"""MobileFaceNet (Chen et al. 2018) trained with ArcFace; its batch normalisation is folded in.

The network of `sirius-ai/MobileFaceNet_TF`: a 3×3 stem, then inverted bottlenecks, then a depthwise
convolution over the whole 7×7 map. Paddings are TensorFlow's `SAME`, which pads an even size only
at the end when the stride is 2.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from apgan_jax.models.identity.embedding import IdentityEmbedding, pool_stage, unit_length
from apgan_jax.models.identity.layers import (
    DepthwiseConv,
    GlobalDepthwiseConv,
    PointwiseConv,
    StemConv,
)


class BottleneckSpec(NamedTuple):
    """An inverted bottleneck; it has a residual connection where the stride is 1."""

    name: str
    expansion: int
    features: int
    strides: int


BLOCKS = (
    BottleneckSpec('stage28_block0', 128, 64, 2),
    *(BottleneckSpec(f'stage28_block{i}', 128, 64, 1) for i in range(1, 5)),
    BottleneckSpec('stage14_block0', 256, 128, 2),
    *(BottleneckSpec(f'stage14_block{i}', 256, 128, 1) for i in range(1, 7)),
    BottleneckSpec('stage7_block0', 512, 128, 2),
    *(BottleneckSpec(f'stage7_block{i}', 256, 128, 1) for i in range(1, 3)),
)


class MobileFaceNet(nn.Module):
    """Faces → identity embedding, 192-d.

    `features` holds the pooled output of the last layer at each resolution. At 56, 28 and 14 px
    that is the expansion of the bottleneck that then halves the resolution.
    """

    @nn.compact
    def __call__(self, images: jax.Array) -> IdentityEmbedding:
        """Embeds (n, 112, 112, 3) RGB in [-1, 1], aligned to ArcFace's template."""
        features: dict[str, jax.Array] = {}
        # The network was trained on (x - 127.5) / 128 of uint8.
        x = images.astype(jnp.float32) * (127.5 / 128)
        x = StemConv(64, strides=2, padding=(0, 1), name='stem')(x)
        x = DepthwiseConv(name='stage56_depthwise')(x)
        x = PointwiseConv(64, prelu=False, name='stage56_project')(x)
        for block in BLOCKS:
            x, expanded = Bottleneck(block, name=block.name)(x)
            if block.strides == 2:
                features |= pool_stage(self, expanded)
        x = PointwiseConv(512, name='stage7_expand')(x)
        features |= pool_stage(self, x)
        x = GlobalDepthwiseConv(name='global_depthwise')(x)
        x = PointwiseConv(512, prelu=False, name='dense')(x)
        x = PointwiseConv(192, prelu=False, name='embedding')(x)
        return IdentityEmbedding(unit_length(x), features)


class Bottleneck(nn.Module):
    """Expand 1×1 → depthwise 3×3 → project 1×1 without an activation."""

    spec: BottleneckSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the block's output and its expanded input."""
        expanded = PointwiseConv(self.spec.expansion, name='expand')(x)
        padding = (1, 1) if self.spec.strides == 1 else (0, 1)
        y = DepthwiseConv(self.spec.strides, padding, name='depthwise')(expanded)
        y = PointwiseConv(self.spec.features, prelu=False, name='project')(y)
        return (y if self.spec.strides == 2 else x + y), expanded
