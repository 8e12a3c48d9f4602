"""One HTML page of a run: warnings, pictures, curves, config; no server, nothing to load.

It is made of the TensorBoard files alone, and may be made while the run goes on.
"""

import base64
import datetime
import html
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from apgan_jax.errors import UserError
from apgan_jax.reports import pages
from apgan_jax.reports.charts import curves_svg, histogram_svg
from apgan_jax.training.run_log import RunLog, read_run

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
    page = render_report(read_run(workdir), title=Path(workdir).resolve().name)
    pages.write_whole(output, page)
    return output


def render_report(log: RunLog, *, title: str) -> str:
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
    return pages.page(title, body)


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
            yield pages.figure(name, last, curves_svg(lines), note=_NOTES.get(name, ''))
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
        yield pages.figure(title, dict.fromkeys(bars, ''), histogram_svg(bars))


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


def _config(log: RunLog) -> Iterator[str]:
    texts = log.texts.get('config')
    if texts:
        last = html.escape(texts[max(texts)])
        yield f'<details><summary><h2>Config</h2></summary><pre>{last}</pre></details>'


def _fields(log: RunLog) -> dict[str, Any]:
    texts = log.texts.get('config')
    return json.loads(texts[max(texts)]) if texts else {}
