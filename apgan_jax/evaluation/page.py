"""The HTML page of an evaluation: table, curves over the frames, pictures."""

import base64
import html
from collections.abc import Iterator, Mapping, Sequence

from apgan_jax.evaluation.table import Table
from apgan_jax.metrics.metric import Description
from apgan_jax.reports import pages
from apgan_jax.reports.charts import curves_svg

# Of one clip: for each column its values by key, one a frame.
Curves = Mapping[str, Mapping[str, Sequence[float | None]]]


def evaluation_page(
    table: Table, curves: Mapping[str, Curves], sheets: Mapping[str, bytes] | None = None
) -> str:
    """The page as HTML.

    Args:
      table: of the evaluation.
      curves: by name of the clip.
      sheets: marked JPEG files of originals above swapped pictures, by heading.
    """
    body = [f'<h1>{html.escape(table.title)}</h1>', *_table(table), *_notes(table)]
    for name, columns in curves.items():
        body += [f'<h2>{html.escape(name)}</h2>', '<div class="charts">']
        body += [
            _chart(row.what, columns) for row in table.rows if _is_drawn(row.what.key, columns)
        ]
        body.append('</div>')
    body += _sheets(sheets or {})
    return pages.page(table.title, body)


def _table(table: Table) -> Iterator[str]:
    yield '<table><tr><th>metric</th>'
    yield ''.join(f'<th>{html.escape(column)}</th>' for column in table.columns)
    yield '<th>network</th></tr>'
    for heading, values, network in table.cells():
        numbers = ''.join(f'<td class="number">{value}</td>' for value in values)
        yield f'<tr><td>{html.escape(heading)}</td>{numbers}<td>{html.escape(network)}</td></tr>'
    yield '</table>'


def _notes(table: Table) -> Iterator[str]:
    yield '<ul class="notes">'
    yield from (f'<li>{html.escape(note)}</li>' for note in table.notes())
    yield '</ul>'


def _is_drawn(key: str, columns: Curves) -> bool:
    return any(v is not None for values in columns.values() for v in values.get(key, ()))


def _chart(what: Description, columns: Curves) -> str:
    lines = {
        name: {number: value for number, value in enumerate(values[what.key]) if value is not None}
        for name, values in columns.items()
        if any(value is not None for value in values.get(what.key, ()))
    }
    unit = f' ({what.unit})' if what.unit else ''
    network = f', {what.network.name}' if what.network else ''
    return pages.figure(
        what.title + unit,
        dict.fromkeys(lines, ''),
        curves_svg(lines),
        note=html.escape(f'by frame{network}; {what.definition}'),
    )


def _sheets(sheets: Mapping[str, bytes]) -> Iterator[str]:
    if not sheets:
        return
    yield '<h2>Pictures</h2>'
    yield (
        '<p class="synthetic"><b>The lower row of each picture is synthetic</b>: faces in it were '
        'replaced. The upper row is the original.</p>'
    )
    for heading, picture in sheets.items():
        data = base64.b64encode(picture).decode()
        yield (
            f'<figure><figcaption>{html.escape(heading)}</figcaption>'
            f'<img alt="originals above synthetic pictures: {html.escape(heading)}" '
            f'src="data:image/jpeg;base64,{data}"></figure>'
        )
