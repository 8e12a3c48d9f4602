"""AP-GAN in JAX: train, export and run a video face swapper (IEEE TCSVT 2021)."""

__version__ = '0.1.0'
