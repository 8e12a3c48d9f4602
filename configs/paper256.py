"""The paper's model at 256 px (section IV-A): 39 M parameters, 30 GMAC a face.

The paper leaves widths, batch size and steps open; losses, learning rates and the places of the
blocks are its own, except Adam's beta2 (see default.py). Made for accelerators; not trained here.

    python -m apgan_jax.main --config=configs/paper256.py --config.data_dir=DIR --workdir=DIR

For one accelerator; gpu.py and tpu_v4.py are for more of them.
Steps: 100,000 of 16 pairs. Memory: 0.73 GB of state and up to 6.6 GB of activations (float32).
Time: hours = pairs × FLOP a pair / (peak × utilisation) / 3600
    = 1.6e6 × 275.6e9 / (156e12 × 0.15) / 3600 = 5.2 on an A100, whose float32 is TF32.
275.6 GFLOP is what `apgan info --config=configs/paper256.py` counts in the train step. The
utilisation of 15 % is assumed, not measured.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """paper256."""
    config = default.get_config()
    config.size = 256
    config.generator.widths = (32, 64, 128, 256, 512, 512, 512)
    config.generator.id_resolutions = (4, 8, 16, 32, 64, 128)
    config.generator.pe_resolutions = (128, 256)
    config.generator.skip_resolutions = (4, 8, 16, 32, 64, 128, 256)
    config.generator.pe_hidden = 128
    # As in pix2pixHD, whose multi-scale discriminators the paper takes.
    config.discriminator.width = 64
    return config
