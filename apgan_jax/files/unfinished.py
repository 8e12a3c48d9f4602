"""Where an output lies until it is finished: hidden, private, and on its own file system."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apgan_jax.errors import UserError

if sys.platform != 'win32':
    import fcntl


@contextmanager
def unfinished_folder(output: Path) -> Iterator[Path]:
    """Makes an empty folder beside `output` that only this process uses, and removes it at the end.

    The name depends on `output` alone, so that a run finds what a killed one has left there and
    removes it.

    Raises:
      UserError: the folder cannot be made, or another run is writing the same output.
    """
    folder = output.with_name(f'.{output.name}.unfinished')
    try:
        # Someone else's link would lead what we remove, and write, to a place of their choice.
        if folder.is_symlink():
            raise FileExistsError(None, f'{folder} is a link')
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = _lock(folder)
    except BlockingIOError as error:
        raise UserError(
            f'{output}: another run is writing it; wait for that one, or choose another name'
        ) from error
    except OSError as error:
        raise UserError(
            f'{output}: cannot be written ({error.strerror}); choose a name in an existing folder '
            f'that you may write to'
        ) from error
    try:
        _empty(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Holds a folder; the system lets go of it when the process ends, however it ends.

    Returns:
      A file descriptor to close; None on Windows, where folders cannot be locked.

    Raises:
      BlockingIOError: another process, or another block of this one, holds it.
    """
    if sys.platform == 'win32':
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass  # Some network file systems have no locks: then nothing tells two runs apart.
    return descriptor


def _empty(folder: Path) -> None:
    for leftover in folder.iterdir():
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
