"""XLA's persistent cache: programs are compiled once a machine."""

import os
from pathlib import Path

import jax


def use_compilation_cache() -> None:
    """Keeps compiled programs over runs; JAX_COMPILATION_CACHE_DIR overrides the place."""
    if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
        cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
        jax.config.update('jax_compilation_cache_dir', str(cache / 'apgan_jax' / 'xla'))
