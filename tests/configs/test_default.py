"""The comments of configs/default.py are the documentation of the fields."""

import re

import pytest

from configs import default
from support.processes import ROOT

LINES = (ROOT / 'configs' / 'default.py').read_text().splitlines()
FIELDS = [
    (place, line.strip())
    for place, line in enumerate(LINES)
    if re.match(r'\s+config\.[a-z_0-9.]+ = (?!ConfigDict)', line)
]


@pytest.mark.parametrize('place, line', FIELDS)
def test_a_comment_of_its_own_explains_each_field(place, line):
    assert LINES[place - 1].strip().startswith('# '), line


def test_these_are_all_fields():
    def count(config):
        return sum(count(value) if hasattr(value, 'items') else 1 for value in config.values())

    assert len(FIELDS) == count(default.get_config())
