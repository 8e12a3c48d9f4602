"""The exported model: generator, identity encoder, crop and model card in one safetensors file.

The generator's kernels are the moving average with spectral normalisation folded in: a plain
network without state. Only training needs the discriminator, so it is a file of its own.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from apgan_jax.assets import asset
from apgan_jax.errors import UserError, first_line
from apgan_jax.face.alignment import CropSpec
from apgan_jax.files import safetensors_file
from apgan_jax.files.documents import (
    Rule,
    check_fields,
    choice,
    flag,
    list_of,
    mapping,
    parse_json_object,
    shortened,
    text,
    whole,
)
from apgan_jax.files.tensors import (
    Shape,
    finite_float32,
    flatten,
    require_shapes,
    shapes_of,
)
from apgan_jax.models import spectral_norm
from apgan_jax.models.generator import Generator
from apgan_jax.models.identity import (
    ENCODER_RULES,
    IdentityEncoder,
    embedding_shapes,
    identity_encoder_from_tensors,
)

FORMAT_VERSION = 1
SHIPPED_BUNDLE = asset('lite128.safetensors')
_GENERATOR, _ENCODER = 'generator/', 'identity_encoder/'
_DISCRIMINATOR, _SPECTRAL = 'discriminator/', 'spectral/'
_REMEDY = 'export it again'

_STAGES = list_of(whole(1, 4096), 0, 16)
# A bundle from before a field that has a default does not have it.
_GENERATOR_RULES = {
    'size': whole(8, 2048),
    'widths': list_of(whole(1, 8192), 1, 12),
    'id_resolutions': _STAGES,
    'pe_resolutions': _STAGES,
    'skip_resolutions': _STAGES,
    'pe_hidden': whole(1, 8192),
    'id_features': whole(0, 8192).or_missing(),
    'use_layer_norm': flag().or_missing(),
    'mask': flag().or_missing(),
    'shuffle': choice(1, 2, 4, 8).or_missing(),
    'refine_channels': whole(0, 8192).or_missing(),
}
_CARD_RULES = {'name': text().or_missing()}
_RULES: dict[str, Rule] = {
    'format_version': choice(FORMAT_VERSION),
    'generator': mapping(),
    'identity_encoder': mapping(),
    'crop_spec': mapping(),
    'model_card': mapping(),
}


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


def save_bundle(path: Path, bundle: Bundle, *, float16: bool = False) -> None:
    """Writes a bundle.

    Args:
      path: of the file.
      bundle: what to write.
      float16: whether the generator is stored in 16 bits a number; it computes in 32 as before. The
        encoder keeps its bits, so that identities which were saved with it stay the same.

    Raises:
      UserError: a number is too large for 16 bits.
    """
    tensors = _stored(_flatten(_GENERATOR, bundle.generator_params), float16, path)
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
    if (found := document.get('format_version')) != FORMAT_VERSION:
        raise UserError(
            f'{path}: bundle format {shortened(found)}, this version reads '
            f'{FORMAT_VERSION}; export it again with this version'
        )
    _check_document(document, str(path))
    encoder = document['identity_encoder']
    bundle = Bundle(
        generator=_generator(document['generator']),
        generator_params=unflatten_dict(
            finite_float32(_select(_GENERATOR, tensors), where=str(path), remedy=_REMEDY), sep='/'
        ),
        identity_encoder=identity_encoder_from_tensors(
            encoder['kind'], encoder['sha256'], _select(_ENCODER, tensors), str(path)
        ),
        crop_spec=CropSpec.from_dict(document['crop_spec'], where=f'{path}: crop_spec'),
        model_card=document['model_card'],
        sha256=safetensors_file.sha256_of(path),
    )
    _check_crop(bundle, path)
    _check_generator(bundle, path)
    return bundle


def read_model_card(path: Path) -> dict[str, Any]:
    """Reads what an exported bundle is to say of itself: a JSON file.

    Raises:
      UserError: it is missing, or no JSON object.
    """
    remedy = 'give a JSON file with the fields of a model card'
    try:
        card = parse_json_object(path.read_bytes(), where=str(path), remedy=remedy)
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror}); {remedy}') from error
    check_fields(card, _CARD_RULES, where=str(path), remedy=remedy, only_known=False)
    return card


def discriminator_file_of(path: Path) -> Path:
    """Where a bundle's discriminator is looked for: NAME.discriminator.safetensors beside it."""
    return Path(path).with_suffix('.discriminator.safetensors')


def save_discriminator(
    path: Path, params: Any, spectral: spectral_norm.State, *, float16: bool = False
) -> None:
    """Writes what a warm start needs of a discriminator.

    Args:
      path: of the file.
      params: raw, not spectrally normalised.
      spectral: their singular vectors, by the kernel's name.
      float16: see `save_bundle`.

    Raises:
      UserError: see `save_bundle`.
    """
    tensors = _flatten(_DISCRIMINATOR, params)
    tensors |= {_SPECTRAL + name: np.asarray(vector) for name, vector in spectral.items()}
    document = {'format_version': FORMAT_VERSION}
    safetensors_file.write(path, _stored(tensors, float16, path), document)


def load_discriminator(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Reads what `save_discriminator` wrote.

    Returns:
      (raw parameters by name, singular vectors by the kernel's name).

    Raises:
      UserError: missing, or no discriminator.
    """
    tensors, _ = safetensors_file.read(path, 'discriminator')
    remedy = 'give what --mode=export --with_discriminator wrote'
    tensors = finite_float32(tensors, where=str(path), remedy=remedy)
    params = _select(_DISCRIMINATOR, tensors)
    if not params:
        raise UserError(f'{path}: holds no discriminator; {remedy}')
    return params, _select(_SPECTRAL, tensors)


def _generator_fields(generator: Generator) -> dict[str, Any]:
    return {name: getattr(generator, name) for name in _field_names()}


def _field_names() -> list[str]:
    # Where it computes in bfloat16 is the trainer's choice, not the model's.
    hidden = {'parent', 'name', 'dtype'}
    return [field.name for field in dataclasses.fields(Generator) if field.name not in hidden]


def _check_document(document: dict[str, Any], where: str) -> None:
    """Holds each part to its rules, but for the crop, which has its own."""
    parts = {
        '': (document, _RULES),
        ': generator': (document.get('generator'), _GENERATOR_RULES),
        ': identity_encoder': (document.get('identity_encoder'), ENCODER_RULES),
    }
    for name, (fields, rules) in parts.items():
        check_fields(fields, rules, where=f'{where}{name}', remedy=_REMEDY)
    card, where = document['model_card'], f'{where}: model_card'
    check_fields(card, _CARD_RULES, where=where, remedy=_REMEDY, only_known=False)


def _generator(fields: dict[str, Any]) -> Generator:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Generator(**values)


def _check_crop(bundle: Bundle, path: Path) -> None:
    """Refuses crops that this version cannot cut, or that are not of the generator's size."""
    drawn = CropSpec(size=bundle.generator.size)
    same = dataclasses.replace(
        bundle.crop_spec,
        interpolation=drawn.interpolation,
        boundary_style=drawn.boundary_style,
        version=drawn.version,
        size=drawn.size,
    )
    bundle.crop_spec.require_equal(same, here=str(path), there='its generator and this version')


def _check_generator(bundle: Bundle, path: Path) -> None:
    try:
        wanted = _wanted_shapes(bundle.generator, bundle.identity_encoder.kind)
    # Fields that are fine one by one and make no network together: whatever Flax or JAX says.
    except Exception as error:
        raise UserError(
            f'{path}: its generator cannot be built ({first_line(error)}); {_REMEDY}'
        ) from error
    require_shapes(
        flatten(bundle.generator_params),
        wanted,
        where=str(path),
        what='its own generator',
        remedy=_REMEDY,
    )


@functools.lru_cache(maxsize=8)
def _wanted_shapes(generator: Generator, encoder_kind: str) -> dict[str, Shape]:
    """Of the generator's parameters, by name."""
    picture = jax.ShapeDtypeStruct((1, generator.size, generator.size, 3), np.float32)
    identity = embedding_shapes(encoder_kind)
    init = jax.eval_shape(generator.init, jax.random.key(0), picture, picture, identity)
    return shapes_of(init['params'])


def _stored(tensors: dict[str, np.ndarray], float16: bool, path: Path) -> dict[str, np.ndarray]:
    if not float16:
        return tensors
    with np.errstate(over='ignore'):
        halved = {name: value.astype(np.float16) for name, value in tensors.items()}
    for name, value in halved.items():
        if not np.isfinite(value).all():
            largest = float(np.abs(tensors[name]).max())
            raise UserError(
                f'{path}: {name} has {largest:g}, which 16 bits do not hold; leave out --float16'
            )
    return halved


def _flatten(prefix: str, params: Any) -> dict[str, np.ndarray]:
    return {prefix + name: np.asarray(value) for name, value in flatten(params).items()}


def _select(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
