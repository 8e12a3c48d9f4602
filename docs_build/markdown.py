"""Text and tables in Markdown."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r'([\\*_\[\]])')
_PIPE = '&#124;'


def plain(text: str) -> str:
    """Text that means nothing to Markdown, except for `code` in backticks."""
    parts = text.split('`')
    # Every other part is code.
    return ''.join(
        code(part) if number % 2 else _SPECIAL.sub(r'\\\1', _escape(part))
        for number, part in enumerate(parts)
    )


def code(text: str) -> str:
    """Text as code, in a table too."""
    return f'<code>{_escape(text)}</code>' if text else ''


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [titles, ['---'] * len(titles), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def fenced(text: str, language: str = 'text') -> str:
    """A block of code."""
    return f'```{language}\n{text.rstrip()}\n```'


def _escape(text: str) -> str:
    text = text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
    return text.replace('|', _PIPE)
