"""`apgan swap` and `apgan anonymise` as a user types them, and a look at what they did."""

import numpy as np

from apgan_jax import cli
from apgan_jax.identity_file import SHIPPED_IDENTITY


def run(model, command, target, output, *options):
    """The exit status; the source is the shipped identity unless one is given."""
    arguments = [command, '--target', target, '--output', output, '--bundle', model, *options]
    if command == 'swap' and not {'--source', '--map'} & set(map(str, options)):
        arguments += ['--source', SHIPPED_IDENTITY]
    return cli.main([str(argument) for argument in arguments])


def is_changed(before, after, centre, *, half=20):
    """Whether the picture around a face differs by more than encoding does."""
    column, row = map(round, centre)
    part = np.s_[row - half : row + half, column - half : column + half]
    return np.abs(before[part].astype(int) - after[part]).mean() > 12
