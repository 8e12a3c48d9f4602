"""From a config's fields to the objects that train, evaluate and are exported.

A config ends here: beside this module only the loop reads one. All that they call takes plain
fields, and what a checkpoint keeps of its config, a dict, becomes one here again.
"""

import dataclasses
import math
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from apgan_jax.data.augmentation import SourceJitter
from apgan_jax.data.pipeline import PairOptions, open_dataset
from apgan_jax.data.records import RecordDataset
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import HEAD_V1, CropSpec
from apgan_jax.models import native
from apgan_jax.models.discriminator import MultiScaleDiscriminator
from apgan_jax.models.generator import Generator
from apgan_jax.models.identity import IdentityEncoder, load_identity_encoder
from apgan_jax.models.landmark_reader import SHIPPED, LandmarkReader
from apgan_jax.training import optimizers
from apgan_jax.training.losses import ADVERSARIAL_KINDS, LossWeights
from apgan_jax.training.train_step import TrainingModel
from apgan_jax.training.validation import EvaluationPairs, load_pairs

_DTYPES = ('float32', 'bfloat16')
# The least and the most that a field may be, of a tuple each number. Mesh, shares and jitter have
# rules of their own, where they are used.
_ANY = float('inf')
_LIMITS = {
    'seed': (0, _ANY),
    'size': (1, _ANY),
    'batch_size': (1, _ANY),
    'num_steps': (1, _ANY),
    'log_every': (1, _ANY),
    'checkpoint_every': (1, _ANY),
    'keep_checkpoints': (1, _ANY),
    'generator.widths': (1, _ANY),
    'generator.pe_hidden': (1, _ANY),
    'generator.id_features': (0, _ANY),
    'generator.shuffle': (1, _ANY),
    'generator.refine_channels': (0, _ANY),
    'discriminator.width': (1, _ANY),
    'discriminator.depth': (1, _ANY),
    'discriminator.num_scales': (1, _ANY),
    'discriminator.projected_width': (0, _ANY),
    'evaluation.every': (0, _ANY),
    'evaluation.num_pairs': (1, _ANY),
    'evaluation.num_pictures': (1, _ANY),
    'data.num_threads': (1, _ANY),
    'data.cached_sources': (0, _ANY),
    'data.prefetch': (1, _ANY),
    'data.max_corrupt_share': (0, 1),
    'optimizer.generator_learning_rate': (0, _ANY),
    'optimizer.discriminator_learning_rate': (0, _ANY),
    'optimizer.beta1': (0, 1),
    'optimizer.beta2': (0, 1),
    'optimizer.warmup_steps': (0, _ANY),
    'optimizer.decay_steps': (0, _ANY),
    'optimizer.ema_decay': (0, 1),
    'loss.identity_margin': (-1, 1),
    'loss.identity_view': (0, 55),
    'loss.feature_weight': (0, _ANY),
    'loss.eyes_and_lips_weight': (0, _ANY),
    'watch.peak_tflops': (0, _ANY),
    'profile.first_step': (0, _ANY),
    'profile.num_steps': (1, _ANY),
}


def check_numbers(config: ConfigDict) -> None:
    """Looks at the numbers that would fail, or hang, only later.

    Raises:
      UserError: one is out of its limits.
    """
    for name, (least, most) in _LIMITS.items():
        value = operator.attrgetter(name)(config)
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or not all(least <= number <= most for number in numbers):
            rule = f'at least {least}' if most == _ANY else f'from {least} to {most}'
            raise UserError(
                f'config.{name}={value}: must be {rule}; configs/default.py explains it'
            )
    for name, course in config.course.items():
        _check_course(name, course)
    for name, value in config.loss.items():
        if isinstance(value, int | float) and not math.isfinite(value):
            raise UserError(f'config.loss.{name}={value}: must be a finite number')
    scales, most_scales = config.discriminator.num_scales, config.size.bit_length()
    if scales > most_scales:
        raise UserError(
            f'config.discriminator.num_scales={scales}: must be {most_scales} or less for pictures '
            f'of config.size={config.size}, which each scale halves'
        )


def _check_course(name: str, course: Any) -> None:
    is_one = all(
        isinstance(point, tuple) and len(point) == 2 and all(map(math.isfinite, point))
        for point in course
    )
    if not is_one or [step for step, _ in course] != sorted({step for step, _ in course}):
        raise UserError(
            f'config.course.{name}={course}: must be ((step, value), …) with rising steps, such as '
            '((0, 60.0), (20000, 5.0)); () leaves it constant'
        )


def resolution_warnings(config: ConfigDict) -> list[str]:
    """What is said of stages that the generator does not have and blocks are asked for at."""
    generator = config.generator
    first = config.size // generator.shuffle
    stages = [first >> halvings for halvings in range(len(generator.widths))]
    lines = []
    for name in ('id_resolutions', 'pe_resolutions', 'skip_resolutions'):
        absent = [size for size in generator[name] if size not in stages]
        if absent:
            lines.append(
                f'config.generator.{name}: {", ".join(map(str, absent))} px is no stage of this '
                f'generator, which has {", ".join(map(str, stages))} px; nothing is made there'
            )
    return lines


def product_warnings(config: ConfigDict) -> list[str]:
    """What is said where convolutions cannot multiply as `config.cpu_products` asks for."""
    wanted = config.cpu_products == 'bfloat16' and jax.default_backend() == 'cpu'
    if not wanted or (config.dtype == 'float32' and native.multiplies_bfloat16()):
        return []
    return [
        "config.cpu_products='bfloat16' changes nothing here: it needs one CPU device with "
        "AVX512_BF16, a C++ compiler and config.dtype='float32'"
    ]


def build_model(config: ConfigDict) -> TrainingModel:
    """The networks, losses and optimizers of a config.

    Raises:
      UserError: fields that do not fit together.
    """
    loss = config.loss
    if loss.adversarial_kind not in ADVERSARIAL_KINDS:
        raise UserError(
            f'config.loss.adversarial_kind={loss.adversarial_kind!r}: must be one of '
            f'{", ".join(ADVERSARIAL_KINDS)}'
        )
    if config.cpu_products not in _DTYPES:
        raise UserError(
            f'config.cpu_products={config.cpu_products!r}: must be one of {", ".join(_DTYPES)}'
        )
    optimizer = config.optimizer
    return TrainingModel(
        generator=build_generator(config),
        discriminator=MultiScaleDiscriminator(
            **config.discriminator.to_dict(), dtype=_dtype(config)
        ),
        identity_encoder=_identity_encoder(config),
        generator_tx=_adam(config, 'generator'),
        discriminator_tx=_adam(config, 'discriminator'),
        weights=LossWeights(
            adversarial=loss.adversarial_weight,
            identity=loss.identity_weight,
            reconstruction=loss.reconstruction_weight,
            occlusion=loss.occlusion_weight,
            style=loss.style_weight,
            different_reconstruction=loss.different_reconstruction_weight,
            landmarks=loss.landmark_weight,
            truth=loss.truth_weight,
            mask_error=loss.mask_weight,
            mask_cost=loss.mask_cost_weight,
            shift=loss.shift_weight,
        ),
        adversarial_kind=loss.adversarial_kind,
        ema_decay=optimizer.ema_decay,
        accumulation_steps=config.accumulation_steps,
        landmark_reader=_landmark_reader(config),
        courses=_courses(config),
        identity_margin=loss.identity_margin,
        identity_view=tuple(loss.identity_view),
        feature_weight=loss.feature_weight,
        eyes_and_lips_weight=loss.eyes_and_lips_weight,
        most_shift=_most_shift(config),
        arcface_window=crop_spec(config).arcface_window,
        bfloat16_products=config.cpu_products == 'bfloat16',
    )


def _courses(config: ConfigDict) -> dict[str, Any]:
    """Of the loss weights, by their names in `LossWeights`."""
    names = {'landmark_weight': 'landmarks', 'mask_weight': 'mask_error'}
    return {
        names.get(name, name.removesuffix('_weight')): course
        for name, course in config.course.items()
        if course and name.endswith('_weight')
    }


def _most_shift(config: ConfigDict) -> int:
    """How far another frame of a photo is moved, pixels; 0: there is none."""
    return config.size // 16 if config.loss.shift_weight else 0


def _identity_encoder(config: ConfigDict) -> IdentityEncoder:
    # Runs from before the second field used the shipped encoder.
    path = config.get('identity_encoder_path') or None
    return load_identity_encoder(config.identity_encoder, path)


def _landmark_reader(config: ConfigDict) -> LandmarkReader | None:
    loss = config.loss
    if not loss.landmark_weight:
        return None
    return LandmarkReader.load(Path(loss.landmark_reader_path or SHIPPED))


def build_generator(config: ConfigDict) -> Generator:
    """The generator of a config.

    Raises:
      UserError: `size` cannot be divided as often as `widths` and `shuffle` ask.
    """
    halvings = len(config.generator.widths) - 1
    # Runs from before the field had no shuffling.
    divisor = 2**halvings * config.generator.get('shuffle', 1)
    if config.size % divisor:
        raise UserError(
            f'config.size={config.size}: must be divisible by {divisor} for the '
            f'{halvings + 1} stages of config.generator.widths; change one of them'
        )
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, (list, tuple)) else value
        for name, value in config.generator.to_dict().items()
    }
    return Generator(size=config.size, **fields, dtype=_dtype(config))


def crop_spec(config: ConfigDict) -> CropSpec:
    """How this config wants faces cropped.

    Raises:
      UserError: there is no crop of that name.
    """
    # Runs from before the field had that crop.
    return CropSpec.named(config.get('crop', HEAD_V1), config.size)


def pair_options(config: ConfigDict) -> PairOptions:
    """How this config pairs sources and targets."""
    data = config.data
    return PairOptions(
        same_image_share=data.same_image_share,
        same_identity_share=data.same_identity_share,
        mirror=data.mirror,
        source_jitter=SourceJitter(**data.source_jitter.to_dict()),
        reverse_share=data.reverse_share,
        turned_share=data.turned_share,
        occluder_share=data.occluder_share,
        truths=_wants_truths(config),
        most_shift=_most_shift(config),
    )


def _wants_truths(config: ConfigDict) -> bool:
    """Whether something in the config needs to know what the swapped picture should be."""
    loss, data = config.loss, config.data
    terms = (loss.truth_weight, config.course.truth_weight, config.generator.mask)
    return any((*terms, data.reverse_share, data.occluder_share))


class TrainingData(NamedTuple):
    """What training reads.

    Attributes:
      photos: the data set.
      reverse: of swapped photos and their truth; None where no share of the pairs is its.
    """

    photos: RecordDataset
    reverse: RecordDataset | None


def open_training_data(config: ConfigDict) -> TrainingData:
    """The data sets of a config.

    Raises:
      UserError: none given, none there, one of the other kind, or with other crops than the
        config's.
    """
    data = config.data
    if not config.data_dir:
        raise UserError(
            'config.data_dir is empty: pass --config.data_dir=DIR, a folder made by `python -m '
            'data_prep.build`'
        )
    if data.reverse_share and not data.reverse_dir:
        raise UserError(
            f'config.data.reverse_share={data.reverse_share} without config.data.reverse_dir: pass '
            'a folder made by `python -m data_prep.reverse`'
        )
    return TrainingData(
        _open_cropped_alike(config, config.data_dir),
        _open_cropped_alike(config, data.reverse_dir, swapped=True) if data.reverse_share else None,
    )


def _open_cropped_alike(config: ConfigDict, folder: str, *, swapped: bool = False) -> RecordDataset:
    """The data set of a folder, of swapped photos or of photos."""
    dataset = open_dataset(Path(folder))
    if dataset.is_synthetic != swapped:
        found, wanted = ('photos', 'reverse') if swapped else ('swapped photos', 'build')
        raise UserError(f'{folder} holds {found}: pass one made by `python -m data_prep.{wanted}`')
    crop_spec(config).require_equal(
        dataset.crop_spec, here='the config', there=f'the data set {folder}'
    )
    return dataset


def evaluation_pairs(config: ConfigDict, training: RecordDataset) -> EvaluationPairs:
    """The fixed pairs that this config evaluates on.

    Args:
      config: see configs/default.py.
      training: the data set that training reads.

    Raises:
      UserError: as `load_pairs`.
    """
    return load_pairs(
        training,
        folder=config.evaluation.data_dir,
        count=config.evaluation.num_pairs,
        crop_spec=crop_spec(config),
    )


def pairs_of_run(fields: Mapping[str, Any]) -> EvaluationPairs:
    """The fixed pairs of a run, from the config that its checkpoint holds.

    Args:
      fields: of `checkpointing.restore_for_export`.

    Raises:
      UserError: the run's data set is missing, or as `load_pairs`.
    """
    config = ConfigDict(fields)
    return evaluation_pairs(config, open_dataset(Path(config.data_dir)))


@dataclasses.dataclass(frozen=True)
class ExportedParts:
    """What a bundle tells of the config that its model was trained with.

    Attributes:
      generator: module, in float32 whatever it was trained in.
      identity_encoder: frozen.
      batch_size: pairs a step.
    """

    generator: Generator
    identity_encoder: IdentityEncoder
    batch_size: int


def exported_parts(fields: Mapping[str, Any]) -> ExportedParts:
    """What to export, from the config that a checkpoint holds.

    Args:
      fields: of `checkpointing.restore_for_export`.

    Raises:
      UserError: fields that do not fit together, or an identity encoder that is missing.
    """
    config = ConfigDict(fields)
    config.dtype = 'float32'
    return ExportedParts(build_generator(config), _identity_encoder(config), config.batch_size)


def _adam(config: ConfigDict, network: str):
    optimizer = config.optimizer
    name = f'{network}_learning_rate'
    schedule = optimizers.learning_rate_schedule(
        optimizer[name],
        course=config.course[name],
        num_steps=config.num_steps,
        warmup_steps=optimizer.warmup_steps,
        decay_steps=optimizer.decay_steps,
    )
    return optimizers.adam(schedule, beta1=optimizer.beta1, beta2=optimizer.beta2)


def _dtype(config: ConfigDict):
    if config.dtype not in _DTYPES:
        raise UserError(f'config.dtype={config.dtype!r}: must be one of {", ".join(_DTYPES)}')
    return None if config.dtype == 'float32' else jnp.dtype(config.dtype)
