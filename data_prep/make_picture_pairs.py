"""Makes apgan_jax/assets/picture_pairs.tsv, the pairs of `apgan evaluate --protocol pictures`.

  APGAN_DATA=FOLDER python -m data_prep.make_picture_pairs > apgan_jax/assets/picture_pairs.tsv

Seeded: the same folder gives the same list. A target or source without a face is passed over.
"""

import argparse
import csv
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.evaluation.pasted import FRAMES_BEFORE
from apgan_jax.face.landmarks import FaceLandmarker
from apgan_jax.files.image_files import read_image
from apgan_jax.networks.network import data_folder
from apgan_jax.video.reader import VideoReader

_SEED = 0
_OF_A_KIND = 24
_TARGET_FOLDERS = ('celeba_heldout', 'congress', 'generated')
_SOURCE_FOLDERS = ('celeba_heldout', 'generated')
# Not the fakes of other methods that lie beside them.
_CLIPS = (
    'ffpp_original_004.mp4',
    'ffpp_original_519.mp4',
    'ffpp_original_634.mp4',
    'driving_d14.mp4',
    'driving_d3.mp4',
    'vasa_7.mp4',
    'reagan_256.mp4',
    'grid_bbaf2n.mpg',
    'grid_swiz3n.mpg',
)
# Of a long clip only the beginning is read.
_FRAMES_READ = 200


def make_pairs(data: Path) -> list[tuple[str, str]]:
    """(source, target), paths relative to `data`; a clip's frame is `clips/NAME@NUMBER`.

    Args:
      data: a folder with faces/ and clips/.
    """
    rng = np.random.default_rng(_SEED)
    people = _people(data / 'faces' / 'index.tsv')
    with FaceLandmarker(expressions=False) as landmarker:
        photos = {
            folder: _shuffled_photos(data, folder, rng, landmarker) for folder in _TARGET_FOLDERS
        }
        targets = [
            photo
            for folder in _TARGET_FOLDERS
            for photo in itertools.islice(photos[folder], _OF_A_KIND)
        ]
        targets += _clip_frames(data, rng, landmarker)
        # What no target took.
        sources = itertools.cycle([photos[folder] for folder in _SOURCE_FOLDERS])
        return [(_source(next(sources), people, target), target) for target in targets]


def _source(photos: Iterator[str], people: dict[str, str], target: str) -> str:
    """The next photo that is of somebody else."""
    return next(photo for photo in photos if people[photo] != people.get(target))


def _people(labels: Path) -> dict[str, str]:
    with open(labels, newline='', encoding='utf-8') as file:
        rows = csv.DictReader(file, delimiter='\t')
        return {f'faces/{row["file"]}': row['identity'] for row in rows}


def _shuffled_photos(
    data: Path, folder: str, rng: np.random.Generator, landmarker: FaceLandmarker
) -> Iterator[str]:
    paths = sorted((data / 'faces' / folder).glob('*.jpg'))
    # Now, and not when the first is asked for: the order of asking must not matter.
    order = rng.permutation(len(paths))
    return (
        f'faces/{folder}/{paths[number].name}'
        for number in order
        if landmarker.detect(read_image(paths[number]))
    )


def _clip_frames(data: Path, rng: np.random.Generator, landmarker: FaceLandmarker) -> list[str]:
    """Frames of all clips, as equally many of each as can be."""
    counts = [len(part) for part in np.array_split(np.arange(_OF_A_KIND), len(_CLIPS))]
    return [
        f'clips/{name}@{number}'
        for name, count in zip(_CLIPS, counts, strict=True)
        for number in _frames(data / 'clips' / name, count, rng, landmarker)
    ]


def _frames(
    path: Path, count: int, rng: np.random.Generator, landmarker: FaceLandmarker
) -> Sequence[int]:
    with VideoReader(path) as reader:
        frames = list(itertools.islice(reader.frames(), _FRAMES_READ))
    # One of each part, for neighbours look alike.
    parts = np.array_split(np.arange(FRAMES_BEFORE, len(frames)), count)
    shuffled = [map(int, rng.permutation(part)) for part in parts]
    return [next(n for n in numbers if landmarker.detect(frames[n].rgb)) for numbers in shuffled]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the pairs as the committed file has them; returns the exit status."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(arguments)
    try:
        pairs = make_pairs(data_folder())
    except UserError as error:
        print(f'data_prep.make_picture_pairs: {error}', file=sys.stderr)
        return 1
    print('source\ttarget')
    print('\n'.join(f'{source}\t{target}' for source, target in pairs))
    return 0


if __name__ == '__main__':
    sys.exit(main())
