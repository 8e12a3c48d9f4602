"""A picture that shows at a glance what a swap did.

Frames of the target stand above the swapped ones, and below them, in the same way, the face that
changed most in each, large enough to be looked at.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from apgan_jax.face.alignment import upright_window, warp_to_crop
from apgan_jax.face.finding import FaceFinder
from apgan_jax.files.image_files import images_in, read_image, write_image
from apgan_jax.files.photos import is_photo
from apgan_jax.models.images import image_grid
from apgan_jax.provenance import manifest
from apgan_jax.provenance.credentials import Credentials
from apgan_jax.video.sampling import sample_frames

_WIDTH = 320
# Side of a face's window, of the face's size: with hair and chin.
_FACE_SIDE = 1.7
_NOBODY = np.full((_WIDTH, _WIDTH, 3), 255, np.uint8)


class _Both(NamedTuple):
    """A picture, RGB uint8 (h, w, 3), and what became of it."""

    before: np.ndarray
    after: np.ndarray


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
      target: photo, video, folder of photos, or several photos and videos.
      swapped: what became of it.
      output: see `targets.check_output`; one that exists is replaced.
      model_name: of the model that swapped.
      bundle_sha256: of its bundle; empty for a model of others.
      columns: evenly spaced frames or, of several files, one each of evenly spaced ones.
      start: of the part of the target that was swapped, seconds; None: its beginning.
      end: likewise.
      credentials: that sign; None: the user's own.
    """
    targets, results = _files(target), _files(swapped)
    frames: list[_Both] = []
    faces: list[_Both | None] = []
    with FaceFinder() as finder:
        for both in _columns(targets, results, columns, start, end):
            frames.append(_Both(*map(_thumbnail, both)))
            faces.append(_face(both, finder))
    rows = _rows(frames, max(picture.shape[0] for both in frames for picture in both))
    if any(faces):
        rows += _rows([each or _Both(_NOBODY, _NOBODY) for each in faces], _WIDTH)
    with manifest.marked_output(
        output,
        parent=results[0],
        model_name=model_name,
        bundle_sha256=bundle_sha256,
        credentials=credentials,
    ) as unsigned:
        write_image(unsigned, image_grid(rows))


def _files(source: Path | Sequence[Path]) -> Sequence[Path]:
    if not isinstance(source, Path):
        return source
    return images_in(source) if source.is_dir() else [source]


def _columns(
    targets: Sequence[Path],
    results: Sequence[Path],
    count: int,
    start: float | None,
    end: float | None,
) -> Iterator[_Both]:
    """Pictures to be shown, one at a time: photos may be large."""
    if len(targets) == len(results) == 1:
        pictures = _frames(targets[0], count, start, end), _frames(results[0], count)
        yield from map(_Both, *pictures)
        return
    step = -(-len(targets) // count)
    for target, result in zip(targets[::step], results[::step], strict=False):
        # The second of two frames, in the middle: many clips begin with a black one.
        *_, before = _frames(target, 2, start, end)
        *_, after = _frames(result, 2)
        yield _Both(before, after)


def _frames(
    path: Path, count: int, start: float | None = None, end: float | None = None
) -> Iterator[np.ndarray]:
    if is_photo(path):
        yield read_image(path)
        return
    for sample in sample_frames(path, count, start=start, end=end):
        yield sample.rgb


def _face(both: _Both, finder: FaceFinder) -> _Both | None:
    """The face that changed most, before and after; None where there is no face."""
    before, after = both
    # Others' methods may write another size.
    scale = after.shape[1] / before.shape[1]
    windows = [
        _Both(
            _window(before, face.location.centre, face.location.size),
            _window(after, face.location.centre * scale, face.location.size * scale),
        )
        for face in finder.detect(before)
    ]
    return max(windows, key=lambda each: int(cv2.absdiff(*each).sum()), default=None)


def _window(picture: np.ndarray, centre: complex, size: float) -> np.ndarray:
    window_from_picture = upright_window(centre, _FACE_SIDE * size, 0.0, _WIDTH)
    return warp_to_crop(picture, window_from_picture, _WIDTH)


def _rows(columns: Sequence[_Both], height: int) -> list[np.ndarray]:
    """Pictures above what became of them, uint8 (n, height, width, 3) each."""
    return [np.stack([_padded(each, height) for each in row]) for row in zip(*columns, strict=True)]


def _padded(picture: np.ndarray, height: int) -> np.ndarray:
    """Photos of a folder differ in height: white below."""
    missing = ((0, height - picture.shape[0]), (0, 0), (0, 0))
    return np.pad(picture, missing, constant_values=255)


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    height = round(frame.shape[0] * _WIDTH / frame.shape[1])
    return cv2.resize(np.ascontiguousarray(frame), (_WIDTH, height), interpolation=cv2.INTER_AREA)
