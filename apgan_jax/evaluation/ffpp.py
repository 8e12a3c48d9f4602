"""FaceForensics++ as it is distributed (paper IV-C): where its files are and which are tested.

    ROOT/original_sequences/youtube/c23/videos/NNN.mp4
    ROOT/manipulated_sequences/METHOD/c23/videos/NNN_MMM.mp4    NNN: target, MMM: source

The test split is the data set's own: 70 pairs, swapped in both directions, 140 videos a method.
"""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from apgan_jax.assets import asset
from apgan_jax.errors import UserError

PAIRS_FILE = asset('ffpp_test_pairs.tsv')
# They keep the target's identity and take over an expression.
REENACTMENTS = ('Face2Face', 'NeuralTextures')
_OTHER_DATA = 'DeepFakeDetection'
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class DatasetSwap:
    """One swap of the data set.

    Attributes:
      target: number of the video that is changed, '519'.
      source: number of the video that gives the identity.
    """

    target: str
    source: str

    @property
    def name(self) -> str:
        """As the data set names the swapped video, without suffix."""
        return f'{self.target}_{self.source}'


@dataclasses.dataclass(frozen=True)
class FaceForensics:
    """A copy of the data set, whole or in part.

    Attributes:
      root: the folder that holds original_sequences/.
      compression: of the videos.
    """

    root: Path
    compression: str = 'c23'

    def __post_init__(self) -> None:
        if not self._originals.is_dir():
            raise UserError(
                f'--root {self.root}: has no {self._originals.relative_to(self.root)}; give the '
                'folder that the download script of FaceForensics++ wrote'
            )

    @property
    def _originals(self) -> Path:
        return self.root / 'original_sequences' / 'youtube' / self.compression / 'videos'

    @property
    def _manipulated(self) -> Path:
        return self.root / 'manipulated_sequences'

    def original(self, number: str) -> Path:
        """An original video."""
        return self._originals / f'{number}.mp4'

    def swapped(self, method: str, swap: DatasetSwap) -> Path:
        """What a method made of a target."""
        return self._manipulated / method / self.compression / 'videos' / f'{swap.name}.mp4'

    def originals(self) -> list[Path]:
        """All original videos that are there, by number."""
        return sorted(self._originals.glob('*.mp4'))

    def needed(self, method: str, swap: DatasetSwap) -> tuple[Path, Path]:
        """What measuring a swap of a method takes."""
        return self.swapped(method, swap), self.original(swap.target)

    def originals_of(self, swap: DatasetSwap) -> tuple[Path, Path]:
        """The original videos of target and source."""
        return self.original(swap.target), self.original(swap.source)

    def methods(self) -> list[str]:
        """The methods of which there are videos, in alphabetical order.

        DeepFakeDetection, which is distributed beside them, has actors and names of its own.
        """
        if not self._manipulated.is_dir():
            return []
        folders = sorted(f for f in self._manipulated.iterdir() if f.name != _OTHER_DATA)
        return [f.name for f in folders if any((f / self.compression / 'videos').glob('*.mp4'))]

    def methods_of(self, swaps: Sequence[DatasetSwap]) -> list[str]:
        """The methods of which at least one of the swaps is there."""
        return [
            method
            for method in self.methods()
            if any(self.swapped(method, swap).is_file() for swap in swaps)
        ]

    def check_method(self, method: str) -> None:
        """Refuses a method of which there are no videos.

        Raises:
          UserError: there are none.
        """
        if method not in self.methods():
            there = ', '.join(self.methods()) or 'nothing'
            raise UserError(f'--method {method}: {self._manipulated} holds {there}; choose of that')


def official_swaps() -> list[DatasetSwap]:
    """The official test split: each pair in both directions, 140 swaps."""
    with open(PAIRS_FILE, newline='', encoding='utf-8') as file:
        rows = [(row['one'], row['other']) for row in csv.DictReader(file, delimiter='\t')]
    return [DatasetSwap(*pair) for row in rows for pair in (row, row[::-1])]


def parse_swaps(names: Sequence[str]) -> list[DatasetSwap]:
    """Swaps by the names that the data set gives them: '519_515'.

    Raises:
      UserError: a name is no such name.
    """
    swaps = []
    for name in names:
        target, _, source = name.partition('_')
        if not (target.isdigit() and source.isdigit()):
            raise UserError(f'--swaps {name}: must be TARGET_SOURCE, such as 519_515')
        swaps.append(DatasetSwap(target, source))
    return swaps


def those_there(
    needed: Sequence[tuple[DatasetSwap, Sequence[Path]]], what: str
) -> tuple[list[DatasetSwap], str]:
    """The swaps whose files exist, and a line that counts them.

    Args:
      needed: each swap with the files that it needs.
      what: whose they are, for people.

    Raises:
      UserError: of no swap all files exist.
    """
    there = [swap for swap, paths in needed if all(path.is_file() for path in paths)]
    absent = [path for _, paths in needed for path in paths if not path.is_file()]
    if not there:
        raise UserError(
            f'{what}: the files of none of {len(needed)} swaps are there, such as {absent[0]}'
        )
    line = f'{what}: {len(there)} of {len(needed)} swaps are there'
    if absent:
        names = ', '.join(dict.fromkeys(path.stem for path in absent[:_SHOWN]))
        line += f'; missing {names}{", …" if len(absent) > _SHOWN else ""}'
    return there, line
