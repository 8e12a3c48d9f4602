"""96 committed pairs of pictures whose swaps are looked at: which, and where they are.

A quarter of the targets each are photos of held-out people, portraits of congress, synthetic faces
of 256 px, and frames of clips. Sources are held-out people and synthetic ones. All of it is found
through APGAN_DATA; `data_prep.make_picture_pairs` made the list.
"""

import csv
import dataclasses
from pathlib import Path

from apgan_jax.assets import asset
from apgan_jax.errors import UserError
from apgan_jax.networks.network import data_folder

PICTURE_PAIRS_FILE = asset('picture_pairs.tsv')
# Of targets, by their folders: what their rows are called.
_GROUPS = {'generated': 'portraits', 'clips': 'clips'}


@dataclasses.dataclass(frozen=True)
class PicturesToSwap:
    """A photo of a source, and the target that gets its identity.

    Attributes:
      source: photo.
      target: photo or clip.
      frame: of a clip, the number of the frame that is measured, from 0; None for a photo.
    """

    source: Path
    target: Path
    frame: int | None = None

    @property
    def group(self) -> str:
        """'portraits', 'clips', or '' for photos of less than 256 px."""
        return _GROUPS.get(self.target.parent.name, '')


def find_picture_pairs(data: Path | None = None) -> tuple[list[PicturesToSwap], int]:
    """The committed pairs, less those of which a file is absent.

    Args:
      data: the folder of evaluation data; APGAN_DATA by default.

    Returns:
      The pairs, and how many dropped out.

    Raises:
      UserError: nothing is left.
    """
    data = data or data_folder()
    with open(PICTURE_PAIRS_FILE, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file, delimiter='\t'))
    every = [_pair(data, row['source'], row['target']) for row in rows]
    found = [pair for pair in every if pair.source.is_file() and pair.target.is_file()]
    if not found:
        raise UserError(f'{data}: holds no photo or clip of {PICTURE_PAIRS_FILE.name}')
    return found, len(every) - len(found)


def photos_of_person(photo: Path, most: int) -> list[Path]:
    """A photo and others of the same person, by the folder's labels, `most` in all at most.

    Raises:
      UserError: others are wanted and the labels are missing.
    """
    if most == 1:
        return [photo]
    labels = photo.parent.parent / 'index.tsv'
    if not labels.is_file():
        raise UserError(f'{labels}: missing, which tells whose photos are whose; use --k 1')
    with open(labels, newline='', encoding='utf-8') as file:
        people = {row['file']: row['identity'] for row in csv.DictReader(file, delimiter='\t')}
    name = f'{photo.parent.name}/{photo.name}'
    own = [file for file, person in people.items() if person == people.get(name) and file != name]
    return [photo, *(labels.parent / file for file in sorted(own))][:most]


def _pair(data: Path, source: str, target: str) -> PicturesToSwap:
    path, _, frame = target.partition('@')
    return PicturesToSwap(data / source, data / path, int(frame) if frame else None)
