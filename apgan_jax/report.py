"""One HTML page of a run: warnings, pictures, curves, config; no server, nothing to load.

It is made of the TensorBoard files alone, which are TFRecords, and may be made while the run goes
on. A run that was killed and resumed has several files: where two tell of the same step the later
one holds, and what a session wrote after the checkpoint that the next one started from is dropped
(TensorBoard's purge step). The record that is being written ends a file.
"""

import base64
import dataclasses
import datetime
import html
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event, SessionLog

from apgan_jax.data import records
from apgan_jax.errors import UserError

Series = dict[int, float]

_TEXT_SUFFIX = '/text_summary'
_RECORD_OVERHEAD = 16  # bytes: length, its checksum, the record's
_SESSION_STARTS = SessionLog.START

# --- Reading --------------------------------------------------------------------------------------


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
                record = records.read_record(file.fileno(), offset, path)
            except records.CorruptRecordError:
                # The writer is inside this record, or was killed there.
                return
            yield Event.FromString(record)
            offset += len(record) + _RECORD_OVERHEAD


def _bars(histogram: Any) -> tuple[list[float], list[float]]:
    """Edges and counts; TensorBoard's first bucket is everything below its limit: empty here."""
    return list(histogram.bucket_limit), list(histogram.bucket)[1:]


# --- Drawing --------------------------------------------------------------------------------------

_WIDTH, _HEIGHT = 440, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 24
_MOST_POINTS = 600
# Okabe and Ito's, which colour-blind readers tell apart.
_COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7')


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers in [low, high]."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    distance = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    first = math.ceil(low / distance - 1e-9)
    return [number * distance for number in range(first, math.floor(high / distance + 1e-9) + 1)]


def thin(series: Series, most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """Finite points by step, means of neighbours where there are more than `most`."""
    points = [(step, value) for step, value in sorted(series.items()) if math.isfinite(value)]
    size = -(-len(points) // most) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x) / len(x), sum(y) / len(y)) for x, y in (zip(*g, strict=True) for g in groups)]


@dataclasses.dataclass(frozen=True)
class _Axes:
    """From numbers to SVG's user units, with some room above and below."""

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        """Of a step or a cosine."""
        part = (value - self.left) / (self.right - self.left)
        return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Of a number."""
        part = (value - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM)

    def svg(self) -> Iterator[str]:
        """Grid lines and numbers."""
        for value in ticks(self.low, self.high):
            y = self.y(value)
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>'
        for value in ticks(self.left, self.right):
            x = self.x(value)
            yield f'<path class="grid" d="M{x:.1f} {_HEIGHT - _BOTTOM}v4"/>'
            yield (
                f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{_short(value)}</text>'
            )


def curves_svg(lines: Mapping[str, Series]) -> str:
    """A chart of one or more lines over the steps."""
    points = {name: thin(series) for name, series in lines.items()}
    steps = [x for line in points.values() for x, _ in line]
    values = [y for line in points.values() for _, y in line]
    axes = _Axes(*_spread(min(steps), max(steps), 0.0), *_spread(min(values), max(values), 0.08))
    drawn = [
        _line_svg([(axes.x(x), axes.y(y)) for x, y in line], colour)
        for line, colour in zip(points.values(), _cycle(len(points)), strict=True)
    ]
    return _svg([*axes.svg(), *drawn])


def histogram_svg(bars: Mapping[str, tuple[list[float], list[float]]]) -> str:
    """Outlines of histograms over cosines, [-1, 1]."""
    tallest = max(max(counts) for _, counts in bars.values())
    axes = _Axes(-1.0, 1.0, 0.0, 1.05 * tallest)
    drawn = [
        _line_svg([(axes.x(x), axes.y(y)) for x, y in _outline(*each)], colour)
        for each, colour in zip(bars.values(), _cycle(len(bars)), strict=True)
    ]
    return _svg([*axes.svg(), *drawn])


def _outline(edges: list[float], counts: list[float]) -> Iterator[tuple[float, float]]:
    yield edges[0], 0.0
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        yield left, count
        yield right, count
    yield edges[-1], 0.0


def _line_svg(points: Sequence[tuple[float, float]], colour: str) -> str:
    if len(points) == 1:
        ((x, y),) = points
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
    return f'<polyline points="{path}" stroke="{colour}"/>'


def _svg(parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'


def _spread(low: float, high: float, room: float) -> tuple[float, float]:
    span = (high - low) or abs(high) or 1.0
    return (low - room * span, high + room * span) if high > low else (low - span, high + span)


def _cycle(count: int) -> list[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]


def _short(value: float) -> str:
    return f'{value / 1000:g}k' if abs(value) >= 1000 else f'{value:g}'


# --- The page -------------------------------------------------------------------------------------

_ENDINGS = ('_source', '_target')
# The first of these sections that a tag begins with.
_SECTIONS = {
    'heldout': 'Held-out pairs (people that training does not see)',
    'train_pairs': 'Fixed pairs of the training set (no measure of people unseen)',
    'train': 'Training batches',
    'speed': 'Speed and memory',
}
_NOTES = {
    'encoder': 'Cosine of the swapped face to source and target, by the encoder trained with.',
    'sface': 'The same by SFace, which no loss sees.',
    'ssim': 'Structural similarity to the target.',
    'pose_degrees': 'Distance of yaw, pitch and roll to the target (3DDFA_V2).',
    'cos': 'Cosine of the swapped face to source and target. A model that copies its target has '
    'the second above the first.',
    'data_wait_share': 'Of the time between two log lines, spent waiting for data.',
    'utilisation': 'Share of the bfloat16 peak of all devices.',
}
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:1400px;margin:2em auto;
padding:0 1em}h1{margin-bottom:0}h2{margin-top:2em;border-bottom:1px solid #ddd}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(400px,1fr));gap:1.2em 2em}
figure{margin:0}figcaption{font-weight:600}figcaption span{font-weight:400;margin-left:.8em}
p.note{font-size:13px;color:#555;margin:0}svg{width:100%;height:auto}
svg text{font-size:11px;fill:#555}
svg polyline{fill:none;stroke-width:1.6;stroke-linejoin:round}svg .grid{stroke:#e4e4e4;fill:none}
.warning{border-left:5px solid #d55e00;background:#fdf1e8;padding:.5em 1em;margin:.6em 0}
.synthetic{border-left:5px solid #0072b2;background:#eaf3fa;padding:.5em 1em}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(400px,1fr));gap:1.2em}
.pictures img{width:100%;display:block}.columns{display:grid;grid-template-columns:repeat(4,1fr);
text-align:center;font-size:13px;color:#555}pre{background:#f6f6f6;padding:1em;overflow:auto}
"""


def write_report(workdir: Path, output: Path | None = None) -> Path:
    """Writes the page of a run; one that exists is replaced.

    Args:
      workdir: of the run.
      output: where to; WORKDIR/report.html by default.

    Returns:
      Where it is.

    Raises:
      UserError: no run there, or an output that is not to be called a page.
    """
    output = Path(workdir) / 'report.html' if output is None else Path(output)
    if output.suffix.lower() not in ('.html', '.htm'):
        raise UserError(f'--output {output}: the name must end in .html')
    if not output.parent.is_dir():
        raise UserError(f'--output {output}: no such folder; make {output.parent} first')
    page = render(read_run(workdir), title=Path(workdir).resolve().name)
    # A browser that reloads meanwhile gets the old page or the new one.
    part = output.with_name(f'.{output.name}.part')
    part.write_text(page, encoding='utf-8')
    part.replace(output)
    return output


def render(log: RunLog, *, title: str) -> str:
    """The page as HTML."""
    body = [
        f'<h1>{html.escape(title)}</h1>',
        _status(log),
        '<p class="synthetic"><b>The “swapped” pictures on this page are synthetic</b>: a model '
        'generated them and nobody posed for them. The others are photos of the data set: '
        'whoever gets this page gets them too.</p>',
        *_warnings(log),
        *_pictures(log),
        *_charts(log),
        *_config(log),
    ]
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{html.escape(title)}</title><style>{_STYLE}</style>\n' + '\n'.join(body) + '\n'
    )


def _status(log: RunLog) -> str:
    when = datetime.datetime.fromtimestamp(log.written, datetime.UTC)
    total = _fields(log).get('num_steps')
    parts = [
        f'step {log.last_step:,}' + (f' of {total:,}' if total else ''),
        f'last written {when:%Y-%m-%d %H:%M:%S} UTC',
        f'started {log.sessions} times' if log.sessions > 1 else 'started once',
    ]
    return f'<p>{" · ".join(parts)}</p>'


def _warnings(log: RunLog) -> Iterator[str]:
    for tag, texts in sorted(log.texts.items()):
        if tag.startswith('warnings/'):
            for _, text in sorted(texts.items()):
                name = tag.removeprefix('warnings/').replace('_', ' ')
                yield f'<p class="warning"><b>{name}</b><br>{html.escape(text)}</p>'


def _pictures(log: RunLog, most: int = 6) -> Iterator[str]:
    for tag, by_step in log.pictures.items():
        if not by_step:
            continue
        name = _SECTIONS.get(tag.partition('/')[0], tag)
        yield f'<h2>{html.escape(name)}: pictures by the averaged weights</h2>'
        yield '<div class="pictures">'
        for step in _evenly(sorted(by_step), most):
            yield _picture(step, by_step[step])
        yield '</div>'


def _picture(step: int, encoded: bytes) -> str:
    data = base64.b64encode(encoded).decode()
    columns = ''.join(f'<span>{c}</span>' for c in ('source', 'target', 'boundary map', 'swapped'))
    return (
        f'<figure><figcaption>step {step:,}</figcaption><div class="columns">{columns}</div>'
        f'<img alt="rows of source, target, boundary map and synthetic picture at step {step}" '
        f'src="data:image/jpeg;base64,{data}"></figure>'
    )


def _evenly(steps: Sequence[int], most: int) -> list[int]:
    """At most `most` of them, the first and the last included."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(place * (len(steps) - 1) / (most - 1))] for place in range(most)]


def _charts(log: RunLog) -> Iterator[str]:
    for section, heading in _SECTIONS.items():
        charts = _by_chart({k: v for k, v in log.scalars.items() if k.startswith(f'{section}/')})
        if not charts:
            continue
        yield f'<h2>{heading}</h2><div class="charts">'
        for name, lines in charts.items():
            last = {line: f'{list(series.values())[-1]:.4g}' for line, series in lines.items()}
            yield _figure(name, last, curves_svg(lines))
        yield from _histograms(log, section)
        yield '</div>'


def _histograms(log: RunLog, section: str) -> Iterator[str]:
    tags = {tag: by_step for tag, by_step in log.histograms.items() if by_step}
    start = f'{section}/pairs/'
    charts = _by_chart({k: v for k, v in tags.items() if k.startswith(start)})
    for name, lines in charts.items():
        step = max(max(by_step) for by_step in lines.values())
        bars = {line: by_step[step] for line, by_step in lines.items() if step in by_step}
        title = f'{name.removeprefix("pairs/")}: number of pairs by cosine, step {step:,}'
        yield _figure(title, bars, histogram_svg(bars))


def _by_chart(tags: Mapping[str, Mapping[int, Any]]) -> dict[str, dict[str, Any]]:
    """Tags without their group; `x_source` and `x_target` share a chart; empty ones are left out.

    Lines without a finite point are left out too.
    """
    charts: dict[str, dict[str, Any]] = {}
    for tag, by_step in tags.items():
        if not any(not isinstance(v, float) or math.isfinite(v) for v in by_step.values()):
            continue
        name = tag.partition('/')[2]
        chart = name
        for ending in _ENDINGS:
            chart = chart.removesuffix(ending)
        line = name.removeprefix(chart).strip('_')
        charts.setdefault(chart, {})[line] = dict(sorted(by_step.items()))
    return charts


def _figure(name: str, lines: Mapping[str, Any], svg: str) -> str:
    legend = ''.join(
        f'<span style="color:{colour}">{line} {value if isinstance(value, str) else ""}</span>'
        for (line, value), colour in zip(lines.items(), _cycle(len(lines)), strict=True)
    )
    note = _NOTES.get(name, '')
    return (
        f'<figure><figcaption>{html.escape(name.replace("_", " "))}{legend}</figcaption>'
        f'<p class="note">{note}</p>{svg}</figure>'
    )


def _config(log: RunLog) -> Iterator[str]:
    texts = log.texts.get('config')
    if texts:
        last = html.escape(texts[max(texts)])
        yield f'<details><summary><h2>Config</h2></summary><pre>{last}</pre></details>'


def _fields(log: RunLog) -> dict[str, Any]:
    texts = log.texts.get('config')
    return json.loads(texts[max(texts)]) if texts else {}
