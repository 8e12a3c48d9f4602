import re

import pytest

from apgan_jax.assets import asset
from support.processes import ROOT

SOURCES = [path for folder in ('apgan_jax', 'data_prep') for path in (ROOT / folder).rglob('*.py')]
NAMED = {
    name
    for path in SOURCES
    for name in re.findall(r"\basset\('([^']+)'\)", path.read_text(encoding='utf-8'))
}


def test_the_search_finds_the_files_that_are_known_to_be_asked_for():
    assert {'identity_demo.safetensors', 'identities', 'lite128.safetensors'} <= NAMED


@pytest.mark.parametrize('name', sorted(NAMED))
def test_what_the_code_asks_for_ships(name):
    assert asset(name).exists()


def test_nobody_else_looks_beside_the_code():
    """`__file__` of another module would miss what moves, and what is packed otherwise."""
    beside = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if re.search(r'\b__file__\b', path.read_text(encoding='utf-8'))
    }
    assert beside <= {
        'apgan_jax/assets/__init__.py',
        'apgan_jax/models/native/__init__.py',  # the C++ source that it compiles lies beside it
        'apgan_jax/demo.py',  # the folder of configs
    }
