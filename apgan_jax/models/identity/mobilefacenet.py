"""MobileFaceNet (Chen et al. 2018) trained with ArcFace; its batch normalisation is folded in.

The network of `sirius-ai/MobileFaceNet_TF`: a 3×3 stem, then inverted bottlenecks, then a depthwise
convolution over the whole 7×7 map. Paddings are TensorFlow's `SAME`, which pads an even size only
at the end when the stride is 2.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from apgan_jax.models.convolutions import depthwise_conv, pointwise_conv
from apgan_jax.models.identity.embedding import IdentityEmbedding, normalise

IMAGE_SIZE = 112  # px


class BlockSpec(NamedTuple):
    """An inverted bottleneck; it has a residual connection where the stride is 1."""

    name: str
    expansion: int
    features: int
    strides: int


BLOCKS = (
    BlockSpec('stage28_block0', 128, 64, 2),
    *(BlockSpec(f'stage28_block{i}', 128, 64, 1) for i in range(1, 5)),
    BlockSpec('stage14_block0', 256, 128, 2),
    *(BlockSpec(f'stage14_block{i}', 256, 128, 1) for i in range(1, 7)),
    BlockSpec('stage7_block0', 512, 128, 2),
    *(BlockSpec(f'stage7_block{i}', 256, 128, 1) for i in range(1, 3)),
)


class MobileFaceNet(nn.Module):
    """Faces → identity embedding, 192-d.

    `features` holds the pooled output of the last layer at each resolution. At 56, 28 and 14 px
    that is the expansion of the bottleneck that then halves the resolution.
    """

    @nn.compact
    def __call__(self, images: jax.Array) -> IdentityEmbedding:
        """Embeds (n, 112, 112, 3) RGB in [-1, 1], aligned to ArcFace's template."""
        features = {}
        # The network was trained on (x - 127.5) / 128 of uint8.
        x = StemConv(64, name='stem')(images.astype(jnp.float32) * (127.5 / 128))
        x = DepthwiseConv(name='stage56_depthwise')(x)
        x = PointwiseConv(64, prelu=False, name='stage56_project')(x)
        for block in BLOCKS:
            size = x.shape[1]
            x, expanded = Bottleneck(block, name=block.name)(x)
            if block.strides == 2:
                features[str(size)] = jnp.mean(expanded, axis=(1, 2))
        x = PointwiseConv(512, name='stage7_expand')(x)
        features[str(x.shape[1])] = jnp.mean(x, axis=(1, 2))
        x = GlobalDepthwiseConv(name='global_depthwise')(x)
        x = PointwiseConv(512, prelu=False, name='dense')(x)
        x = PointwiseConv(192, prelu=False, name='embedding')(x)
        return IdentityEmbedding(normalise(x), features)


class Bottleneck(nn.Module):
    """Expand 1×1 → depthwise 3×3 → project 1×1 without an activation."""

    spec: BlockSpec

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the block's output and its expanded input."""
        expanded = PointwiseConv(self.spec.expansion, name='expand')(x)
        y = DepthwiseConv(self.spec.strides, name='depthwise')(expanded)
        y = PointwiseConv(self.spec.features, prelu=False, name='project')(y)
        return (y if self.spec.strides == 2 else x + y), expanded


class StemConv(nn.Module):
    """3×3 convolution with stride 2, then PReLU, for an even input size."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, h, w, c) → (n, h / 2, w / 2, features)."""
        height, width, channels = x.shape[1:]
        kernel = self.param('kernel', _init, (3, 3, channels, self.features))
        x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        # A product with 27 columns: with 3 input channels XLA's own convolution is far slower.
        patches = jnp.concatenate(
            [x[:, i : i + height : 2, j : j + width : 2] for i in range(3) for j in range(3)], -1
        )
        return _bias_prelu(self, pointwise_conv(patches, kernel.reshape(-1, self.features)))


class DepthwiseConv(nn.Module):
    """3×3 depthwise convolution, then PReLU."""

    strides: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, h, w, c) → (n, h / strides, w / strides, c)."""
        kernel = self.param('kernel', _init, (3, 3, 1, x.shape[-1]))
        padding = (1, 1) if self.strides == 1 else (0, 1)
        return _bias_prelu(self, depthwise_conv(x, kernel, self.strides, padding))


class PointwiseConv(nn.Module):
    """1×1 convolution, then PReLU where `prelu`."""

    features: int
    prelu: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., c) → (..., features)."""
        kernel = self.param('kernel', _init, (x.shape[-1], self.features))
        return _bias_prelu(self, pointwise_conv(x, kernel), self.prelu)


class GlobalDepthwiseConv(nn.Module):
    """A weighted sum over all positions, with weights of its own for each channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, h, w, c) → (n, c)."""
        kernel = self.param('kernel', _init, (*x.shape[1:3], 1, x.shape[-1]))
        return _bias_prelu(self, jnp.sum(x * kernel[:, :, 0], axis=(1, 2)), prelu=False)


_init = nn.initializers.lecun_normal()


def _bias_prelu(module: nn.Module, x: jax.Array, prelu: bool = True) -> jax.Array:
    """Adds the module's bias and applies PReLU with a slope for each channel."""
    x = x + module.param('bias', nn.initializers.zeros_init(), (x.shape[-1],))
    if not prelu:
        return x
    slope = module.param('slope', nn.initializers.constant(0.25), (x.shape[-1],))
    return jnp.where(x > 0, x, slope * x)
