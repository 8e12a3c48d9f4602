"""lite128's trunk in pictures of 256 px: 7.2 M parameters, 1.59 GMAC a face.

Four pixels enter the first stage as one with 12 channels, and leave the last one so; two
convolutions at 256 px, which see picture, target and boundary map, then draw what 128 px have no
room for. The generator has a mask of its own, at 256 px too.
`apgan info --config=configs/lite256.py` prints its size, stage by stage.

    python -m apgan_jax.main --config=configs/lite256.py --config.data_dir=DIR --workdir=DIR \\
        --config.init_from=LITE128

It is meant to go on from a lite128, all of whose trunk it takes over; configs/lite64_grow.py has
the whole way. It was not run yet.

Steps: 20,000 of 16 pairs. Memory: 0.14 GB of state and up to 1.3 GB of activations.
Time: hours = pairs × FLOP a pair / FLOP/s / 3600 = 320e3 × 35.9e9 / 100e9 / 3600 = 31.9 on two CPU
cores. 35.9 GFLOP is what `apgan info` counts in the train step; 100 GFLOP/s is assumed, as for
lite128.
"""

from ml_collections import ConfigDict

from configs import lite128


def get_config() -> ConfigDict:
    """lite256."""
    config = lite128.get_config()
    config.size = 256
    # The widths and resolutions are lite128's, from 128 px down.
    config.generator.shuffle = 2
    config.generator.refine_channels = 16
    config.generator.mask = True
    return config
