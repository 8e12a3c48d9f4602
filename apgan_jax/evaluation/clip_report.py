"""From clips to a report: one column a method, one table, curves and pictures."""

import dataclasses
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from apgan_jax.bundle import Bundle
from apgan_jax.errors import UserError
from apgan_jax.evaluation import page
from apgan_jax.evaluation.clips import PROTOCOL, ClipEvaluator, Series
from apgan_jax.evaluation.columns import with_warnings
from apgan_jax.evaluation.paper import REMARK, paper_column
from apgan_jax.evaluation.pictures import Clip
from apgan_jax.evaluation.suite import Suite
from apgan_jax.evaluation.table import Table, Value
from apgan_jax.files.image_files import is_image
from apgan_jax.inference.contact_sheet import write_contact_sheet
from apgan_jax.metrics.metric import Description, Metric
from apgan_jax.reports import pages
from apgan_jax.video.reader import probe

REPORT_SUFFIXES = ('.md', '.json', '.html', '.txt')
# A page of all of FaceForensics++ would be of a size that no browser likes.
_MAX_SHEETS = 12


@dataclasses.dataclass(frozen=True)
class Swap:
    """A clip and whom it should show.

    Attributes:
      clip: originals and what became of them.
      metrics: identity rows; none where the source is not known.
      bundle: the model that swapped; None for a method of others.
    """

    clip: Clip
    metrics: Sequence[Metric] = ()
    bundle: Bundle | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """What came of an evaluation.

    Attributes:
      table: the numbers.
      curves: for each clip and column the values by key, one a picture.
      sheets: marked JPEG files by heading.
    """

    table: Table
    curves: Mapping[str, Mapping[str, Series]]
    sheets: Mapping[str, bytes]

    def write(self, path: Path) -> None:
        """Writes it in the format that the suffix names; a file that exists is replaced."""
        texts = {
            '.md': self.table.markdown,
            '.txt': self.table.text,
            '.json': self.table.as_json,
            '.html': lambda: page.render(self.table, self.curves, self.sheets),
        }
        pages.write_whole(path, texts[path.suffix.lower()]().rstrip('\n') + '\n')


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


class Evaluation:
    """Measures the clips of several methods.

    Args:
      suite: what to measure with.
      title: of the table.
      limit: of pictures a clip; None: all.
      with_sheets: whether pictures are wanted.
    """

    def __init__(
        self, suite: Suite, title: str, *, limit: int | None = None, with_sheets: bool = False
    ) -> None:
        self._suite = suite
        self._title = title
        self._limit = limit
        self._with_sheets = with_sheets
        self._columns: dict[str, Mapping[str, Value]] = {}
        self._identity_rows: dict[str, Description] = {}
        self._curves: dict[str, dict[str, Series]] = defaultdict(dict)
        self._sheets: dict[str, bytes] = {}
        self._notes: list[str] = []
        self._has_sequences = False

    def add_column(self, name: str, swaps: Iterable[Swap]) -> None:
        """Measures the clips of one method; they may come into being as they are asked for.

        Raises:
          UserError: a file cannot be read, or the two of a clip do not fit.
        """
        evaluator = ClipEvaluator(self._suite)
        metrics: dict[str, Metric] = {}
        trained_with = ''
        for swap in swaps:
            trained_with = swap.bundle.identity_encoder.kind if swap.bundle else ''
            metrics |= {metric.key: metric for metric in swap.metrics}
            with tqdm(
                total=self._total(swap.clip),
                desc=f'{name}: {swap.clip.name}',
                unit='picture',
                disable=None,
                leave=False,
            ) as bar:
                result = evaluator.add(
                    swap.clip, swap.metrics, limit=self._limit, on_pair=bar.update
                )
            self._curves[swap.clip.name][name] = result.series
            self._has_sequences |= swap.clip.is_sequence
            self._notes += result.notes
            if self._with_sheets and len(self._sheets) < _MAX_SHEETS:
                heading = f'{name}: {swap.clip.name}'
                self._sheets[heading] = _sheet(swap, name)
        self._identity_rows = metrics | self._identity_rows
        self._columns[name] = with_warnings(evaluator.values(), metrics.values(), trained_with)

    def report(self, *, protocol: Sequence[str] = (), paper: Sequence[str] = ()) -> Report:
        """The report on all columns.

        Args:
          protocol: further lines on how it was measured.
          paper: keys of `paper.TABLES` to put beside.
        """
        rows = [*self._identity_rows.values(), *self._suite.descriptions()]
        columns = dict(self._columns)
        columns |= {f'paper: {method}': paper_column(method, rows) for method in paper}
        lines = [*PROTOCOL, *protocol, *self._notes, *([REMARK] if paper else [])]
        if self._limit:
            lines.append(f'of each clip the first {self._limit} pictures')
        if not self._has_sequences:
            lines.append('pictures that stand alone: no rows of what happens over time')
        table = Table.of(self._title, rows, columns, lines)
        if not self._has_sequences:
            table = table.without_empty_rows()
        return Report(table, self._curves, self._sheets)

    def _total(self, clip: Clip) -> int | None:
        known = len(clip)
        return min(known, self._limit or known) or None


def _duration(source: Path | Sequence[Path]) -> float | None:
    """Of a video, seconds; None for pictures."""
    if not isinstance(source, Path) or is_image(source):
        return None
    return probe(source).duration_seconds


def _sheet(swap: Swap, model: str) -> bytes:
    """Originals above swapped pictures, as a marked JPEG file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'sheet.jpg'
        write_contact_sheet(
            swap.clip.target,
            swap.clip.swapped,
            path,
            model_name=model,
            bundle_sha256=swap.bundle.sha256 if swap.bundle else '',
            # Frames of one time, though a part only was swapped.
            end=_duration(swap.clip.swapped),
        )
        return path.read_bytes()
