"""Columns of clips, and what the report says of how they were measured."""

import base64

from apgan_jax.evaluation import clip_report
from apgan_jax.evaluation.clip_report import ClipOfPerson, ClipOptions, ClipReport
from apgan_jax.evaluation.paper import REMARK
from apgan_jax.evaluation.pictures import Clip
from apgan_jax.files.image_files import write_image
from apgan_jax.provenance import manifest
from support.evaluations import evaluate
from support.faces import blank


def test_pictures_of_a_page_are_marked(clips, tmp_path):
    original = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos' / '001.mp4'
    page = tmp_path / 'page.html'
    assert (
        evaluate('--target', original, '--swapped', original, '--frames', 2, '--output', page) == 0
    )
    encoded = page.read_text().split('data:image/jpeg;base64,')[1].split('"')[0]
    sheet = tmp_path / 'sheet.jpg'
    sheet.write_bytes(base64.b64decode(encoded))
    assert manifest.verify(sheet).is_marked_synthetic


def faceless(folder, count):
    """A clip of pictures that show nobody and stand alone."""
    folder.mkdir()
    paths = [folder / f'{number}.png' for number in range(count)]
    for path in paths:
        write_image(path, blank())
    return ClipOfPerson(Clip(folder.name, paths, paths, is_sequence=False))


def test_the_report_says_how_clips_were_measured(suite, tmp_path):
    report = ClipReport(suite, 'title', ClipOptions(limit=2, paper=('AP-GAN',)))
    report.add_column('a', [faceless(tmp_path / 'one', 3), faceless(tmp_path / 'two', 1)])
    result = report.finish(['line of the caller'])
    assert result.table.columns == ('a', 'paper: AP-GAN')
    assert {
        'line of the caller',
        'of each clip the first 2 pictures',
        'pictures that stand alone: no rows of what happens over time',
        REMARK,
    } <= set(result.table.protocol)
    (aee,) = (row for row in result.table.rows if row.what.key == 'aee')
    assert [value.mean for value in aee.values] == [None, 1.5]
    # No face: a curve without a point.
    assert {name: columns['a']['ssim'] for name, columns in result.curves.items()} == {
        'one': [None, None],
        'two': [None],
    }
    assert result.sheets == {}


def test_sheets_are_few_and_rows_of_nothing_left_out(suite, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_report, '_MAX_SHEETS', 2)
    report = ClipReport(suite, 'title', ClipOptions(with_sheets=True))
    report.add_column('a', [faceless(tmp_path / name, 1) for name in 'xyz'])
    result = report.finish()
    assert 'aee' not in {row.what.key for row in result.table.rows}
    sheets = result.sheets
    assert list(sheets) == ['a: x', 'a: y']
    assert all(sheet.startswith(b'\xff\xd8') for sheet in sheets.values())
