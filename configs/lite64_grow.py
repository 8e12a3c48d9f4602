"""What lite128 grows from: its own stages from 64 px down, where a step costs half: 0.92 GMAC.

`configs/lite64.py` has half of these widths, so that lite128 could take over its 4-px stage only.
Here every block is one of lite128's, and a warm start loads all of them but those that read and
write pixels. Then lite256 takes over lite128's in the same way:

    python -m apgan_jax.main --config=configs/lite64_grow.py --config.data_dir=DIR64 --workdir=A
    python -m apgan_jax.main --mode=export --workdir=A --output=a.safetensors
    python -m apgan_jax.main --config=configs/lite128.py --config.data_dir=DIR128 --workdir=B \\
        --config.init_from=a.safetensors
    python -m apgan_jax.main --mode=export --workdir=B --output=b.safetensors
    python -m apgan_jax.main --config=configs/lite256.py --config.data_dir=DIR256 --workdir=C \\
        --config.init_from=b.safetensors

All three data sets are built with `--crop face-v1`. The discriminators' layers are equal at every
size: `--with_discriminator` takes them along.
"""

from ml_collections import ConfigDict

from configs import lite128


def get_config() -> ConfigDict:
    """lite128 at 64 px, recipe and all."""
    config = lite128.get_config()
    config.size = 64
    config.generator.widths = (32, 64, 128, 256, 256)
    # As lite128 has them, not as the paper would at 64 px: ID at all, PE from 64 px up.
    config.generator.pe_resolutions = (64,)
    config.generator.skip_resolutions = (4, 8, 16, 32, 64)
    config.discriminator.activation_gain = 2.0
    return config
