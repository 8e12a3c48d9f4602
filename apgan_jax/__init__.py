"""AP-GAN in JAX: train, export and run a video face swapper (IEEE TCSVT 2021)."""

from apgan_jax.api import (
    FoundFace,
    Identity,
    Model,
    SwappedImage,
    load,
    read,
    save,
    train,
    verify,
)
from apgan_jax.errors import UserError

__all__ = [
    'FoundFace',
    'Identity',
    'Model',
    'SwappedImage',
    'UserError',
    'load',
    'read',
    'save',
    'train',
    'verify',
]
__version__ = '0.1.0'
