"""The page of every config field, from the source of configs/default.py.

The comment lines directly above a field are its description; those above `config.NAME =
ConfigDict()` are the group's.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docs_build.markdown import code, plain, table

_TITLE = """# Every config field

`configs/default.py` has every field; the other files in `configs/` only override. On the command
line a field is `--config.` and its name: `--config.batch_size=32`, or
`--config.loss.style_weight=1000`.
"""


class Entry(NamedTuple):
    """A field, or a group of fields.

    Attributes:
      name: without the leading `config.`.
      value: as it stands in the source; None for a group.
      kind: of the value, such as 'int' or 'tuple of int'; '' for a group.
      description: the comment above it.
    """

    name: str
    value: str | None
    kind: str
    description: str


def read_entries(path: Path) -> list[Entry]:
    """Fields and groups in the order of the file.

    Args:
      path: of a module whose `get_config` assigns literals to `config.…`.

    Raises:
      ValueError: a field has no comment above it.
    """
    source = path.read_text(encoding='utf-8')
    lines = source.splitlines()
    entries = [_entry(node, source, lines) for node in _assignments(ast.parse(source))]
    bare = [entry.name for entry in entries if not entry.description]
    if bare:
        raise ValueError(f'{path}: no comment above {", ".join(bare)}; write what it says')
    return entries


def config_page(path: Path) -> str:
    """The page, in Markdown: a table of the fields outside of groups, then one a group."""
    entries = read_entries(path)
    groups = [entry for entry in entries if entry.value is None]
    parts = [_TITLE, _table(entries, '')]
    for group in groups:
        parts += [f'## {group.name}', plain(group.description), _table(entries, group.name)]
    return '\n\n'.join(parts) + '\n'


def _table(entries: list[Entry], group: str) -> str:
    rows = [
        (code(f'config.{entry.name}'), entry.kind, code(entry.value), plain(entry.description))
        for entry in entries
        if entry.value is not None and entry.name.rpartition('.')[0] == group
    ]
    return table(('field', 'type', 'default', 'what it is'), rows)


def _assignments(tree: ast.Module) -> Iterator[ast.Assign]:
    """Of `get_config`: every `config.NAME = …`."""
    (function,) = (
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == 'get_config'
    )
    for node in function.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            yield node


def _entry(node: ast.Assign, source: str, lines: list[str]) -> Entry:
    name = ast.unparse(node.targets[0]).removeprefix('config.')
    description = _comment_above(lines, node.lineno)
    if isinstance(node.value, ast.Call):
        return Entry(name, None, '', description)
    kind = _kind(ast.literal_eval(node.value))
    return Entry(name, ast.get_source_segment(source, node.value), kind, description)


def _comment_above(lines: list[str], number: int) -> str:
    """The comment lines that end just above line `number` (from 1), joined."""
    found: list[str] = []
    for line in reversed(lines[: number - 1]):
        if not (comment := re.match(r'\s*#\s*(.*)', line)):
            break
        found.insert(0, comment[1])
    # A value in quotes, also the empty one, is code.
    return re.sub(r"(?<!\w)'\w*'(?!\w)", r'`\g<0>`', ' '.join(found))


def _kind(value: object) -> str:
    if isinstance(value, tuple):
        return f'tuple of {_kind(value[0])}' if value else 'tuple'
    return type(value).__name__
