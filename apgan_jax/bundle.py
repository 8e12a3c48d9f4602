"""The exported model: generator, identity encoder, crop and model card in one safetensors file.

The generator's kernels are the moving average with spectral normalisation folded in: a plain
network without state. Only training needs the discriminator, so it is a file of its own.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from apgan_jax.assets import asset
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.files import safetensors_file
from apgan_jax.files.tensors import flatten, require_shapes, shapes_of
from apgan_jax.models import spectral_norm
from apgan_jax.models.generator import Generator
from apgan_jax.models.identity import IdentityEncoder, identity_encoder_from_tensors

FORMAT_VERSION = 1
SHIPPED_BUNDLE = asset('lite128.safetensors')
_GENERATOR, _ENCODER = 'generator/', 'identity_encoder/'
_DISCRIMINATOR, _SPECTRAL = 'discriminator/', 'spectral/'


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A model ready for use.

    Attributes:
      generator: the module; float32.
      generator_params: folded.
      identity_encoder: with its weights.
      crop_spec: how faces must be cropped for it.
      model_card: name, data, steps, measurements, licence, intended use.
      sha256: of the file it came from; '' before it is written.
    """

    generator: Generator
    generator_params: Any
    identity_encoder: IdentityEncoder
    crop_spec: CropSpec
    model_card: dict[str, Any]
    sha256: str = ''

    @property
    def name(self) -> str:
        """The model's name, for manifests and reports."""
        return str(self.model_card.get('name', 'unnamed'))


def save_bundle(path: Path, bundle: Bundle) -> None:
    """Writes a bundle."""
    tensors = _flatten(_GENERATOR, bundle.generator_params)
    tensors |= _flatten(_ENCODER, bundle.identity_encoder.params)
    document = {
        'format_version': FORMAT_VERSION,
        'generator': _generator_fields(bundle.generator),
        'identity_encoder': {
            'kind': bundle.identity_encoder.kind,
            'sha256': bundle.identity_encoder.sha256,
        },
        'crop_spec': bundle.crop_spec.to_dict(),
        'model_card': bundle.model_card,
    }
    safetensors_file.write(path, tensors, document)


def load_bundle(path: Path | None = None) -> Bundle:
    """Reads a bundle.

    Args:
      path: the file; the shipped one by default.

    Raises:
      UserError: missing, of another format, or incomplete.
    """
    path = Path(path or SHIPPED_BUNDLE)
    tensors, document = safetensors_file.read(path, 'bundle')
    if document.get('format_version') != FORMAT_VERSION:
        raise UserError(
            f'{path}: bundle format {document.get("format_version")}, this version reads '
            f'{FORMAT_VERSION}; export it again with this version'
        )
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in document['generator'].items()
    }
    known = _field_names()
    if set(fields) - set(known) or _required_names() - set(fields):
        raise UserError(
            f'{path}: its generator has the fields {sorted(fields)}, this version knows '
            f'{sorted(known)}; export it again with this version'
        )
    encoder = document['identity_encoder']
    bundle = Bundle(
        generator=Generator(**fields),
        generator_params=_unflatten(_GENERATOR, tensors),
        identity_encoder=identity_encoder_from_tensors(
            encoder['kind'], encoder['sha256'], _select(_ENCODER, tensors), str(path)
        ),
        crop_spec=CropSpec.from_dict(document['crop_spec']),
        model_card=document['model_card'],
        sha256=safetensors_file.sha256_of(path),
    )
    _check_generator(bundle, path)
    return bundle


def discriminator_file_of(path: Path) -> Path:
    """Where a bundle's discriminator is looked for: NAME.discriminator.safetensors beside it."""
    return Path(path).with_suffix('.discriminator.safetensors')


def save_discriminator(path: Path, params: Any, spectral: spectral_norm.State) -> None:
    """Writes what a warm start needs of a discriminator, float32.

    Args:
      path: of the file.
      params: raw, not spectrally normalised.
      spectral: their singular vectors, by the kernel's name.
    """
    tensors = _flatten(_DISCRIMINATOR, params)
    tensors |= {_SPECTRAL + name: np.asarray(vector) for name, vector in spectral.items()}
    safetensors_file.write(path, tensors, {'format_version': FORMAT_VERSION})


def load_discriminator(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Reads what `save_discriminator` wrote.

    Returns:
      (raw parameters by name, singular vectors by the kernel's name).

    Raises:
      UserError: missing, or no discriminator.
    """
    tensors, _ = safetensors_file.read(path, 'discriminator')
    params = _select(_DISCRIMINATOR, tensors)
    if not params:
        raise UserError(
            f'{path}: holds no discriminator; give what --mode=export --with_discriminator wrote'
        )
    return params, _select(_SPECTRAL, tensors)


def _generator_fields(generator: Generator) -> dict[str, Any]:
    return {name: getattr(generator, name) for name in _field_names()}


def _field_names() -> list[str]:
    # Where it computes in bfloat16 is the trainer's choice, not the model's.
    hidden = {'parent', 'name', 'dtype'}
    return [field.name for field in dataclasses.fields(Generator) if field.name not in hidden]


def _required_names() -> set[str]:
    """The fields without a default: a bundle from before another field has the default there."""
    fields = {field.name: field for field in dataclasses.fields(Generator)}
    return {name for name in _field_names() if fields[name].default is dataclasses.MISSING}


def _check_generator(bundle: Bundle, path: Path) -> None:
    size = bundle.generator.size
    picture = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    face = jax.ShapeDtypeStruct((1, 112, 112, 3), np.float32)
    encoder = bundle.identity_encoder
    identity = jax.eval_shape(encoder.embed, encoder.params, face)
    rng = jax.random.key(0)
    expected = jax.eval_shape(bundle.generator.init, rng, picture, picture, identity)['params']
    require_shapes(
        flatten(bundle.generator_params),
        shapes_of(expected),
        where=str(path),
        what='its own generator',
        remedy='export it again',
    )


def _flatten(prefix: str, params: Any) -> dict[str, np.ndarray]:
    return {prefix + name: np.asarray(value) for name, value in flatten(params).items()}


def _select(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _unflatten(prefix: str, tensors: dict[str, np.ndarray]) -> Any:
    return unflatten_dict(_select(prefix, tensors), sep='/')
