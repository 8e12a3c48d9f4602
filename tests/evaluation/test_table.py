"""Tables say what was measured by what, in every format."""

import json

from apgan_jax.evaluation.table import Table, Value
from support.tables import GONE, POSE, SSIM, table


def test_markdown_has_numbers_network_hash_and_protocol():
    lines = table().markdown().splitlines()
    assert lines[0] == '**clips**'
    assert lines[2] == '| metric | one | two | network |'
    assert lines[4] == '| pose distance (degrees) ↓ | 1.235 | - | Net\\|A, a.onnx abababababab |'
    assert lines[5] == '| SSIM ↑ | 0.500 | 0.750 |  |'
    assert '- crop: 256 px' in lines
    assert '- SSIM: one: few pictures' in lines


def test_row_without_a_number_says_why_and_not_how():
    notes = table().notes()
    assert 'FID: left out: no network' in notes
    assert 'FID: distance' not in notes


def test_text_columns_are_aligned():
    _, head, first, second, *_ = table().text().splitlines()
    assert head.index('one') + 3 == first.index('1.235') + 5 == second.index('0.500') + 5


def test_json_is_one_line_with_everything():
    text = table().as_json()
    assert '\n' not in text
    row = json.loads(text)['rows'][0]
    assert row['values'] == [1.23456, None]
    assert row['counts'] == [7, 0]
    assert row['network'] == {'name': 'Net|A', 'file_name': 'a.onnx', 'sha256': 'ab' * 32}


def test_empty_rows_can_be_dropped_but_not_those_with_a_reason():
    kept = Table.of('t', [POSE, SSIM, GONE], {'c': {'ssim': Value(1.0)}}).without_empty_rows()
    assert [row.what.key for row in kept.rows] == ['ssim', 'fid']
