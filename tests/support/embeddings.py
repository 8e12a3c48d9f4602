"""Identities that a crop's colour tells."""

import numpy as np

from apgan_jax.models.identity import IdentityEmbedding

VECTORS = np.eye(8, dtype=np.float32)


def crop_of(number: int) -> np.ndarray:
    """A crop whose identity is `VECTORS[number % 8]`."""
    return np.full((4, 4, 3), number, np.uint8)


def embed_by_colour(crops: np.ndarray) -> IdentityEmbedding:
    """Of crops of `crop_of`; a feature holds the number too."""
    numbers = crops[:, 0, 0, 0] % 8
    return IdentityEmbedding(VECTORS[numbers], {'7': np.float32(numbers)[:, None].repeat(2, 1)})
