"""From a checkpoint to a bundle."""

from pathlib import Path
from typing import Any

from apgan_jax.bundle import (
    Bundle,
    discriminator_file_of,
    read_model_card,
    save_bundle,
    save_discriminator,
)
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.models import spectral_norm
from apgan_jax.training import checkpointing, experiment


def export(
    workdir: Path,
    output: Path,
    *,
    model_card: Path | None = None,
    with_discriminator: bool = False,
    float16: bool = False,
) -> Bundle:
    """Writes the latest checkpoint's generator as a bundle.

    Args:
      workdir: of the run.
      output: the file to write.
      model_card: JSON whose fields are added to the card.
      with_discriminator: whether to write it too, beside the bundle, for a warm start.
      float16: in half the size, see `save_bundle`.

    Returns:
      The bundle.

    Raises:
      UserError: no checkpoint, an output that exists, or a number that 16 bits do not hold.
    """
    beside = discriminator_file_of(output)
    for path in (Path(output), *([beside] if with_discriminator else [])):
        if path.exists():
            raise UserError(
                f'--output={output}: {path} exists already; remove it or choose another'
            )
    checkpoint = checkpointing.restore_for_export(workdir)
    card = read_model_card(Path(model_card)) if model_card else {}
    bundle = _bundle(checkpoint, {'name': Path(output).stem} | card)
    save_bundle(output, bundle, float16=float16)
    if with_discriminator:
        state = checkpoint[0]
        params, spectral = state['discriminator_params'], state['discriminator_spectral']
        save_discriminator(beside, params, spectral, float16=float16)
    return bundle


def export_lines(workdir: Path, output: Path, bundle: Bundle) -> list[str]:
    """What `export` wrote, file by file.

    Args:
      workdir: of the run.
      output: the bundle's file.
      bundle: what `export` returned.
    """
    beside = discriminator_file_of(output)
    step = bundle.model_card['steps']
    lines = [f'{output}: {_megabytes(output)}, the generator of {workdir} at step {step}']
    if beside.exists():
        return [*lines, f'{beside}: {_megabytes(beside)}, its discriminator']
    return [*lines, 'without the discriminator; a warm start likes it: --with_discriminator']


def _megabytes(path: Path) -> str:
    return f'{path.stat().st_size / 1e6:.1f} MB'


def bundle_of_run(workdir: Path) -> tuple[Bundle, dict[str, Any]]:
    """The latest checkpoint's generator as a bundle that is in memory only.

    Args:
      workdir: of the run.

    Returns:
      (the bundle, the fields of the run's config, for `experiment`).

    Raises:
      UserError: no checkpoint.
    """
    checkpoint = checkpointing.restore_for_export(workdir)
    return _bundle(checkpoint, {'name': Path(workdir).name}), checkpoint[2]


def _bundle(checkpoint: tuple[Any, CropSpec, dict[str, Any], int], card: dict[str, Any]) -> Bundle:
    state, crop_spec, fields, step = checkpoint
    run = experiment.exported_parts(fields)
    return Bundle(
        generator=run.generator,
        generator_params=spectral_norm.fold(state['generator_ema_params']),
        identity_encoder=run.identity_encoder,
        crop_spec=crop_spec,
        model_card={'steps': step, 'batch_size': run.batch_size} | card,
    )
