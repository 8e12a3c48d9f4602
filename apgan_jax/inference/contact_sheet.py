"""A picture that shows at a glance what a swap did: frames of the target above the swapped ones."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from apgan_jax.files.image_files import images_in, read_image, write_image
from apgan_jax.files.photos import is_photo
from apgan_jax.models.images import image_grid
from apgan_jax.provenance import manifest
from apgan_jax.provenance.credentials import Credentials
from apgan_jax.video.sampling import sample_frames

_WIDTH = 320


def write_contact_sheet(
    target: Path | Sequence[Path],
    swapped: Path | Sequence[Path],
    output: Path,
    *,
    model_name: str,
    bundle_sha256: str = '',
    columns: int = 6,
    start: float | None = None,
    end: float | None = None,
    credentials: Credentials | None = None,
) -> None:
    """Writes and marks a contact sheet.

    Args:
      target: photo, video, folder of photos, or the pictures of a sequence.
      swapped: what became of it.
      output: PNG or JPEG; one that exists is replaced.
      model_name: of the model that swapped.
      bundle_sha256: of its bundle; empty for a model of others.
      columns: evenly spaced frames.
      start: of the part of the target that was swapped, seconds; None: its beginning.
      end: likewise.
      credentials: that sign; None: the user's own.
    """
    target, swapped = _files(target), _files(swapped)
    rows = [_frames(target, columns, start, end), _frames(swapped, columns)]
    columns = min(map(len, rows))
    thumbnails = [[_thumbnail(frame) for frame in row[:columns]] for row in rows]
    height = max(picture.shape[0] for row in thumbnails for picture in row)
    sheet = image_grid([np.stack([_padded(each, height) for each in row]) for row in thumbnails])
    parent = swapped if isinstance(swapped, Path) else swapped[0]
    with manifest.marked_output(
        output,
        parent=parent,
        model_name=model_name,
        bundle_sha256=bundle_sha256,
        credentials=credentials,
    ) as unsigned:
        write_image(unsigned, sheet)


def _files(source: Path | Sequence[Path]) -> Path | Sequence[Path]:
    return images_in(source) if isinstance(source, Path) and source.is_dir() else source


def _frames(
    source: Path | Sequence[Path],
    count: int,
    start: float | None = None,
    end: float | None = None,
) -> list[np.ndarray]:
    if not isinstance(source, Path):
        return [read_image(path) for path in source[:: -(-len(source) // count)]]
    if is_photo(source):
        return [read_image(source)]
    return [sample.rgb for sample in sample_frames(source, count, start=start, end=end)]


def _padded(picture: np.ndarray, height: int) -> np.ndarray:
    """Photos of a folder differ in height: white below."""
    missing = ((0, height - picture.shape[0]), (0, 0), (0, 0))
    return np.pad(picture, missing, constant_values=255)


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    height = round(frame.shape[0] * _WIDTH / frame.shape[1])
    return cv2.resize(np.ascontiguousarray(frame), (_WIDTH, height), interpolation=cv2.INTER_AREA)
