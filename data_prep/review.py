"""Random records and rejects of a data set on one picture each, to check a filter by eye.

    python -m data_prep.review data/faces128 --output runs/filter

writes kept.png and rejects.png. Of rejects, every reason has the same share, and its first word and
figure stand below each face; near-duplicates are followed by the photo that stayed. Photos of real
people are private: keep the pictures out of repositories.

    python -m data_prep.review data/faces128 --occluders --output runs/occluders

writes occluders.jpg instead: faces with what training may paint before them, each followed by what
the thing covers.
"""

import argparse
import collections
import csv
import dataclasses
import itertools
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from apgan_jax.data.occluders import KINDS, paint_occluder
from apgan_jax.data.records import FaceRecord, RecordDataset, read_crop_spec
from apgan_jax.errors import UserError
from apgan_jax.face import landmarks
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.files.image_files import decode_image, write_image

_SIZE, _CAPTION, _COLUMNS = 128, 16, 20
# Nothing to look at.
_FACELESS = ('corrupt or no image', 'no face')


def draw_kept(data_dir: Path, count: int, seed: int) -> np.ndarray:
    """Random records, RGB uint8 (h, w, 3).

    Raises:
      UserError: `data_dir` is no data set.
    """
    records = _sample_records(data_dir, count, seed)
    return _sheet([_tile(each.decode_image(), Path(each.file_name).stem) for each in records])


def draw_occluders(data_dir: Path, count: int, seed: int) -> np.ndarray:
    """Random records, something painted before each face, the kinds in turn; RGB uint8 (h, w, 3).

    Each is followed by what the thing covers, white. Patterns are of the record after it.

    Raises:
      UserError: `data_dir` is no data set.
    """
    records = _sample_records(data_dir, count, seed)
    others = [record.decode_image() for record in [*records[1:], records[0]]]
    rng, tiles = np.random.default_rng(seed), []
    turns = itertools.cycle(KINDS.items())
    for record, other, (name, kind) in zip(records, others, turns, strict=False):
        face, points = record.decode_image(), record.landmarks
        painted = paint_occluder(face, points, other, rng, {name: kind})
        covers = np.repeat(np.rint(255 * painted.covers).astype(np.uint8)[..., None], 3, axis=2)
        tiles += [_tile(painted.picture, name), _tile(covers, '')]
    return _sheet(tiles)


def draw_rejects(data_dir: Path, count: int, seed: int) -> np.ndarray:
    """Random rejects, as many of each reason, RGB uint8 (h, w, 3).

    Raises:
      UserError: `data_dir` has no report, or one without a face.
    """
    drawn = sample_rejects(Path(data_dir) / 'rejected.tsv', count, seed)
    spec = dataclasses.replace(read_crop_spec(Path(data_dir)), size=_SIZE)
    with landmarks.FaceLandmarker(max_faces=4) as landmarker:
        tiles = [
            _tile(_crop(photo, landmarker, spec), _caption(reason))
            for path, reason in drawn
            for photo in _photos(path, reason)
        ]
    return _sheet(tiles)


def sample_rejects(report: Path, count: int, seed: int) -> list[tuple[str, str]]:
    """Draws rejects, the reasons in turn, as (file, reason), sorted by reason.

    Raises:
      UserError: the report is missing or lists no face.
    """
    if not report.is_file():
        raise UserError(f'{report}: no such file; give a folder that data_prep.build wrote')
    with open(report, newline='', encoding='utf-8') as file:
        rows = [(row['file'], row['reason']) for row in csv.DictReader(file, delimiter='\t')]
    by_reason: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    for path, reason in random.Random(seed).sample(rows, len(rows)):
        if reason not in _FACELESS:
            by_reason[reason.split(':')[0]].append((path, reason))
    if not by_reason:
        raise UserError(f'{report}: lists no face; there is nothing to look at')
    turns = range(max(map(len, by_reason.values())))
    drawn = [rows[turn] for turn in turns for rows in by_reason.values() if turn < len(rows)]
    return sorted(drawn[:count], key=lambda row: row[1])


def _sample_records(data_dir: Path, count: int, seed: int) -> list[FaceRecord]:
    dataset = RecordDataset(data_dir)
    numbers = random.Random(seed).sample(range(len(dataset)), min(count, len(dataset)))
    return [FaceRecord.parse(dataset[number]) for number in numbers]


def _photos(path: str, reason: str) -> list[str]:
    kind, _, other = reason.partition(': ')
    return [path, other] if kind == 'near-duplicate' else [path]


def _caption(reason: str) -> str:
    kind, _, figures = reason.partition(': ')
    return 'twice' if kind == 'near-duplicate' else f'{kind.split()[0]} {figures.split()[0]}'


def _crop(path: str, landmarker: landmarks.FaceLandmarker, spec: CropSpec) -> np.ndarray:
    photo = decode_image(Path(path).read_bytes())
    face = None if photo is None else landmarks.largest(landmarker.detect(photo))
    if photo is None or face is None:
        return np.zeros((_SIZE, _SIZE, 3), np.uint8)
    return align_face(photo, face.landmarks, spec).crop


def _tile(crop: np.ndarray, caption: str) -> np.ndarray:
    picture = cv2.resize(crop, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    tile = cv2.copyMakeBorder(picture, 0, _CAPTION, 0, 0, cv2.BORDER_CONSTANT)
    place, white = (2, _SIZE + _CAPTION - 4), (255, 255, 255)
    return cv2.putText(tile, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, white, 1, cv2.LINE_AA)


def _sheet(tiles: Sequence[np.ndarray]) -> np.ndarray:
    missing = -len(tiles) % _COLUMNS
    filled = [*tiles, *[np.zeros_like(tiles[0])] * missing]
    rows = [filled[start : start + _COLUMNS] for start in range(0, len(filled), _COLUMNS)]
    return np.vstack([np.hstack(row) for row in rows])


def _draw(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """The pictures that the command line asks for, by their files' names."""
    data_dir, seed = options.data_dir, options.seed
    if options.occluders:
        return {'occluders.jpg': draw_occluders(data_dir, options.count or 60, seed)}
    count = options.count or 100
    return {
        'kept.png': draw_kept(data_dir, count, seed),
        'rejects.png': draw_rejects(data_dir, count, seed),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog='python -m data_prep.review', description=__doc__)
    parser.add_argument('data_dir', type=Path, help='what data_prep.build wrote')
    parser.add_argument('--output', type=Path, required=True, help='folder for the pictures')
    parser.add_argument('--count', type=int, help='faces of each kind; 100, or 60 of --occluders')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--occluders', action='store_true', help='what training may paint before faces instead'
    )
    options = parser.parse_args(arguments)
    try:
        pictures = _draw(options)
    except UserError as error:
        print(f'data_prep.review: {error}', file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        write_image(options.output / name, picture)
        print(options.output / name)
    return 0


if __name__ == '__main__':
    sys.exit(main())
