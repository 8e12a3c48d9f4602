"""The 128-px model for a machine without an accelerator: 7.2 M parameters, 1.26 GMAC a face.

Trained as lite64 is (docs/training-notes.md has the reasons), for longer; no bundle of it exists.
`apgan info --config=configs/lite128.py` prints its size, stage by stage.

    python -m apgan_jax.main --config=configs/lite128.py --config.data_dir=DIR --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """lite128."""
    config = default.get_config()
    config.size = 128
    config.num_steps = 20_000
    config.generator.widths = (16, 32, 64, 128, 256, 256)
    config.generator.id_resolutions = (4, 8, 16, 32, 64)
    config.generator.pe_resolutions = (64, 128)
    config.generator.skip_resolutions = (4, 8, 16, 32, 64, 128)
    config.generator.pe_hidden = 16
    config.loss.identity_weight = 20.0
    config.optimizer.generator_learning_rate = 3e-4
    config.optimizer.discriminator_learning_rate = 2e-4
    config.optimizer.decay_steps = 5_000
    return config
