"""What became of the faces of a target, for the report at the end."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

Fate = Literal['swapped', 'blurred', 'left']


class Doubtful(NamedTuple):
    """Where somebody may be recognisable, after all that could be done.

    Attributes:
      time: of the frame, seconds.
      box: (left, top, right, bottom), pixels.
      file: of a folder, whose frame it is; '' where there is one file only.
    """

    time: float
    box: tuple[float, float, float, float]
    file: str = ''

    def __str__(self) -> str:
        left, top, right, bottom = (round(edge) for edge in self.box)
        place = f'at {self.time:.2f} s from {left}, {top} to {right}, {bottom}'
        return f'{self.file} {place}' if self.file else place


@dataclasses.dataclass
class PersonCounts:
    """What became of one person's face.

    Attributes:
      frames: that it was seen in.
      swapped: frames in which it was swapped.
      blurred: in which it was blurred because it could not be swapped, or stayed too alike.
      left: in which it had no role.
    """

    frames: int = 0
    swapped: int = 0
    blurred: int = 0
    left: int = 0

    @property
    def fate(self) -> Fate:
        """The weightiest of what became of it: of one picture, what became of it there."""
        return 'swapped' if self.swapped else 'blurred' if self.blurred else 'left'

    def add(self, other: 'PersonCounts') -> None:
        """Counts other frames too."""
        for field in dataclasses.fields(self):
            name = field.name
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclasses.dataclass
class FaceCounts:
    """What became of the faces of some frames.

    Attributes:
      frames: frames seen.
      without_face: frames in which no face was found.
      people: of each person, by number from 0.
      others: of faces that nobody followed; as many frames as faces.
      doubtful: faces that may be recognisable.
    """

    frames: int = 0
    without_face: int = 0
    people: dict[int, PersonCounts] = dataclasses.field(default_factory=dict)
    others: PersonCounts = dataclasses.field(default_factory=PersonCounts)
    doubtful: list[Doubtful] = dataclasses.field(default_factory=list)

    @property
    def swapped(self) -> int:
        """Faces swapped."""
        return self._sum('swapped')

    @property
    def blurred(self) -> int:
        """Faces blurred."""
        return self._sum('blurred')

    @property
    def left(self) -> int:
        """Faces left as they are."""
        return self._sum('left')

    def _sum(self, fate: Fate) -> int:
        everybody = [*self.people.values(), self.others]
        return sum(int(getattr(counts, fate)) for counts in everybody)

    def count(self, fate: Fate, person: int | None = None) -> None:
        """Counts one face more, of somebody whose frames are counted, or of nobody known."""
        counts = self.others if person is None else self.people[person]
        setattr(counts, fate, getattr(counts, fate) + 1)
        if person is None:
            counts.frames += 1

    def add(self, other: 'FaceCounts') -> None:
        """Counts the frames of another one too."""
        self.frames += other.frames
        self.without_face += other.without_face
        for person, counts in other.people.items():
            self.people.setdefault(person, PersonCounts()).add(counts)
        self.others.add(other.others)
        self.doubtful += other.doubtful

    def forget_people(self) -> None:
        """Counts everybody among the others: numbers mean nothing from one file to the next."""
        for counts in self.people.values():
            self.others.add(counts)
        self.people.clear()

    def name_file(self, file: str) -> None:
        """Says of the doubtful faces in which file of a folder they are."""
        self.doubtful = [each._replace(file=file) for each in self.doubtful]

    def tree(self) -> dict[str, Any]:
        """As JSON values, which do not change later."""
        people = {str(person): vars(counts).copy() for person, counts in self.people.items()}
        return {
            'frames': self.frames,
            'without_face': self.without_face,
            'people': people,
            'others': vars(self.others).copy(),
            'doubtful': [[each.time, *each.box] for each in self.doubtful],
        }

    @classmethod
    def of_tree(cls, tree: dict[str, Any]) -> Self:
        """Those that `tree` is of."""
        people = {int(person): PersonCounts(**each) for person, each in tree['people'].items()}
        others = PersonCounts(**tree['others'])
        doubtful = [Doubtful(time, tuple(box)) for time, *box in tree['doubtful']]
        return cls(tree['frames'], tree['without_face'], people, others, doubtful)

    def lines(self) -> list[str]:
        """For a terminal."""
        lines = [f'{self.swapped} faces swapped in {self.frames} frames']
        if self.blurred:
            lines.append(f'{self.blurred} faces could not be swapped safely and were blurred')
        if self.without_face:
            lines.append(f'{self.without_face} frames without a face')
        if self.left:
            lines.append(f'{self.left} faces were left as they are')
        if len(self.people) > 1:
            lines += self._table()
        return lines + self._doubtful_lines()

    def _table(self) -> list[str]:
        """A row for each person, from 1, as `--face` counts them."""
        rows = [(str(person + 1), self.people[person]) for person in sorted(self.people)]
        if self.others.frames:
            rows.append(('others', self.others))
        columns = [field.name for field in dataclasses.fields(PersonCounts)]
        cells = [['person', *columns]]
        cells += [
            [name, *(str(getattr(counts, each)) for each in columns)] for name, counts in rows
        ]
        return [_row(row) for row in cells]

    def _doubtful_lines(self) -> list[str]:
        if not self.doubtful:
            return []
        first = f'{len(self.doubtful)} faces may be recognisable still:'
        return [first, *(f'  {each}' for each in self.doubtful)]


def _row(cells: Sequence[str]) -> str:
    return '  ' + ''.join(cell.rjust(9) for cell in cells)
