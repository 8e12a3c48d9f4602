"""A sheet shows the same places of target and result, one above the other, and is marked."""

import cv2
import numpy as np
import pytest

from apgan_jax.files.image_files import read_image
from apgan_jax.inference.contact_sheet import write_contact_sheet
from apgan_jax.provenance import manifest
from apgan_jax.video.sampling import sample_frames
from support.faces import write_photos
from support.scenes import add_face, empty
from support.video_clips import copy_video, write_clip

LEVELS = [10, 60, 110, 160, 210]


def flat(level, height=64, width=96):
    return np.full((height, width, 3), level, np.uint8)


def write_levels(folder, *, shift=0, heights=(64,) * 5):
    """A folder of photos, each of one level."""
    pairs = enumerate(zip(LEVELS, heights, strict=True))
    return write_photos(folder, {f'{n}.png': flat(level + shift, h) for n, (level, h) in pairs})


def write_sheet(target, swapped, output, **options):
    """The sheet, halved, as (halves, columns) of pictures (height, 320, 3)."""
    write_contact_sheet(target, swapped, output, model_name='tiny', **options)
    sheet = read_image(output)
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 320
    return sheet.reshape(2, height, width, 320, 3).swapaxes(1, 2)


def test_photos_of_two_folders_stand_above_each_other(tmp_path):
    target = write_levels(tmp_path / 'target')
    swapped = write_levels(tmp_path / 'swapped', shift=5)
    sheet = write_sheet(target, swapped, tmp_path / 'sheet.png')
    assert sheet.shape == (2, 5, 213, 320, 3)
    np.testing.assert_array_equal(sheet[0, :, 100, 100, 0], LEVELS)
    np.testing.assert_array_equal(sheet[1, :, 100, 100, 0], np.add(LEVELS, 5))


def test_columns_are_spread_over_all_photos(tmp_path):
    paths = sorted(write_levels(tmp_path / 'target').iterdir())
    sheet = write_sheet(paths, paths, tmp_path / 'sheet.png', columns=3)
    np.testing.assert_array_equal(sheet[:, :, 100, 100, 0], [[10, 110, 210]] * 2)


def test_lower_photos_have_white_below(tmp_path):
    heights = (64, 64, 32, 64, 64)
    target = write_levels(tmp_path / 'target', heights=heights)
    sheet = write_sheet(target, target, tmp_path / 'sheet.png')
    assert (sheet[:, 2, 107:] == 255).all()
    assert (sheet[:, 2, :106] == 110).all()
    assert (sheet[:, [0, 1, 3, 4]] != 255).all()


def test_a_part_of_a_video_is_set_against_what_became_of_it(tmp_path):
    clip = write_clip(tmp_path / 'clip.mp4', pts=range(25), is_moving=True)
    copy_video(clip, tmp_path / 'part.mp4', start=0.4, end=0.8)
    options = {'columns': 2, 'start': 0.4, 'end': 0.8}
    sheet = write_sheet(clip, tmp_path / 'part.mp4', tmp_path / 'sheet.png', **options)
    assert sheet.shape[:2] == (2, 2)
    for above, below in sheet.swapaxes(0, 1):
        assert cv2.absdiff(above, below).mean() < 3
    assert cv2.absdiff(sheet[0, 0], sheet[0, 1]).mean() > 10


def test_the_face_that_changed_most_is_shown_below(tmp_path):
    """Of two, the smaller one, which fills its window; in a copy of half the size, too."""
    before = add_face(add_face(empty(), (330, 330), 200), (950, 330), 60)
    after = before.copy()
    after[290:370, 910:990] = 255 - after[290:370, 910:990]
    small = cv2.resize(after, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    write_photos(tmp_path, {'before.png': before, 'after.png': after, 'small.png': small})
    for name in ('after.png', 'small.png'):
        sheet = write_sheet(tmp_path / 'before.png', tmp_path / name, tmp_path / 'sheet.png')
        sheet = np.concatenate(sheet[:, 0])
        assert sheet.shape == (2 * 180 + 2 * 320, 320, 3)
        above, below = sheet[360:680], sheet[680:]
        # An eye, a cheek and the mouth, about 60 px in a window of 120.
        changed = cv2.absdiff(above, below).max(axis=2) > 20
        assert changed[100:220, 100:220].mean() > 0.9
        assert changed.mean() < 0.8


def test_of_several_videos_frames_from_the_middle_are_shown(tmp_path):
    """Of a part, its own middle."""
    clips = [tmp_path / f'{n}.mp4' for n in range(3)]
    for clip in clips:
        write_clip(clip, pts=range(25), is_moving=True)
    part = copy_video(clips[0], tmp_path / 'part.mp4', start=0.4, end=0.8)
    assert part.frames == 10
    write_photos(tmp_path, {'photo.png': flat(90)})
    both = [*clips, tmp_path / 'photo.png'], [tmp_path / 'part.mp4'] * 3 + [tmp_path / 'photo.png']
    sheet = write_sheet(*both, tmp_path / 'sheet.png', start=0.4, end=0.8)
    assert sheet.shape[:2] == (2, 4)
    for above, below in sheet.swapaxes(0, 1):
        assert cv2.absdiff(above, below).mean() < 3
    frames = [sample.rgb for sample in sample_frames(clips[0], 2, start=0.4, end=0.8)]
    shown = cv2.resize(sheet[0, 0], (96, 64), interpolation=cv2.INTER_AREA)
    assert cv2.absdiff(shown, frames[1]).mean() < 3 < cv2.absdiff(shown, frames[0]).mean()


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_a_sheet_is_marked_as_made_from_the_result_and_replaces_an_older_one(tmp_path, suffix):
    write_photos(tmp_path, {'target.png': flat(80), 'swapped.png': flat(90)})
    output = tmp_path / f'sheet{suffix}'
    output.write_bytes(b'older')
    write_sheet(tmp_path / 'target.png', tmp_path / 'swapped.png', output, bundle_sha256='ab' * 32)
    report = manifest.verify(output)
    assert (report.state, report.is_marked_synthetic) == ('trusted', True)
    assert (report.model_name, report.bundle_sha256) == ('tiny', 'ab' * 32)
    assert report.parent_title == 'swapped.png'
