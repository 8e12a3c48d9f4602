"""From a checkpoint to a bundle."""

import json
from pathlib import Path

from ml_collections import ConfigDict

from apgan_jax import checkpointing, experiment
from apgan_jax.bundle import Bundle, discriminator_file_of, save_bundle, save_discriminator
from apgan_jax.errors import UserError
from apgan_jax.models import spectral_norm
from apgan_jax.models.identity import load_identity_encoder


def export(
    workdir: Path,
    output: Path,
    *,
    model_card: Path | None = None,
    with_discriminator: bool = False,
) -> Bundle:
    """Writes the latest checkpoint's generator as a bundle.

    Args:
      workdir: of the run.
      output: the file to write.
      model_card: JSON whose fields are added to the card.
      with_discriminator: whether to write it too, beside the bundle, for a warm start.

    Returns:
      The bundle.

    Raises:
      UserError: no checkpoint, or an output that exists.
    """
    beside = discriminator_file_of(output)
    for path in (Path(output), *([beside] if with_discriminator else [])):
        if path.exists():
            raise UserError(
                f'--output={output}: {path} exists already; remove it or choose another'
            )
    state, crop_spec, fields, step = checkpointing.restore_for_export(workdir)
    config = ConfigDict(fields)
    config.dtype = 'float32'
    card = {'name': Path(output).stem, 'steps': step, 'batch_size': config.batch_size}
    if model_card:
        card |= json.loads(Path(model_card).read_text())
    bundle = Bundle(
        generator=experiment.build_generator(config),
        generator_params=spectral_norm.fold(state['generator_ema_params']),
        identity_encoder=load_identity_encoder(
            # Runs from before the field used the shipped encoder.
            config.identity_encoder,
            config.get('identity_encoder_path') or None,
        ),
        crop_spec=crop_spec,
        model_card=card,
    )
    save_bundle(output, bundle)
    if with_discriminator:
        spectral = state['discriminator_spectral']
        save_discriminator(beside, state['discriminator_params'], spectral)
    return bundle
