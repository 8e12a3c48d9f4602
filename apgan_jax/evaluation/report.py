"""What an evaluation hands over: numbers, curves and pictures, in the formats of --output."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from apgan_jax.errors import UserError
from apgan_jax.evaluation import page
from apgan_jax.evaluation.page import Curves
from apgan_jax.evaluation.table import Table
from apgan_jax.reports import pages

REPORT_SUFFIXES = ('.md', '.json', '.html', '.txt')


@dataclasses.dataclass(frozen=True)
class Report:
    """What came of an evaluation.

    Attributes:
      table: the numbers.
      curves: for each clip and column the values by key, one a picture.
      sheets: marked JPEG files by heading.
    """

    table: Table
    curves: Mapping[str, Curves]
    sheets: Mapping[str, bytes]

    def write(self, path: Path) -> None:
        """Writes it in the format that the suffix names; a file that exists is replaced."""
        texts = {
            '.md': self.table.markdown,
            '.txt': self.table.text,
            '.json': self.table.as_json,
            '.html': lambda: page.evaluation_page(self.table, self.curves, self.sheets),
        }
        pages.write_whole(path, texts[path.suffix.lower()]().rstrip('\n') + '\n')

    def publish(self, outputs: Iterable[Path], last_lines: Iterable[str] = ()) -> None:
        """Writes it to files and prints its table.

        Args:
          outputs: see `write`.
          last_lines: printed below the table; its JSON if there are none.
        """
        for path in outputs:
            self.write(path)
        print('\n'.join([self.table.text(), *(last_lines or [self.table.as_json()])]))


def check_reports(paths: Iterable[Path]) -> None:
    """Refuses names that no report can have, before any work is done.

    Raises:
      UserError: an unknown suffix, or no such folder.
    """
    for path in paths:
        if path.suffix.lower() not in REPORT_SUFFIXES:
            known = ', '.join(REPORT_SUFFIXES)
            raise UserError(f'--output {path}: the name must end in one of {known}')
        if path.is_dir():
            raise UserError(f'--output {path}: is a folder; choose another name')
        if not path.parent.is_dir():
            raise UserError(f'--output {path}: no such folder; make {path.parent} first')
