"""All pairs of an evaluation in one picture, at the size that a viewer looks at faces."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from apgan_jax.bundle import Bundle
from apgan_jax.files.image_files import write_image
from apgan_jax.models.images import image_grid
from apgan_jax.provenance import manifest

# Pixels; pairs beside each other; around the mesh, of its longer side.
_SIZE, _COLUMNS, _MARGIN = 200, 4, 0.4
_GAP = 12

# Source, target and swapped, RGB uint8 (size, size, 3).
Thumbnails = tuple[np.ndarray, ...]


def thumbnail(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A face and what is about it, a square of the picture.

    Args:
      picture: RGB uint8 (h, w, 3).
      landmarks: (478, 2), pixels.

    Returns:
      RGB uint8 (size, size, 3).
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    wanted = round(float((high - low).max()) * (1 + 2 * _MARGIN))
    side = min(wanted, *picture.shape[:2])
    furthest = np.array([picture.shape[1], picture.shape[0]]) - side
    left, top = np.clip(np.rint((low + high - side) / 2).astype(int), 0, furthest)
    square = np.ascontiguousarray(picture[top : top + side, left : left + side])
    method = cv2.INTER_AREA if side > _SIZE else cv2.INTER_LINEAR
    return cv2.resize(square, (_SIZE, _SIZE), interpolation=method)


def write_picture_sheet(
    output: Path, pairs: Sequence[Thumbnails], bundle: Bundle, parent: Path
) -> None:
    """Writes and marks a picture of all pairs, several beside each other.

    Args:
      output: PNG or JPEG; one that exists is replaced.
      pairs: at least one.
      bundle: of the model that swapped.
      parent: the first target; a manifest has one parent.
    """
    blocks = [_block(pair) for pair in pairs]
    blocks += [np.full_like(blocks[0], 255)] * (-len(blocks) % _COLUMNS)
    rows = [np.stack(blocks[start : start + _COLUMNS]) for start in range(0, len(blocks), _COLUMNS)]
    with manifest.marked_output(
        output, parent=parent, model_name=bundle.name, bundle_sha256=bundle.sha256
    ) as unsigned:
        write_image(unsigned, image_grid(rows))


def _block(pair: Thumbnails) -> np.ndarray:
    """A pair side by side, white on the right."""
    return np.pad(np.concatenate(pair, axis=1), ((0, 0), (0, _GAP), (0, 0)), constant_values=255)
