"""Tables say what was measured by what, in every format."""

import json

from apgan_jax.evaluation import page
from apgan_jax.evaluation.paper import TABLES, paper_column
from apgan_jax.evaluation.table import Table, Value
from apgan_jax.metrics.metric import Description
from apgan_jax.networks.network import NetworkInfo

NETWORK = NetworkInfo('Net|A', 'a.onnx', 'ab' * 32)
POSE = Description('pose_x', 'pose distance', 'norm of angles', 'lower', 'degrees', NETWORK)
SSIM = Description('ssim', 'SSIM', 'window of sigma 1.5', 'higher')
GONE = Description('fid', 'FID', 'distance', 'lower', warning='left out: no network')


def table():
    columns = {
        'one': {'pose_x': Value(1.23456, 7), 'ssim': Value(0.5, 9, 'few pictures')},
        'two': {'ssim': Value(0.75, 9)},
    }
    return Table.of('clips', [POSE, SSIM, GONE], columns, ['crop: 256 px'])


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


def test_page_escapes_and_draws_a_curve_of_each_measured_row():
    series = {'one': {'ssim': [0.5, None, 0.7]}, 'two': {'ssim': [None, None, None]}}
    text = page.evaluation_page(table(), {'<clip>': series})
    assert '&lt;clip&gt;' in text
    assert '<clip>' not in text
    assert text.count('<svg') == 1
    assert '1.235' in text


def test_paper_numbers_go_to_the_first_row_of_each_quantity():
    rows = [
        Description('pose_3ddfa', '', '', 'lower'),
        Description('pose_mediapipe', '', '', 'lower'),
        Description('fwe', '', '', 'lower'),
        Description('fwe_short', '', '', 'lower'),
    ]
    column = paper_column('DeepFakes', rows)
    assert {key: value.mean for key, value in column.items()} == {'pose_3ddfa': 4.87, 'fwe': 0.27}
    assert all(len(numbers) == 7 for numbers in TABLES.values())
