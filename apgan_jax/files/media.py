"""The photos and videos of a folder and of all folders in it."""

import os
from dataclasses import dataclass
from pathlib import Path

from apgan_jax.files.photos import is_image, is_photo

# A fixed table: FFmpeg opens much that is no video, such as texts and songs with a cover.
_VIDEO_SUFFIXES = (
    *('.mp4', '.mov', '.m4v', '.mkv', '.webm', '.avi', '.ts', '.mts', '.m2ts', '.mpg', '.mpeg'),
    *('.vob', '.wmv', '.asf', '.flv', '.3gp', '.3g2', '.ogv', '.mxf', '.mjpeg', '.mjpg', '.y4m'),
)


@dataclass(frozen=True)
class MediaTree:
    """What is in a folder. Paths are relative to it; those of one folder stand together, by name.

    Attributes:
      files: photos and videos, by their names or, of other names, by their content.
      left_out: what is neither, and links to folders.
      unreadable: why a folder could not be looked into, by its path.
    """

    files: tuple[Path, ...]
    left_out: tuple[Path, ...]
    unreadable: dict[Path, str]


def find_media(folder: Path, *, without: Path | None = None) -> MediaTree:
    """Looks through a folder. Hidden files, whose names begin with a dot, are passed over.

    Args:
      folder: where to look.
      without: a folder that may be in it and is not looked into.
    """
    files: list[Path] = []
    left_out: list[Path] = []
    errors: list[OSError] = []
    passed_over = without and without.resolve()
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        here = Path(parent)
        shown = sorted(name for name in folders if not name.startswith('.'))
        links = [name for name in shown if (here / name).is_symlink()]
        left_out += [here / name for name in links]
        # In place: that is where `walk` goes on.
        folders[:] = [
            name for name in shown if name not in links and (here / name).resolve() != passed_over
        ]
        for path in (here / name for name in sorted(names) if not name.startswith('.')):
            (files if _is_media(path) else left_out).append(path)
    return MediaTree(
        tuple(path.relative_to(folder) for path in files),
        tuple(path.relative_to(folder) for path in left_out),
        {
            Path(error.filename).relative_to(folder): error.strerror or str(error)
            for error in errors
        },
    )


def _is_media(path: Path) -> bool:
    return is_image(path) or path.suffix.lower() in _VIDEO_SUFFIXES or is_photo(path)
