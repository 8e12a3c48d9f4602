"""Layers of the identity encoders: convolutions with their batch normalisation folded in.

Each adds its bias and, where it has an activation, applies PReLU with a slope for each channel.
Images are NHWC; paddings are rows and columns of zeros before and after, the same for both axes.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from apgan_jax.models.convolutions import conv3x3, depthwise_conv, pointwise_conv


class StemConv(nn.Module):
    """3×3 convolution of an image, then PReLU."""

    features: int
    strides: int = 1
    padding: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, h, w, c) → (n, h / strides, w / strides, features), h and w divisible by strides."""
        height, width, channels = x.shape[1:]
        kernel = self.param('kernel', _init, (3, 3, channels, self.features))
        x = jnp.pad(x, ((0, 0), self.padding, self.padding, (0, 0)))
        # A product with 27 columns: with 3 input channels XLA's own convolution is far slower.
        step = self.strides
        patches = jnp.concatenate(
            [x[:, i : i + height : step, j : j + width : step] for i in range(3) for j in range(3)],
            axis=-1,
        )
        return _bias_prelu(self, pointwise_conv(patches, kernel.reshape(-1, self.features)))


class FullConv(nn.Module):
    """3×3 convolution, one pixel of zeros on each side, then PReLU where `prelu`."""

    features: int
    strides: int = 1
    prelu: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, h, w, c) → (n, h / strides, w / strides, features)."""
        kernel = self.param('kernel', _init, (3, 3, x.shape[-1], self.features))
        return _bias_prelu(self, conv3x3(x, kernel, self.strides), self.prelu)


class DepthwiseConv(nn.Module):
    """3×3 depthwise convolution, then PReLU."""

    strides: int = 1
    padding: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(n, h, w, c) → (n, h / strides, w / strides, c)."""
        kernel = self.param('kernel', _init, (3, 3, 1, x.shape[-1]))
        return _bias_prelu(self, depthwise_conv(x, kernel, self.strides, self.padding))


class PointwiseConv(nn.Module):
    """1×1 convolution or dense layer, then PReLU where `prelu`."""

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


class Affine(nn.Module):
    """A batch normalisation that no convolution can take in: a scale and an offset a channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., c) → (..., c)."""
        scale = self.param('scale', nn.initializers.ones_init(), (x.shape[-1],))
        return x * scale + self.param('offset', nn.initializers.zeros_init(), (x.shape[-1],))


_init = nn.initializers.lecun_normal()


def _bias_prelu(module: nn.Module, x: jax.Array, prelu: bool = True) -> jax.Array:
    """Adds the module's bias and applies PReLU with a slope for each channel."""
    x = x + module.param('bias', nn.initializers.zeros_init(), (x.shape[-1],))
    if not prelu:
        return x
    slope = module.param('slope', nn.initializers.constant(0.25), (x.shape[-1],))
    return jnp.where(x > 0, x, slope * x)
