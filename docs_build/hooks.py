"""MkDocs calls this while it builds the site (`hooks:` in mkdocs.yml)."""

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs_build.api_pages import api_pages
from docs_build.command_page import command_page
from docs_build.config_page import config_page
from docs_build.home_page import home_page

_ROOT = Path(__file__).resolve().parents[1]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the pages of the Python interface to the menu."""
    pages: list[Any] = [{Path(path).stem: path} for path in list(api_pages(_ROOT))[1:]]
    assert config.nav is not None
    config.nav.append({'Python interface': ['api/index.md', *pages]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made of the code."""
    for path, text in _generated().items():
        files.append(File.generated(config, path, content=text))
    return files


def _generated() -> dict[str, str]:
    return {
        'index.md': home_page((_ROOT / 'README.md').read_text(encoding='utf-8')),
        'reference/config.md': config_page(_ROOT / 'configs' / 'default.py'),
        'reference/commands.md': command_page(_ROOT),
        **api_pages(_ROOT),
    }
