"""The multi-scale PE-aware discriminator (paper III-B)."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from apgan_jax.models.adalin import leaky_relu
from apgan_jax.models.convolutions import Conv
from apgan_jax.models.images import area_downsample


class ScaleOutput(NamedTuple):
    """What the discriminator of one scale says.

    Attributes:
      logits: float32 (n, h, w, 1), one a patch.
      features: activations of the stages, the features of eqs. 8-10.
    """

    logits: jax.Array
    features: tuple[jax.Array, ...]


class PatchDiscriminator(nn.Module):
    """PatchGAN: 4x4 convolutions of widths d, 2d, 4d, … at stride 2, the last at stride 1, then 1.

    Attributes:
      width: d.
      depth: how many stages before the logits.
      activation_gain: factor of the activations. A convolution of spectral norm 1 and LeakyReLU
        halve the size of features between them, or worse: without a gain the logits of five layers
        stay so near 0 that the generator hardly hears them (docs/training-notes.md).
    """

    width: int
    depth: int = 4
    activation_gain: float = 2.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> ScaleOutput:
        """(n, h, w, c) → logits and stage features."""
        features = []
        for stage in range(self.depth):
            stride = 2 if stage < self.depth - 1 else 1
            x = self._conv(self.width << stage, stride, f'conv_{stage}')(x)
            x = self.activation_gain * leaky_relu(x)
            features.append(x)
        logits = self._conv(1, 1, 'logits')(x)
        return ScaleOutput(logits.astype(jnp.float32), tuple(features))

    def _conv(self, features: int, stride: int, name: str) -> Conv:
        return Conv(features, size=4, strides=stride, dtype=self.dtype, name=name)


class MultiScaleDiscriminator(nn.Module):
    """Equal discriminators on the picture at full, half, quarter … size.

    Attributes:
      width: of each, see `PatchDiscriminator`.
      depth: of each.
      activation_gain: of each.
      num_scales: n of eq. 4.
      use_boundary_map: False judges the picture alone (the paper's ablation of PE-A D).
    """

    width: int
    depth: int = 4
    num_scales: int = 3
    activation_gain: float = 2.0
    use_boundary_map: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, image: jax.Array, boundary_map: jax.Array) -> list[ScaleOutput]:
        """Judges pictures.

        Args:
          image: float (n, size, size, 3) in [-1, 1].
          boundary_map: float (n, size, size, 3) in [0, 1], of the target.

        Returns:
          One output a scale, finest first.
        """
        x = jnp.concatenate([image, boundary_map], axis=-1) if self.use_boundary_map else image
        outputs = []
        for scale in range(self.num_scales):
            judge = PatchDiscriminator(
                self.width, self.depth, self.activation_gain, self.dtype, name=f'scale_{scale}'
            )
            outputs.append(judge(x))
            if scale < self.num_scales - 1:
                x = area_downsample(x, 2)
        return outputs
