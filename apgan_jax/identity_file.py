"""Saved identities: the numbers of a source, without any photo."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from apgan_jax.assets import asset
from apgan_jax.errors import UserError
from apgan_jax.files import safetensors_file
from apgan_jax.files.documents import Rule, check_fields, mapping
from apgan_jax.files.tensors import finite_float32, require_shapes
from apgan_jax.models.identity import (
    ENCODER_RULES,
    IdentityEmbedding,
    IdentityEncoder,
    embedding_shapes,
)

SHIPPED_IDENTITY = asset('identity_demo.safetensors')
_REMEDY = 'give a file that `apgan identity save` wrote'
# Of the vector, which has the length 1, give or take: others are nobody's.
_LENGTHS = (1e-3, 1e3)
_RULES = {
    'identity_encoder': mapping(),
    'description': Rule(lambda value: isinstance(value, str), 'a text').or_missing(),
}
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
      UserError: no identity file, one made with another encoder, or one that is nobody's numbers.
    """
    tensors, document = safetensors_file.read(path, 'identity')
    if _VECTOR not in tensors:
        raise UserError(f'{path}: holds no {_VECTOR}; {_REMEDY}')
    check_fields(document, _RULES, where=str(path), remedy=_REMEDY)
    made_with = document['identity_encoder']
    where = f'{path}: identity_encoder'
    check_fields(made_with, ENCODER_RULES, where=where, remedy=_REMEDY)
    if made_with != {'kind': encoder.kind, 'sha256': encoder.sha256}:
        raise UserError(
            f'{path}: was made with the identity encoder {made_with["kind"]} '
            f'{made_with["sha256"][:12]}…, the bundle has {encoder.kind} {encoder.sha256[:12]}…; '
            'save the identity again with this bundle'
        )
    tensors = _checked(tensors, encoder, str(path))
    return IdentityEmbedding(
        vector=jnp.asarray(tensors[_VECTOR])[None],
        features={
            name.removeprefix(_FEATURES): jnp.asarray(value)[None]
            for name, value in tensors.items()
            if name.startswith(_FEATURES)
        },
    )


def _checked(
    tensors: dict[str, np.ndarray], encoder: IdentityEncoder, where: str
) -> dict[str, np.ndarray]:
    """Tensors of a file, if they are what the encoder makes of a face."""
    shapes = embedding_shapes(encoder.kind)
    wanted = {_VECTOR: shapes.vector.shape[1:]}
    wanted |= {_FEATURES + stage: value.shape[1:] for stage, value in shapes.features.items()}
    tensors = {name: value for name, value in tensors.items() if name != _SFACE}
    what = f'what the identity encoder {encoder.kind} makes'
    require_shapes(tensors, wanted, where=where, what=what, remedy=_REMEDY)
    tensors = finite_float32(tensors, where=where, remedy=_REMEDY)
    length = float(np.linalg.norm(tensors[_VECTOR].astype(np.float64)))
    if not _LENGTHS[0] <= length <= _LENGTHS[1]:
        raise UserError(f'{where}: {_VECTOR} has the length {length:g}, not about 1; {_REMEDY}')
    return tensors
