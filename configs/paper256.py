"""The paper's model at 256 px (section IV-A): 39 M parameters, 30 GMAC a face.

The paper leaves widths, batch size and steps open; losses, learning rates and the places of the
blocks are its own, except Adam's beta2 (see default.py). Made for accelerators; not trained here.

    python -m apgan_jax.main --config=configs/paper256.py --config.data_dir=DIR --workdir=DIR
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
