"""A disk that is full ends a run in one line; its last whole checkpoint stays.

Orbax and TensorBoard's writer both write in threads of their own. Orbax raises there-met errors at
the next save, as it closes at the latest. tensorboardX does not: its thread would end with a
traceback, and once its queue of ten is full the loop would wait for ever. `EventWriter` keeps the
error for the caller.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from apgan_jax.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How TensorStore, which writes Orbax's arrays, ends its messages.
_TENSORSTORE_CODE = re.compile(r"\[os_error_code='(\d+)'\]")


@contextlib.contextmanager
def full_disk_in_one_line(workdir: Path) -> Iterator[None]:
    """Turns what the body raises on a full disk into one line.

    Args:
      workdir: of the run.

    Raises:
      UserError: there is no room to write in.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        number = _error_number(error)
        if number not in _FULL:
            raise
        raise UserError(
            f'{workdir}: cannot be written ({os.strerror(number)}); stopped, '
            f'{_what_is_left(workdir)}; make room there, and run the same command again to go on'
        ) from error


def _error_number(error: OSError | ValueError) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    found = _TENSORSTORE_CODE.search(str(error))
    return int(found[1]) if found else None


def _what_is_left(workdir: Path) -> str:
    # A folder gets a number for its name when it is whole.
    folder = Path(workdir) / 'checkpoints'
    steps = [int(path.name) for path in folder.glob('*') if path.name.isdigit()]
    return (
        f'the checkpoint of step {max(steps)} is whole' if steps else 'no checkpoint is whole yet'
    )


class EventWriter(SummaryWriter):
    """tensorboardX's writer that raises in the caller's thread what its own thread met."""

    def __init__(self, logdir: str, **options: Any) -> None:
        """The arguments are those of `SummaryWriter`."""
        super().__init__(logdir, **options)
        self._guard: _GuardedFile | None = None
        if options.get('write_to_disk', True):
            # tensorboardX offers no place for an error handler.
            records = self.file_writer.event_writer._ev_writer._py_recordio_writer
            self._guard = records._writer = _GuardedFile(records._writer)

    def require_written(self) -> None:
        """Looks whether all could be written so far.

        Raises:
          OSError: what the thread met.
        """
        if self._guard and self._guard.error:
            raise self._guard.error

    def close(self) -> None:
        """Writes what is left.

        Raises:
          OSError: it could not be written.
        """
        super().close()
        self.require_written()


class _GuardedFile:
    """A file that keeps its first error, and does nothing from then on."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> None:
        self._try(lambda: self._file.write(data))

    def flush(self) -> None:
        def to_disk() -> None:
            self._file.flush()
            os.fsync(self._file.fileno())

        self._try(to_disk)

    def close(self) -> None:
        # Closing writes what is buffered, which fails once more.
        with contextlib.suppress(OSError):
            self._file.close()

    def _try(self, action: Any) -> None:
        if not self.error:
            try:
                action()
            except OSError as error:
                self.error = error
