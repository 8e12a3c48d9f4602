"""Pages of the Python interface: one a package, whose modules mkdocstrings reads."""

import ast
from collections.abc import Iterator
from pathlib import Path

from docs_build.markdown import plain, table

PACKAGES = ('apgan_jax', 'data_prep')
INDEX = 'api/index.md'
_INDEX_TITLE = """# Python interface

Signatures and docstrings, by package. Names that begin with an underscore are left out.
"""
# Of a package's own entry: its name is the page's title already.
_NO_HEADING = '    options:\n      show_root_heading: false\n      show_root_toc_entry: false'


def api_pages(root: Path) -> dict[str, str]:
    """Paths under docs/ and their Markdown, the index first.

    Args:
      root: of the repository.
    """
    packages = list(_packages(root))
    rows = [(f'[{_name(root, path)}]({_name(root, path)}.md)', _summary(path)) for path in packages]
    pages = {INDEX: f'{_INDEX_TITLE}\n{table(("package", "what it is"), rows)}\n'}
    return pages | {f'api/{_name(root, path)}.md': _page(root, path) for path in packages}


def _packages(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        for init in sorted((root / package).rglob('__init__.py')):
            yield init.parent


def _page(root: Path, package: Path) -> str:
    name = _name(root, package)
    modules = [path.stem for path in sorted(package.glob('*.py')) if not path.stem.startswith('_')]
    entries = [f'::: {name}\n{_NO_HEADING}', *(f'::: {name}.{module}' for module in modules)]
    return '\n\n'.join([f'# {name}', *entries]) + '\n'


def _name(root: Path, package: Path) -> str:
    return '.'.join(package.relative_to(root).parts)


def _summary(package: Path) -> str:
    tree = ast.parse((package / '__init__.py').read_text(encoding='utf-8'))
    return plain((ast.get_docstring(tree) or '').partition('\n')[0])
