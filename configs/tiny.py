"""A model that trains a step in milliseconds: for the demo, for tests, for a first try.

python -m apgan_jax.main --config=configs/tiny.py --config.data_dir=DIR
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Tiny: 64 px, 8 to 32 channels."""
    config = default.get_config()
    config.size = 64
    config.batch_size = 8
    config.num_steps = 1_000
    config.generator.widths = (8, 16, 32, 32, 32)
    config.generator.id_resolutions = (4, 8, 16, 32)
    config.generator.pe_resolutions = (32, 64)
    config.generator.skip_resolutions = (4, 8, 16, 32, 64)
    config.generator.pe_hidden = 8
    config.generator.id_features = 32
    config.discriminator.width = 8
    config.discriminator.num_scales = 2
    config.log_every = 10
    config.checkpoint_every = 100
    return config
