"""Identities of nobody, as MobileFaceNet's are shaped."""

import numpy as np

from apgan_jax.models.identity import IdentityEmbedding

WIDTHS = {'56': 128, '28': 256, '14': 512, '7': 512}


def random_identity(seed: int = 0) -> IdentityEmbedding:
    """Normal numbers, leading axis 1; the vector has no unit length."""
    rng = np.random.default_rng(seed)
    return IdentityEmbedding(
        rng.normal(size=(1, 192)).astype(np.float32),
        {name: rng.normal(size=(1, width)).astype(np.float32) for name, width in WIDTHS.items()},
    )
