"""The multi-scale PE-aware discriminator (paper III-B), and projected ones beside it."""

from collections.abc import Mapping
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


class ProjectedDiscriminator(nn.Module):
    """A small PatchGAN on one stage of a frozen network (Sauer et al. 2021, without its mixing).

    Attributes:
      width: hidden channels.
      activation_gain: as of `PatchDiscriminator`.
    """

    width: int
    activation_gain: float = 2.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> ScaleOutput:
        """(n, h, w, c) → logits (n, h, w, 1); no features, which eqs. 8-10 want of the picture."""
        # The encoders' stages are of any size; spectrally normalised layers do not learn a scale.
        x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=(1, 2, 3), keepdims=True) + 1e-8)
        x = Conv(self.width, size=1, dtype=self.dtype, name='project')(x)
        x = self.activation_gain * leaky_relu(x)
        x = Conv(self.width, size=3, dtype=self.dtype, name='conv')(x)
        x = self.activation_gain * leaky_relu(x)
        logits = Conv(1, size=1, dtype=self.dtype, name='logits')(x)
        return ScaleOutput(logits.astype(jnp.float32), ())


class MultiScaleDiscriminator(nn.Module):
    """Equal discriminators on the picture at full, half, quarter … size.

    Attributes:
      width: of each, see `PatchDiscriminator`.
      depth: of each.
      activation_gain: of each.
      num_scales: n of eq. 4.
      use_boundary_map: False judges the picture alone (the paper's ablation of PE-A D).
      projected_width: of a `ProjectedDiscriminator` for each of the face's maps; 0: none.
    """

    width: int
    depth: int = 4
    num_scales: int = 3
    activation_gain: float = 2.0
    use_boundary_map: bool = True
    projected_width: int = 0
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        image: jax.Array,
        boundary_map: jax.Array,
        face_maps: Mapping[str, jax.Array] | None = None,
    ) -> list[ScaleOutput]:
        """Judges pictures.

        Args:
          image: float (n, size, size, 3) in [-1, 1].
          boundary_map: float (n, size, size, 3) in [0, 1], of the target.
          face_maps: of the picture, from `IdentityEncoder.face_maps`, if `projected_width`.

        Returns:
          One output a scale, finest first, then one for each of the face's maps.
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
        if self.projected_width:
            outputs += self._projected(face_maps or {})
        return outputs

    def _projected(self, face_maps: Mapping[str, jax.Array]) -> list[ScaleOutput]:
        fields = (self.projected_width, self.activation_gain, self.dtype)
        return [
            ProjectedDiscriminator(*fields, name=f'face_{size}')(stage)
            for size, stage in face_maps.items()
        ]
