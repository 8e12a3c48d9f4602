"""The table of an evaluation: numbers beside what tells how they were made."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from apgan_jax.metrics.metric import Description

_ARROWS = {'higher': '↑', 'lower': '↓', 'neither': ''}
_NOTHING = '-'
_HASH_DIGITS = 12


@dataclasses.dataclass(frozen=True)
class Value:
    """One cell.

    Attributes:
      mean: None where there is no number.
      count: frames, pictures or pairs that the number was made of.
      reason: why there is no number, or what is wrong with it.
    """

    mean: float | None
    count: int = 0
    reason: str = ''

    @classmethod
    def mean_of(cls, numbers: Iterable[float | None]) -> Self:
        """The mean over the numbers that are there, if any is."""
        defined = [number for number in numbers if number is not None]
        return cls(float(np.mean(defined)), len(defined)) if defined else cls(None)


@dataclasses.dataclass(frozen=True)
class Row:
    """A metric and its values, one a column."""

    what: Description
    values: tuple[Value, ...]

    def remarks(self, columns: Sequence[str]) -> list[str]:
        """What the cells and the description warn of, each once, with the columns it is about."""
        about: dict[str, list[str]] = {}
        for column, value in zip(columns, self.values, strict=True):
            if value.reason:
                about.setdefault(value.reason, []).append(column)
        found = [
            reason if len(names) == len(columns) else f'{", ".join(names)}: {reason}'
            for reason, names in about.items()
        ]
        return [*found, *([self.what.warning] if self.what.warning else [])]


@dataclasses.dataclass(frozen=True)
class Table:
    """Numbers with their protocol.

    Attributes:
      title: of the table.
      columns: names, of methods or models.
      rows: the metrics.
      protocol: how everything was measured, lines.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    protocol: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        title: str,
        descriptions: Sequence[Description],
        columns: Mapping[str, Mapping[str, Value]],
        protocol: Sequence[str] = (),
    ) -> 'Table':
        """Puts columns of values by key together; a cell that a column lacks stays empty."""
        rows = [
            Row(what, tuple(column.get(what.key, Value(None)) for column in columns.values()))
            for what in descriptions
        ]
        return cls(title, tuple(columns), tuple(rows), tuple(protocol))

    def without_empty_rows(self) -> 'Table':
        """The table less the rows that hold no number and do not say why."""
        kept = [
            row
            for row in self.rows
            if row.remarks(self.columns) or any(value.mean is not None for value in row.values)
        ]
        return dataclasses.replace(self, rows=tuple(kept))

    def text(self) -> str:
        """For a terminal."""
        cells = [
            ['', *self.columns, ''],
            *([head, *values, net] for head, values, net in self.cells()),
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [self.title]
        for row in cells:
            first, *numbers, last = (
                cell.rjust(width) if 0 < place < len(row) - 1 else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append('  '.join([first, *numbers, last]).rstrip())
        return '\n'.join([*lines, *(f'  {line}' for line in self.notes())])

    def markdown(self) -> str:
        """For a document."""
        head = ['metric', *self.columns, 'network']
        rules = ['---', *['---:' for _ in self.columns], '---']
        body = [[first, *values, network] for first, values, network in self.cells()]
        lines = ['| ' + ' | '.join(map(_escaped, row)) + ' |' for row in [head, rules, *body]]
        notes = [f'- {_escaped(note)}' for note in self.notes()]
        return '\n'.join([f'**{_escaped(self.title)}**', '', *lines, '', *notes, ''])

    def as_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                'title': self.title,
                'columns': self.columns,
                'protocol': self.protocol,
                'rows': [_row_fields(row, self.columns) for row in self.rows],
            }
        )

    def cells(self) -> Iterator[tuple[str, list[str], str]]:
        """For each row its heading, its numbers and its network, as text."""
        for row in self.rows:
            what = row.what
            unit = f' ({what.unit})' if what.unit else ''
            heading = f'{what.title}{unit} {_ARROWS[what.better]}'.rstrip()
            yield heading, [_number(value.mean) for value in row.values], _network(what)

    def notes(self) -> list[str]:
        """The protocol, what each row means and what it warns of."""
        notes = list(self.protocol)
        titles = Counter(row.what.title for row in self.rows)
        for row in self.rows:
            what = row.what
            if any(value.mean is not None for value in row.values):
                notes.append(f'{what.title}: {what.definition}')
            name = what.title
            if what.network and titles[name] > 1:
                name = f'{name} ({what.network.name})'
            notes += [f'{name}: {remark}' for remark in row.remarks(self.columns)]
        return list(dict.fromkeys(notes))


def short_hash(sha256: str) -> str:
    """As much of a hash as a table shows."""
    return sha256[:_HASH_DIGITS]


def _number(mean: float | None) -> str:
    return _NOTHING if mean is None else f'{mean:.3f}'


def _network(what: Description) -> str:
    network = what.network
    if network is None:
        return ''
    if not network.sha256:
        return network.name
    return f'{network.name}, {network.file_name} {short_hash(network.sha256)}'


def _row_fields(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    fields = {
        name: getattr(row.what, name)
        for name in ('key', 'title', 'unit', 'better', 'definition', 'warning')
    }
    network = row.what.network and dataclasses.asdict(row.what.network)
    return {
        **fields,
        'network': network,
        'values': [value.mean for value in row.values],
        'counts': [value.count for value in row.values],
        'remarks': row.remarks(columns),
    }


def _escaped(cell: str) -> str:
    return cell.replace('|', '\\|')
