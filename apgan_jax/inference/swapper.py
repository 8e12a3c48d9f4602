"""Faces in, faces out: a bundle's two networks, compiled."""

from collections.abc import Sequence

import jax
import numpy as np

from apgan_jax.bundle import Bundle
from apgan_jax.models.generator import generate
from apgan_jax.models.identity import IdentityEmbedding, mean_embedding
from apgan_jax.models.images import (
    arcface_window,
    normalise_boundary_map,
    normalise_image,
    to_uint8,
)


class Swapper:
    """Runs a bundle on aligned faces (crops of `bundle.crop_spec`).

    Args:
      bundle: the model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._embed = jax.jit(self._embed_pictures)
        self._generate = jax.jit(self._generate_pictures)

    def embed(self, crops: np.ndarray) -> IdentityEmbedding:
        """Identity embeddings of crops, RGB uint8 (n, size, size, 3)."""
        return self._embed(self.bundle.identity_encoder.params, crops)

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
    ) -> np.ndarray:
        """Gives the targets the source's identity.

        Args:
          targets: RGB uint8 (n, size, size, 3).
          boundary_maps: RGB uint8 (n, size, size, 3).
          identity: leading axis n, or 1 for all.

        Returns:
          RGB uint8 (n, size, size, 3), the generator's picture as it is.
        """
        swapped = self._generate(self.bundle.generator_params, targets, boundary_maps, identity)
        return np.asarray(swapped)

    def _embed_pictures(self, params, crops: jax.Array) -> IdentityEmbedding:
        faces = arcface_window(normalise_image(crops), self.bundle.crop_spec.arcface_window)
        return self.bundle.identity_encoder.embed(params, faces)

    def _generate_pictures(
        self, params, targets: jax.Array, boundary_maps: jax.Array, identity: IdentityEmbedding
    ) -> jax.Array:
        count = targets.shape[0]
        identity = jax.tree.map(
            lambda value: jax.numpy.broadcast_to(value, (count, *value.shape[1:])), identity
        )
        swapped = generate(
            self.bundle.generator,
            params,
            normalise_image(targets),
            normalise_boundary_map(boundary_maps),
            identity,
        )
        return to_uint8(swapped)
