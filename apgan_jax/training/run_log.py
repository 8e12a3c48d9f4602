"""A run's TensorBoard files read back.

They are TFRecords, and may be read while the run goes on. A run that was killed and resumed has
several files: where two tell of the same step the later one holds, and what a session wrote after
the checkpoint that the next one started from is dropped (TensorBoard's purge step). The record that
is being written ends a file.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event, SessionLog

from apgan_jax.data import tfrecord
from apgan_jax.errors import UserError

Series = dict[int, float]

_TEXT_SUFFIX = '/text_summary'
_RECORD_OVERHEAD = 16  # bytes: length, its checksum, the record's
_SESSION_STARTS = SessionLog.START


@dataclasses.dataclass
class RunLog:
    """What a run's TensorBoard files hold, by tag and step.

    Attributes:
      scalars: numbers.
      pictures: encoded images.
      histograms: (edges, counts), one edge more than counts.
      texts: strings.
      written: when the last of it was, seconds since 1970.
      sessions: starts of the run, resumed ones included.
    """

    scalars: dict[str, Series] = dataclasses.field(default_factory=dict)
    pictures: dict[str, dict[int, bytes]] = dataclasses.field(default_factory=dict)
    histograms: dict[str, dict[int, tuple[list[float], list[float]]]] = dataclasses.field(
        default_factory=dict
    )
    texts: dict[str, dict[int, str]] = dataclasses.field(default_factory=dict)
    written: float = 0.0
    sessions: int = 0

    @property
    def last_step(self) -> int:
        """Of any number; 0 before the first."""
        return max((max(series) for series in self.scalars.values() if series), default=0)

    def _groups(self) -> tuple[dict[str, dict[int, Any]], ...]:
        return self.scalars, self.pictures, self.histograms, self.texts

    def _purge(self, step: int) -> None:
        """Drops what is of this step or a later one."""
        for group in self._groups():
            for tag, values in group.items():
                group[tag] = {at: value for at, value in values.items() if at < step}

    def _add(self, event: Event) -> None:
        self.written = max(self.written, event.wall_time)
        if event.session_log.status == _SESSION_STARTS:
            self.sessions += 1
            self._purge(event.step)
        for value in event.summary.value:
            group, content = self._read(value)
            group.setdefault(value.tag.removesuffix(_TEXT_SUFFIX), {})[event.step] = content

    def _read(self, value: Any) -> tuple[dict[str, dict[int, Any]], Any]:
        kind = value.WhichOneof('value')
        if kind == 'image':
            return self.pictures, value.image.encoded_image_string
        if kind == 'histo':
            return self.histograms, _bars(value.histo)
        if kind == 'tensor':
            return self.texts, value.tensor.string_val[0].decode()
        return self.scalars, value.simple_value


def read_run(workdir: Path) -> RunLog:
    """Reads WORKDIR/tensorboard.

    Raises:
      UserError: there are no TensorBoard files.
    """
    paths = sorted((Path(workdir) / 'tensorboard').glob('events.out.tfevents.*'))
    if not paths:
        raise UserError(
            f'{workdir}: holds no tensorboard/ files; give the --workdir of a training run'
        )
    # One file a session; names begin with the second that it was made in.
    events = sorted((list(_events(path)) for path in paths), key=_first_time)
    log = RunLog()
    for session in events:
        for event in session:
            log._add(event)
    return log


def _first_time(events: Sequence[Event]) -> float:
    return events[0].wall_time if events else 0.0


def _events(path: Path) -> Iterator[Event]:
    offset, size = 0, path.stat().st_size
    with open(path, 'rb') as file:
        while offset < size:
            try:
                record = tfrecord.read_record(file.fileno(), offset, path)
            except tfrecord.CorruptRecordError:
                # The writer is inside this record, or was killed there.
                return
            yield Event.FromString(record)
            offset += len(record) + _RECORD_OVERHEAD


def _bars(histogram: Any) -> tuple[list[float], list[float]]:
    """Edges and counts; TensorBoard's first bucket is everything below its limit: empty here."""
    return list(histogram.bucket_limit), list(histogram.bucket)[1:]
