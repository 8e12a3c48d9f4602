"""Who is in the scenes: photos and clips of APGAN_DATA, with the places of their faces."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.files.image_files import images_in, read_image
from apgan_jax.networks.network import data_folder
from benchmarks.anonymity_judge import Finder
from benchmarks.anonymity_scenes import Portrait, Pose, Truth, read_pictures

# Real people. Synthetic ones resemble each other too much to tell who is recognised by chance,
REAL = ('congress', 'celeba_heldout')
# but their photos are larger.
SHARP = ('generated',)
_CLIPS = ('ffpp_original_634', 'ffpp_original_519', 'ffpp_original_004', 'vasa_7', 'driving_d14')
_CLIP_HEIGHT = 360
# YuNet's score of a portrait that is plainly one.
_PLAIN = 0.85


@dataclasses.dataclass(frozen=True)
class RealClip:
    """The beginning of a clip of one person.

    Attributes:
      portrait: its first frame.
      frames: RGB uint8 (360, w, 3).
      truths: the face of each frame, by the judge's detector.
    """

    portrait: Portrait
    frames: Sequence[np.ndarray]
    truths: Sequence[Sequence[Truth]]


def load_portraits(
    finder: Finder, count: int, rng: np.random.Generator, folders: Sequence[str] = REAL
) -> list[Portrait]:
    """Photos of `count` people, of the folders of `faces` in turn.

    Raises:
      UserError: APGAN_DATA is unset, or holds too few.
    """
    paths = [_shuffled(data_folder() / 'faces' / name, rng) for name in folders]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*paths))
    portraits: dict[str, Portrait] = {}
    for path in filter(None, turns):
        portrait = _portrait(finder, path)
        if portrait is not None:
            portraits.setdefault(portrait.name, portrait)
        if len(portraits) == count:
            return list(portraits.values())
    raise UserError(f'{data_folder()}: photos of {len(portraits)} people, {count} are needed')


def _shuffled(folder: Path, rng: np.random.Generator) -> list[Path]:
    paths = images_in(folder)
    rng.shuffle(paths)
    if folder.name != 'celeba_heldout':
        return paths
    people = _people()
    return list({people[path.name]: path for path in paths}.values())


def _people() -> dict[str, str]:
    """Of celeba_heldout, which has several photos of each: person by file name."""
    lines = (data_folder() / 'faces' / 'index.tsv').read_text().splitlines()[1:]
    rows = (line.split('\t') for line in lines)
    return {Path(file).name: person for file, person in rows if file.startswith('celeba_heldout/')}


def _portrait(finder: Finder, path: Path) -> Portrait | None:
    rgb = read_image(path)
    rows = finder.rows(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if len(rows) != 1 or rows[0, 14] < _PLAIN:
        return None
    return Portrait(path.stem, rgb, _box(rows[0]))


def _box(row: np.ndarray) -> tuple[float, float, float, float]:
    left, top, width, height = map(float, row[:4])
    return left, top, left + width, top + height


def load_clip(finder: Finder, number: int, frames: int) -> RealClip:
    """The first frames of one of the clips, all of them in turn.

    Raises:
      UserError: APGAN_DATA is unset or has no such clip.
    """
    path = data_folder() / 'clips' / f'{_CLIPS[number % len(_CLIPS)]}.mp4'
    if not path.is_file():
        raise UserError(f'{path}: no such clip')
    pictures = [_reduced(each) for each in itertools.islice(read_pictures(path), frames)]
    rows = [finder.rows(cv2.cvtColor(each, cv2.COLOR_RGB2BGR)) for each in pictures]
    truths = [[_truth(path.stem, row) for row in found[:1]] for found in rows]
    return RealClip(Portrait(path.stem, pictures[0], _box(rows[0][0])), pictures, truths)


def _reduced(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    size = round(width * _CLIP_HEIGHT / height / 2) * 2, _CLIP_HEIGHT
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _truth(person: str, row: np.ndarray) -> Truth:
    left, top, width, height = map(float, row[:4])
    return Truth(person, Pose(left + width / 2, top + height / 2, width), height)
