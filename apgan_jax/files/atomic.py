"""Files that appear under their name whole, or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a name beside `path` to write to, which becomes `path` when the block has ended.

    Whoever reads `path` meanwhile gets the old file or the new one. Where the block fails, what was
    written is removed, and an older file stays. Of two processes that write one file, each has a
    name of its own, and the last one's file stays.

    Args:
      path: of the file; its folder exists.

    Raises:
      OSError: it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f'.{path.name}.{secrets.token_hex(4)}')
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
