"""Originals and what became of them, picture by picture: the pairs that metrics measure."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.files.image_files import is_image, read_image
from apgan_jax.video.reader import VideoReader, probe

_VIDEO_SUFFIXES = ('.mp4', '.mov', '.m4v', '.avi', '.mkv', '.webm', '.mpg')
# Two videos of one rate, however their containers round it.
_SAME_RATE = 0.01
_SHOWN = 5


def is_video(path: Path) -> bool:
    """Whether the name is that of a video."""
    return path.suffix.lower() in _VIDEO_SUFFIXES


class PicturePair(NamedTuple):
    """An original picture and the swapped one, RGB uint8 (h, w, 3) each."""

    target: np.ndarray
    swapped: np.ndarray


@dataclasses.dataclass
class Clip:
    """Files that are compared picture by picture.

    Attributes:
      name: for people.
      target: the originals: a video, a picture, or the pictures of a sequence in order.
      swapped: what became of them, likewise.
      is_sequence: whether one picture follows the other in time.
      notes: what was odd; filled in while the pairs are read.
    """

    name: str
    target: Path | Sequence[Path]
    swapped: Path | Sequence[Path]
    is_sequence: bool
    notes: list[str] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        """Pictures, as the headers have it; 0 if they do not tell."""
        if isinstance(self.target, Path):
            return 1 if is_image(self.target) else probe(self.target).frames or 0
        return len(self.target)

    def pairs(self) -> Iterator[PicturePair]:
        """Yields the pairs.

        Raises:
          UserError: a file cannot be read, or two pictures differ in size.
        """
        both = itertools.zip_longest(_pictures(self.target), _pictures(self.swapped))
        for number, (target, swapped) in enumerate(both):
            if target is None or swapped is None:
                longer = 'swapped' if target is None else 'target'
                self.notes.append(f'{self.name}: {longer} goes on after {number} pictures')
                return
            if target.shape != swapped.shape:
                raise UserError(
                    f'{self.name}: target {_size(target)}, swapped {_size(swapped)} pixels; both '
                    'must be of one size'
                )
            yield PicturePair(target, swapped)


def find_clips(target: Path, swapped: Path, *, sequence: bool = False) -> list[Clip]:
    """Which files of two places belong together.

    Args:
      target: a video, a picture, or a folder of either.
      swapped: the same; in a folder a file belongs to the one of the same stem.
      sequence: whether the pictures of a folder are the frames of one video.

    Raises:
      UserError: there is nothing, or nothing that belongs together.
    """
    for path in (target, swapped):
        if not path.exists():
            raise UserError(f'{path}: no such file or folder')
    if target.is_dir() != swapped.is_dir():
        raise UserError(f'--target {target} and --swapped {swapped}: give two files or two folders')
    if not target.is_dir():
        return [_file_pair(target, swapped)]
    pairs, notes = _same_stems(target, swapped)
    pictures = [pair for pair in pairs if is_image(pair[0])]
    clips = [_file_pair(*pair) for pair in pairs if pair not in pictures]
    if pictures:
        originals, results = zip(*pictures, strict=True)
        clips.append(Clip(swapped.name, originals, results, is_sequence=sequence))
    clips[0].notes += notes
    return clips


def _file_pair(target: Path, swapped: Path) -> Clip:
    if is_image(target) != is_image(swapped):
        raise UserError(f'{target} and {swapped}: give two pictures or two videos')
    if not is_image(target):
        _check_rates(target, swapped)
    return Clip(swapped.stem, target, swapped, is_sequence=not is_image(target))


def _same_stems(target: Path, swapped: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Files of one stem, and a note on those that are alone."""

    def media(folder: Path) -> dict[str, Path]:
        files = sorted(path for path in folder.iterdir() if is_image(path) or is_video(path))
        return {path.stem: path for path in files}

    originals, results = media(target), media(swapped)
    common = [stem for stem in originals if stem in results]
    if not common:
        raise UserError(
            f'--target {target}, --swapped {swapped}: no two files of one name; rename those that '
            'belong together'
        )
    alone = sorted(originals.keys() ^ results.keys())
    notes = []
    if alone:
        names = ', '.join(alone[:_SHOWN]) + (', …' if len(alone) > _SHOWN else '')
        notes.append(f'{len(alone)} files without a counterpart are left out: {names}')
    return [(originals[stem], results[stem]) for stem in common], notes


def _check_rates(target: Path, swapped: Path) -> None:
    one, other = (probe(path).frame_rate for path in (target, swapped))
    if one and other and abs(one / other - 1) > _SAME_RATE:
        raise UserError(
            f'{swapped}: {other:g} frames a second, {target} has {one:g}; frames are compared by '
            'number: give both one rate'
        )


def _pictures(source: Path | Sequence[Path]) -> Iterator[np.ndarray]:
    if not isinstance(source, Path):
        yield from map(read_image, source)
    elif is_image(source):
        yield read_image(source)
    else:
        with VideoReader(source) as reader:
            for frame in reader:
                yield frame.rgb


def _size(picture: np.ndarray) -> str:
    height, width = picture.shape[:2]
    return f'{width}x{height}'
