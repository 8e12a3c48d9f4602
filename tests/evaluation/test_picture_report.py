"""Pictures swapped, pasted and measured, by the shipped bundle and by `apgan swap` itself."""

import json

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation import picture_report
from apgan_jax.evaluation.picture_pairs import PicturesToSwap
from apgan_jax.evaluation.suite import build_suite
from apgan_jax.files.image_files import read_image
from apgan_jax.provenance import manifest
from support.faces import blank, head, portrait, variations, write_photos
from support.scenes import write_clip

KEYS = [
    'sharpness_portraits',
    'sharpness_clips',
    'skin_de',
    'skin_de_p90',
    'self_lpips',
    'self_ssim',
    'smear',
    'occluder_error',
    'sface_source',
    'sface_target',
    'dlib_source',
    'pose_degrees',
]


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    return write_photos(folder, {**variations(), 'generated/1.png': head(), 'blank.png': blank()})


@pytest.fixture(scope='module')
def clip(photos):
    """The head, which moves to the right by a pixel a frame."""
    (photos / 'clips').mkdir()
    frames = [np.ascontiguousarray(portrait()[:256, 100 - n : 356 - n]) for n in range(14)]
    return write_clip(photos / 'clips' / 'moving.mp4', frames)


@pytest.fixture(scope='module')
def report(photos, clip, shipped_swapper):
    """Of three pairs, one of which shows no face, and its sheet."""
    pairs = [
        PicturesToSwap(photos / 'bob/1.png', photos / 'generated/1.png'),
        PicturesToSwap(photos / 'cat/1.png', clip, 3),
        PicturesToSwap(photos / 'bob/2.png', photos / 'blank.png'),
    ]
    sheet = photos / 'sheet.png'
    report, rows = picture_report.report_pictures(
        pairs, [shipped_swapper], build_suite(), dropped=1, sheet=sheet
    )
    return report, rows, sheet


def test_the_last_line_has_exactly_these_numbers(report):
    _, (row,), _ = report
    assert list(row) == ['bundle', 'pairs', 'k', *KEYS]
    assert (row['bundle'], row['pairs'], row['k']) == ('lite128', 2, 1)
    assert json.loads(json.dumps(row)) == row
    assert 0.1 < row['sharpness_portraits'] < 1 and 0.1 < row['sharpness_clips'] < 1
    assert 0 < row['skin_de'] <= row['skin_de_p90'] < 30
    assert 0.5 < row['self_ssim'] < 1 and row['smear'] in (0, 0.5, 1)
    assert row['occluder_error'] > 0
    assert row['sface_source'] > 0.3
    for name in ('self_lpips', 'dlib_source', 'pose_degrees'):
        assert row[name] is None or row[name] > 0


def test_the_table_tells_what_was_measured(report):
    table = report[0].table
    keys = {row.what.key: row for row in table.rows}
    assert {'sharpness', 'smear', 'source_similarity_sface'} <= keys.keys()
    assert 'same_person_lpips' not in keys or keys['same_person_lpips'].what.warning
    assert table.protocol[0] == '2 of 4 pairs of pictures'
    assert 'trained with' in keys['source_similarity_mobilefacenet'].values[0].reason


def test_the_sheet_is_marked_and_shows_all_pairs(report):
    _, _, sheet = report
    assert manifest.verify(sheet).is_marked_synthetic
    # Four pairs beside each other; what is missing is white.
    picture = read_image(sheet)
    assert picture.shape[0] == 200 and picture.shape[1] > 4 * 3 * 200
    assert (picture[:, picture.shape[1] // 2 :] == 255).all()


def test_no_faces_at_all_are_refused(photos, shipped_swapper):
    pairs = [PicturesToSwap(photos / 'blank.png', photos / 'bob/1.png')]
    with pytest.raises(UserError, match='no pair of pictures that show faces'):
        picture_report.evaluate_pictures(pairs, shipped_swapper, build_suite())
