"""Photos of many people, and which of them are swapped with which.

  heldout    500 committed pairs of people that training never saw (APGAN_DATA)
  lfw        Labeled Faces in the Wild as distributed, ROOT/NAME/NAME_0001.jpg (table VI)
  celebahq   CelebA-HQ, ROOT/*.jpg or *.png, nobody's photo twice (table VII)

The paper does not say which pairs its tables VI and VII are made of: these are seeded pairs of
different people.
"""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from apgan_jax.assets import asset
from apgan_jax.errors import UserError
from apgan_jax.evaluation.protocols import required_root
from apgan_jax.files.image_files import images_in
from apgan_jax.networks.network import data_folder

PAIRS_FILE = asset('heldout_pairs.tsv')
DEFAULT_PAIRS = 500
_HELDOUT = Path('faces') / 'celeba_heldout'
# Of the pairs of LFW and CelebA-HQ.
_SEED = 0


@dataclasses.dataclass(frozen=True)
class PersonPhoto:
    """A photo and whose it is."""

    path: Path
    person: str


@dataclasses.dataclass(frozen=True)
class PhotoPairs:
    """Which photos are swapped.

    Attributes:
      name: of the protocol.
      photos: all that are read.
      pairs: (source, target), numbers into `photos`.
    """

    name: str
    photos: tuple[PersonPhoto, ...]
    pairs: tuple[tuple[int, int], ...]


def heldout_pairs(data: Path | None = None) -> PhotoPairs:
    """The committed pairs; those of absent photos drop out.

    Args:
      data: the folder of evaluation data; APGAN_DATA by default.

    Raises:
      UserError: photos or labels are missing.
    """
    data = data or data_folder()
    folder, labels = data / _HELDOUT, data / 'faces' / 'index.tsv'
    if not folder.is_dir() or not labels.is_file():
        raise UserError(
            f'{folder}: the held-out photos or {labels} are missing; see docs/evaluation.md'
        )
    known = {row['file']: row['identity'] for row in _rows(labels)}
    paths = sorted(folder.glob('*.jpg'))
    unknown = [path for path in paths if f'{folder.name}/{path.name}' not in known]
    if unknown or not paths:
        raise UserError(
            f'{unknown[0] if unknown else folder}: {"no label in" if unknown else "no photos for"} '
            f'{labels}; see docs/evaluation.md'
        )
    photos = [PersonPhoto(path, known[f'{folder.name}/{path.name}']) for path in paths]
    number = {photo.path.name: index for index, photo in enumerate(photos)}
    named = [(row['source'], row['target']) for row in _rows(PAIRS_FILE)]
    pairs = [(number[s], number[t]) for s, t in named if s in number and t in number]
    return PhotoPairs('heldout', tuple(photos), tuple(pairs))


def lfw_pairs(root: Path, count: int = DEFAULT_PAIRS) -> PhotoPairs:
    """Seeded pairs of LFW.

    Raises:
      UserError: the folder does not look like LFW.
    """
    folders = sorted(path for path in _folder(root).iterdir() if path.is_dir())
    photos = [PersonPhoto(path, f.name) for f in folders for path in sorted(f.glob('*.jpg'))]
    if not photos:
        raise UserError(f'--root {root}: holds no NAME/NAME_0001.jpg; give the folder of LFW')
    return _seeded_pairs('lfw', photos, count)


def celebahq_pairs(root: Path, count: int = DEFAULT_PAIRS) -> PhotoPairs:
    """Seeded pairs of CelebA-HQ; without labels, each photo counts as a person of its own.

    Raises:
      UserError: the folder has no photos.
    """
    photos = [PersonPhoto(path, path.stem) for path in images_in(_folder(root))]
    if not photos:
        raise UserError(f'--root {root}: holds no photos; give the folder of the images')
    return _seeded_pairs('celebahq', photos, count)


def _seeded_pairs(name: str, photos: Sequence[PersonPhoto], count: int) -> PhotoPairs:
    """Each pair has another target; only photos of pairs are kept, and others of their sources."""
    order = np.random.default_rng(_SEED).permutation(len(photos))
    pairs: list[tuple[int, int]] = []
    for source, target in zip(order, np.roll(order, -1), strict=True):
        if photos[source].person != photos[target].person and len(pairs) < count:
            pairs.append((int(source), int(target)))
    if not pairs:
        raise UserError(f'{photos[0].path.parent}: no two people; give more photos')
    sources = {photos[source].person for source, _ in pairs}
    wanted = {number for pair in pairs for number in pair}
    kept = [n for n, photo in enumerate(photos) if n in wanted or photo.person in sources]
    place = {number: index for index, number in enumerate(kept)}
    return PhotoPairs(
        name,
        tuple(photos[number] for number in kept),
        tuple((place[source], place[target]) for source, target in pairs),
    )


def _folder(root: Path) -> Path:
    if not root.is_dir():
        raise UserError(f'--root {root}: no such folder')
    return root


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file, delimiter='\t'))


def find_pairs(protocol: str, root: Path | None, count: int | None = None) -> PhotoPairs:
    """The pairs of a protocol.

    Args:
      protocol: of `PHOTO_PROTOCOLS`.
      root: folder of the data set; of 'heldout' the folder of evaluation data, None: APGAN_DATA.
      count: of seeded pairs.

    Raises:
      UserError: the photos are not there, or `root` is missing.
    """
    if protocol == 'heldout':
        return heldout_pairs(root)
    find = {'lfw': lfw_pairs, 'celebahq': celebahq_pairs}[protocol]
    return find(required_root(protocol, root), count or DEFAULT_PAIRS)
