"""Faces in, faces out: a bundle's two networks, compiled."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from apgan_jax.bundle import Bundle
from apgan_jax.errors import UserError
from apgan_jax.models.generator import paint
from apgan_jax.models.identity import IdentityEmbedding, mean_embedding
from apgan_jax.models.images import (
    arcface_window,
    normalise_boundary_map,
    normalise_image,
    to_uint8,
)


class Painted(NamedTuple):
    """What a model makes of crops, before it is blended with them.

    Attributes:
      pictures: RGB uint8 (n, size, size, 3), the generator's as they are.
      masks: uint8 (n, size, size), of 255: where they show; 255 everywhere if the generator has no
        mask of its own.
    """

    pictures: np.ndarray
    masks: np.ndarray

    def over(self, targets: np.ndarray) -> np.ndarray:
        """The pictures where they show, the targets where not.

        Args:
          targets: RGB uint8 (n, size, size, 3).

        Returns:
          RGB uint8 (n, size, size, 3).
        """
        if self.masks.min(initial=255) == 255:
            return self.pictures
        shown = self.masks[..., None] / np.float32(255)
        return np.rint(shown * self.pictures + (1 - shown) * targets).astype(np.uint8)


class Swapper:
    """Runs a bundle on aligned faces (crops of `bundle.crop_spec`).

    Args:
      bundle: the model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._embed = jax.jit(self._embed_pictures)
        self._paint = jax.jit(self._paint_pictures)

    def embed(self, crops: np.ndarray) -> IdentityEmbedding:
        """Identity embeddings of crops, RGB uint8 (n, size, size, 3).

        Raises:
          UserError: what the encoder computes is no finite number.
        """
        embedding = self._embed(self.bundle.identity_encoder.params, crops)
        self._require(bool(np.isfinite(embedding.vector).all()), 'identity encoder')
        return embedding

    def embed_vectors(self, crops: np.ndarray) -> np.ndarray:
        """Identity vectors alone, unit length, (n, d), of crops as `embed` takes them."""
        return np.asarray(self.embed(crops).vector)

    def embed_source(self, crops: Sequence[np.ndarray]) -> IdentityEmbedding:
        """One embedding of a person from k crops (the paper's k-shot paradigm), leading axis 1."""
        # One at a time: k varies, and each number of crops would be compiled anew.
        embeddings = [self.embed(crop[None]) for crop in crops]
        return mean_embedding(jax.tree.map(lambda *parts: np.concatenate(parts), *embeddings))

    def swap(
        self, targets: np.ndarray, boundary_maps: np.ndarray, identity: IdentityEmbedding
    ) -> Painted:
        """Gives the targets the source's identity.

        Args:
          targets: RGB uint8 (n, size, size, 3).
          boundary_maps: RGB uint8 (n, size, size, 3).
          identity: leading axis n, or 1 for all.

        Returns:
          Pictures and masks, apart.

        Raises:
          UserError: what the generator computes is no finite number: no picture.
        """
        params = self.bundle.generator_params
        *painted, is_finite = self._paint(params, targets, boundary_maps, identity)
        self._require(is_finite, 'generator')
        return Painted(*map(np.asarray, painted))

    def _require(self, is_finite: jax.Array | bool, network: str) -> None:
        if not is_finite:
            raise UserError(
                f"the bundle {self.bundle.name}: its {network}'s result is no finite number, so "
                'that there is no picture; its weights are damaged, or the identity is: export '
                'or save it again'
            )

    def _embed_pictures(self, params, crops: jax.Array) -> IdentityEmbedding:
        faces = arcface_window(normalise_image(crops), self.bundle.crop_spec.arcface_window)
        return self.bundle.identity_encoder.embed(params, faces)

    def _paint_pictures(
        self, params, targets: jax.Array, boundary_maps: jax.Array, identity: IdentityEmbedding
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        count = targets.shape[0]
        identity = jax.tree.map(
            lambda value: jax.numpy.broadcast_to(value, (count, *value.shape[1:])), identity
        )
        picture, mask = paint(
            self.bundle.generator,
            params,
            normalise_image(targets),
            normalise_boundary_map(boundary_maps),
            identity,
        )
        is_finite = jax.numpy.isfinite(picture).all() & jax.numpy.isfinite(mask).all()
        return to_uint8(picture), to_uint8(2.0 * mask[..., 0] - 1.0), is_finite
