"""HTML pages that stand alone: no server, no script, nothing to load."""

import html
from collections.abc import Iterable, Mapping
from pathlib import Path

from apgan_jax.errors import UserError
from apgan_jax.files.atomic import whole_file
from apgan_jax.reports.charts import colours

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
text-align:center;font-size:13px;color:#555}figure>img{max-width:100%}
table{border-collapse:collapse;margin:1em 0}td,th{border-bottom:1px solid #ddd;padding:.2em .8em;
text-align:left}td.number{text-align:right;font-variant-numeric:tabular-nums}.notes{font-size:13px;
color:#555}pre{background:#f6f6f6;padding:1em;overflow:auto}
"""


def page(title: str, body: Iterable[str]) -> str:
    """A page.

    Args:
      title: plain text.
      body: HTML, from the heading on.
    """
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{html.escape(title)}</title><style>{_STYLE}</style>\n' + '\n'.join(body) + '\n'
    )


def figure(name: str, lines: Mapping[str, str], svg: str, *, note: str = '') -> str:
    """A chart with its heading.

    Args:
      name: of the chart.
      lines: what to say of each line beside its name, in the order of their colours.
      svg: the chart.
      note: HTML below the heading.
    """
    legend = ''.join(
        f'<span style="color:{colour}">{html.escape(line)} {value}</span>'
        for (line, value), colour in zip(lines.items(), colours(len(lines)), strict=True)
    )
    return (
        f'<figure><figcaption>{html.escape(name.replace("_", " "))}{legend}</figcaption>'
        f'<p class="note">{note}</p>{svg}</figure>'
    )


def write_whole(path: Path, text: str) -> None:
    """Writes a text file so that whoever reads it meanwhile gets the old one or the new one.

    Raises:
      UserError: it cannot be written.
    """
    try:
        with whole_file(path) as part:
            part.write_text(text, encoding='utf-8')
    except OSError as error:
        raise UserError(f'{path}: cannot be written ({error.strerror}); choose another') from error
