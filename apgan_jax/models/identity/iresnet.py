"""IResNet (Duta et al. 2020) trained with ArcFace, as `arcface_torch` of insightface has it.

Batch normalisation is folded into the convolution before it, and the two around the dense layer
into that. The one at the start of each block stays: it offsets the image but not the zeros that the
convolution after it pads with.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from apgan_jax.models.identity.embedding import IdentityEmbedding, pool_stage, unit_length
from apgan_jax.models.identity.layers import Affine, FullConv, PointwiseConv, StemConv

DEPTHS = {
    'iresnet18': (2, 2, 2, 2),
    'iresnet34': (3, 4, 6, 3),
    'iresnet50': (3, 4, 14, 3),
    'iresnet100': (3, 13, 30, 3),
}
STEM_WIDTH = 64
WIDTHS = (64, 128, 256, 512)  # of the four stages
VECTOR_SIZE = 512


class IResNet(nn.Module):
    """Faces → identity embedding, 512-d.

    `features` holds the pooled outputs of the four stages, at 56, 28, 14 and 7 px.

    Attributes:
      depths: blocks in each stage.
    """

    depths: Sequence[int]

    @nn.compact
    def __call__(self, images: jax.Array) -> IdentityEmbedding:
        """Embeds (n, 112, 112, 3) RGB in [-1, 1], aligned to ArcFace's template."""
        features: dict[str, jax.Array] = {}
        x = StemConv(STEM_WIDTH, name='stem')(images.astype(jnp.float32))
        for stage, (depth, width) in enumerate(zip(self.depths, WIDTHS, strict=True), start=1):
            for block in range(depth):
                strides = 1 if block else 2
                x = Block(width, strides, name=f'layer{stage}_block{block}')(x)
            features |= pool_stage(self, x)
        x = x.reshape(x.shape[0], -1)
        vector = PointwiseConv(VECTOR_SIZE, prelu=False, name='embedding')(x)
        return IdentityEmbedding(unit_length(vector), features)


class Block(nn.Module):
    """Scale and offset → 3×3 with PReLU → 3×3, plus the input, through a 1×1 where it halves."""

    features: int
    strides: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, h, w, c) → (n, h / strides, w / strides, features)."""
        y = FullConv(self.features, name='conv1')(Affine(name='norm')(x))
        y = FullConv(self.features, self.strides, prelu=False, name='conv2')(y)
        if self.strides > 1:
            x = x[:, :: self.strides, :: self.strides]
            x = PointwiseConv(self.features, prelu=False, name='downsample')(x)
        return x + y
