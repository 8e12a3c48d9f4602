"""The 64-px model that ships with the package.

Trained on two CPU cores in about an hour; docs/training-notes.md has the run.

    python -m apgan_jax.main --config=configs/lite64.py --config.data_dir=DIR --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """lite64."""
    config = default.get_config()
    config.size = 64
    config.generator.widths = (16, 32, 64, 128, 256)
    config.generator.id_resolutions = (4, 8, 16, 32)
    config.generator.pe_resolutions = (32, 64)
    config.generator.skip_resolutions = (4, 8, 16, 32, 64)
    config.num_steps = 3_500
    config.loss.reconstruction_weight = 20.0
    config.loss.occlusion_weight = 10.0
    config.loss.style_weight = 30.0
    config.optimizer.generator_learning_rate = 3e-4
    config.optimizer.discriminator_learning_rate = 2e-4
    config.optimizer.decay_steps = 900
    config.checkpoint_every = 100
    return config
