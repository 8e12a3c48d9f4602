"""A picture that shows at a glance what a swap did: frames of the target above the swapped ones."""

from pathlib import Path

import cv2
import numpy as np

from apgan_jax.image_files import is_image, read_image, write_image
from apgan_jax.images import image_grid
from apgan_jax.inference import provenance
from apgan_jax.inference.sampling import sample_frames
from apgan_jax.inference.swapper import Swapper

_WIDTH = 320


def write_contact_sheet(
    target: Path,
    swapped: Path,
    output: Path,
    *,
    swapper: Swapper,
    columns: int = 6,
    start: float | None = None,
    end: float | None = None,
) -> None:
    """Writes and marks a contact sheet.

    Args:
      target: photo or video.
      swapped: what became of it.
      output: PNG or JPEG; one that exists is replaced.
      swapper: the model that was used.
      columns: evenly spaced frames.
      start: of the part of the target that was swapped, seconds; None: its beginning.
      end: likewise.
    """
    rows = [_frames(target, columns, start, end), _frames(swapped, columns)]
    columns = min(map(len, rows))
    sheet = image_grid([np.stack([_thumbnail(frame) for frame in row[:columns]]) for row in rows])
    bundle = swapper.bundle
    with provenance.marked_output(
        output, parent=swapped, model_name=bundle.name, bundle_sha256=bundle.sha256
    ) as unsigned:
        write_image(unsigned, sheet)


def _frames(
    path: Path, count: int, start: float | None = None, end: float | None = None
) -> list[np.ndarray]:
    if is_image(path):
        return [read_image(path)]
    return [sample.rgb for sample in sample_frames(path, count, start=start, end=end)]


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    height = round(frame.shape[0] * _WIDTH / frame.shape[1])
    return cv2.resize(np.ascontiguousarray(frame), (_WIDTH, height), interpolation=cv2.INTER_AREA)
