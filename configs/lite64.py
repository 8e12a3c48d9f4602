"""The 64-px model, as small as the shipped bundle's.

The bundle was trained for 3,850 steps of 16 pairs in 69 minutes on two shared CPU cores, in stages
that found this recipe; docs/training-notes.md has them and the numbers.

    python -m apgan_jax.main --config=configs/lite64.py --config.data_dir=DIR --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """lite64."""
    config = default.get_config()
    config.size = 64
    config.num_steps = 4_000
    config.generator.widths = (16, 32, 64, 128, 256)
    config.generator.id_resolutions = (4, 8, 16, 32)
    config.generator.pe_resolutions = (32, 64)
    config.generator.skip_resolutions = (4, 8, 16, 32, 64)
    # With the paper's 10, a short run keeps more of the target's identity.
    config.loss.identity_weight = 20.0
    config.optimizer.generator_learning_rate = 3e-4
    config.optimizer.discriminator_learning_rate = 2e-4
    config.optimizer.decay_steps = 1_000
    config.checkpoint_every = 100
    return config
