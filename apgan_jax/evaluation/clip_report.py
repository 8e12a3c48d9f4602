"""From clips to a report: one column a method, one table, curves and pictures."""

import dataclasses
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from apgan_jax.bundle import Bundle
from apgan_jax.evaluation.clips import PROTOCOL, ClipEvaluator, Series
from apgan_jax.evaluation.columns import with_warnings
from apgan_jax.evaluation.paper import REMARK, paper_column
from apgan_jax.evaluation.pictures import Clip
from apgan_jax.evaluation.report import Report
from apgan_jax.evaluation.suite import Suite
from apgan_jax.evaluation.table import Table, Value
from apgan_jax.files.image_files import is_image
from apgan_jax.inference.contact_sheet import write_contact_sheet
from apgan_jax.metrics.metric import Description, Metric
from apgan_jax.video.reader import probe

# A page of all of FaceForensics++ would be of a size that no browser likes.
_MAX_SHEETS = 12


@dataclasses.dataclass(frozen=True)
class ClipOfPerson:
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
class ClipOptions:
    """How clips are measured and shown.

    Attributes:
      limit: of pictures a clip; None: all.
      with_sheets: whether pictures are wanted.
      paper: keys of `paper.TABLES` to put beside.
    """

    limit: int | None = None
    with_sheets: bool = False
    paper: tuple[str, ...] = ()


ALL_PICTURES = ClipOptions()


class ClipReport:
    """Measures the clips of several methods.

    Args:
      suite: what to measure with.
      title: of the table.
      options: how.
    """

    def __init__(self, suite: Suite, title: str, options: ClipOptions = ALL_PICTURES) -> None:
        self._suite = suite
        self._title = title
        self._options = options
        self._columns: dict[str, Mapping[str, Value]] = {}
        self._identity_rows: dict[str, Description] = {}
        self._curves: dict[str, dict[str, Series]] = defaultdict(dict)
        self._sheets: dict[str, bytes] = {}
        self._notes: list[str] = []
        self._has_sequences = False

    def add_column(self, name: str, clips: Iterable[ClipOfPerson]) -> None:
        """Measures the clips of one method; they may come into being as they are asked for.

        Raises:
          UserError: a file cannot be read, or the two of a clip do not fit.
        """
        evaluator = ClipEvaluator(self._suite)
        metrics: dict[str, Metric] = {}
        trained_with = ''
        for each in clips:
            trained_with = each.bundle.identity_encoder.kind if each.bundle else ''
            metrics |= {metric.key: metric for metric in each.metrics}
            with tqdm(
                total=self._total(each.clip),
                desc=f'{name}: {each.clip.name}',
                unit='picture',
                disable=None,
                leave=False,
            ) as bar:
                result = evaluator.add(
                    each.clip, each.metrics, limit=self._options.limit, on_pair=bar.update
                )
            self._curves[each.clip.name][name] = result.series
            self._has_sequences |= each.clip.is_sequence
            self._notes += result.notes
            if self._options.with_sheets and len(self._sheets) < _MAX_SHEETS:
                heading = f'{name}: {each.clip.name}'
                self._sheets[heading] = _sheet(each, name)
        self._identity_rows = metrics | self._identity_rows
        self._columns[name] = with_warnings(evaluator.values(), metrics.values(), trained_with)

    def finish(self, protocol: Sequence[str] = ()) -> Report:
        """The report on all columns.

        Args:
          protocol: further lines on how it was measured.
        """
        paper, limit = self._options.paper, self._options.limit
        rows = [*self._identity_rows.values(), *self._suite.descriptions()]
        columns = dict(self._columns)
        columns |= {f'paper: {method}': paper_column(method, rows) for method in paper}
        lines = [*PROTOCOL, *protocol, *self._notes, *([REMARK] if paper else [])]
        if limit:
            lines.append(f'of each clip the first {limit} pictures')
        if not self._has_sequences:
            lines.append('pictures that stand alone: no rows of what happens over time')
        table = Table.of(self._title, rows, columns, lines)
        if not self._has_sequences:
            table = table.without_empty_rows()
        return Report(table, self._curves, self._sheets)

    def _total(self, clip: Clip) -> int | None:
        known = len(clip)
        return min(known, self._options.limit or known) or None


def _duration(source: Path | Sequence[Path]) -> float | None:
    """Of a video, seconds; None for pictures."""
    if not isinstance(source, Path) or is_image(source):
        return None
    return probe(source).duration_seconds


def _sheet(each: ClipOfPerson, model: str) -> bytes:
    """Originals above swapped pictures, as a marked JPEG file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'sheet.jpg'
        write_contact_sheet(
            each.clip.target,
            each.clip.swapped,
            path,
            model_name=model,
            bundle_sha256=each.bundle.sha256 if each.bundle else '',
            # Frames of one time, though a part only was swapped.
            end=_duration(each.clip.swapped),
        )
        return path.read_bytes()
