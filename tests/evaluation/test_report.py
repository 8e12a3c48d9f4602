"""A report in each format, on disk and on the terminal."""

import json

import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.report import REPORT_SUFFIXES, Report, check_reports
from support.tables import table


@pytest.fixture
def report():
    return Report(table(), {'clip': {'one': {'ssim': [0.5, 0.7]}}}, {'one: clip': b'\xff\xd8'})


def test_the_suffix_chooses_the_format(report, tmp_path):
    texts = {}
    for suffix in REPORT_SUFFIXES:
        path = tmp_path / f'report{suffix.upper()}'
        report.write(path)
        texts[suffix] = path.read_text()
    assert texts['.md'] == table().markdown()
    assert texts['.txt'] == table().text() + '\n'
    assert json.loads(texts['.json'])['title'] == 'clips'
    assert texts['.html'].count('<svg') == 1
    assert texts['.html'].count('data:image/jpeg') == 1
    assert all(text.endswith('\n') and not text.endswith('\n\n') for text in texts.values())


def test_an_older_report_is_replaced(report, tmp_path):
    (tmp_path / 'report.txt').write_text('older')
    report.write(tmp_path / 'report.txt')
    assert 'older' not in (tmp_path / 'report.txt').read_text()
    assert [path.name for path in tmp_path.iterdir()] == ['report.txt']


def test_the_table_is_printed_and_its_json_or_other_lines_last(report, tmp_path, capsys):
    report.publish([tmp_path / 'a.md', tmp_path / 'a.json'])
    lines = capsys.readouterr().out.splitlines()
    assert '\n'.join(lines[:-1]) == table().text()
    assert lines[-1] == table().as_json()
    assert {path.name for path in tmp_path.iterdir()} == {'a.md', 'a.json'}
    report.publish([], ['first', 'second'])
    assert capsys.readouterr().out.splitlines()[-2:] == ['first', 'second']


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('a.pdf', r'must end in one of \.md, \.json, \.html, \.txt'),
        ('folder.md', 'is a folder; choose another name'),
        ('none/a.md', 'no such folder; make .*none first'),
    ],
)
def test_names_that_no_report_can_have_are_refused(tmp_path, name, words):
    (tmp_path / 'folder.md').mkdir()
    with pytest.raises(UserError, match=words):
        check_reports([tmp_path / 'good.html', tmp_path / name])
