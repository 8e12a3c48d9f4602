"""Saved identities: the numbers of a source, without any photo."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from apgan_jax.assets import asset
from apgan_jax.errors import UserError
from apgan_jax.files import safetensors_file
from apgan_jax.models.identity import IdentityEmbedding, IdentityEncoder

SHIPPED_IDENTITY = asset('identity_demo.safetensors')
_VECTOR, _FEATURES, _SFACE = 'identity_vector', 'identity_features/', 'sface_vector'


def save_identity(
    path: Path,
    identity: IdentityEmbedding,
    encoder: IdentityEncoder,
    *,
    sface_vector: np.ndarray | None = None,
    description: str = '',
) -> None:
    """Writes one identity.

    Args:
      path: of the file.
      identity: leading axis 1.
      encoder: that made it.
      sface_vector: the same person by SFace, a unit vector (128,): for the bank of `anonymise`.
      description: for people.
    """
    tensors = {_VECTOR: np.asarray(identity.vector[0])}
    tensors |= {
        _FEATURES + stage: np.asarray(value[0]) for stage, value in identity.features.items()
    }
    if sface_vector is not None:
        tensors[_SFACE] = np.asarray(sface_vector, np.float32)
    document = {
        'identity_encoder': {'kind': encoder.kind, 'sha256': encoder.sha256},
        'description': description,
    }
    safetensors_file.write(path, tensors, document)


def bank_files() -> list[Path]:
    """The shipped identities of nobody, for anonymising; see data_prep/make_bank.py."""
    return sorted(asset('identities').glob('*.safetensors'))


def load_identity(path: Path, encoder: IdentityEncoder) -> IdentityEmbedding:
    """Reads an identity, leading axis 1.

    Raises:
      UserError: no identity file, or one made with another encoder.
    """
    tensors, document = safetensors_file.read(path, 'identity')
    if _VECTOR not in tensors:
        raise UserError(f'{path}: holds no {_VECTOR}; give a file that `apgan identity save` wrote')
    made_with = document['identity_encoder']
    if made_with != {'kind': encoder.kind, 'sha256': encoder.sha256}:
        raise UserError(
            f'{path}: was made with the identity encoder {made_with["kind"]} '
            f'{made_with["sha256"][:12]}…, the bundle has {encoder.kind} {encoder.sha256[:12]}…; '
            'save the identity again with this bundle'
        )
    return IdentityEmbedding(
        vector=jnp.asarray(tensors[_VECTOR])[None],
        features={
            name.removeprefix(_FEATURES): jnp.asarray(value)[None]
            for name, value in tensors.items()
            if name.startswith(_FEATURES)
        },
    )
