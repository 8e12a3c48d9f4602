"""Pictures swapped, pasted and measured, by the shipped bundle and by `apgan swap` itself."""

import json

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation import picture_report, picture_sheet
from apgan_jax.evaluation.pasted import FRAMES_BEFORE, PictureSwapper
from apgan_jax.evaluation.picture_pairs import PicturesToSwap
from apgan_jax.evaluation.suite import build_suite
from apgan_jax.files.image_files import read_image
from apgan_jax.inference.blend import DEFAULT_BLEND, Blend
from apgan_jax.inference.jobs import swap_job
from apgan_jax.inference.swap import swap_file
from apgan_jax.provenance import manifest
from apgan_jax.video.reader import VideoReader
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


def test_a_photo_is_swapped_as_by_the_command(photos, shipped_swapper, tmp_path):
    blend = Blend(keep_hair=True)
    job, source = swap_job(shipped_swapper, [photos / 'bob/2.png'], blend=blend)
    swap_file(photos / 'dan/1.png', tmp_path / 'swapped.png', job=job)
    with PictureSwapper(shipped_swapper, blend) as pictures:
        swapped = pictures.photo(read_image(photos / 'dan/1.png'), source.identity)
        nobody = pictures.photo(blank(), source.identity)
    np.testing.assert_array_equal(swapped, read_image(tmp_path / 'swapped.png'))
    np.testing.assert_array_equal(nobody, blank())


def test_a_frame_is_swapped_after_those_before_it(photos, clip, shipped_swapper):
    _, source = swap_job(shipped_swapper, [photos / 'bob/2.png'])
    number = FRAMES_BEFORE + 1
    with PictureSwapper(shipped_swapper, DEFAULT_BLEND) as pictures:
        frame, swapped = pictures.frame(clip, number, source.identity)
        alone = pictures.photo(frame, source.identity)
        with pytest.raises(UserError, match='has no frame 14'):
            pictures.frame(clip, 14, source.identity)
    with VideoReader(clip) as reader:
        np.testing.assert_array_equal(frame, next(reader.frames(number)).rgb)
    assert (swapped != frame).any() and (swapped != alone).any()
    # Steadied and smoothed, and the same face for all that.
    change, steadying = (np.abs(swapped.astype(int) - other).mean() for other in (frame, alone))
    assert steadying < 0.5 * change


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


def test_a_thumbnail_stays_within_its_picture(portrait_face):
    picture, points = portrait(), portrait_face.landmarks
    shown = picture_sheet.thumbnail(picture, points)
    assert shown.shape == (200, 200, 3)
    narrow = picture[:, 190:262]
    shown = picture_sheet.thumbnail(narrow, points - np.array([190, 0]))
    assert shown.shape == (200, 200, 3) and shown.std() > 20


def test_no_faces_at_all_are_refused(photos, shipped_swapper):
    pairs = [PicturesToSwap(photos / 'blank.png', photos / 'bob/1.png')]
    with pytest.raises(UserError, match='no pair of pictures that show faces'):
        picture_report.evaluate_pictures(pairs, shipped_swapper, build_suite())
