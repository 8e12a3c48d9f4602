"""Which files are compared with which, and what is said of those that do not fit."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.pictures import find_clips
from apgan_jax.files.image_files import write_image
from support.video_clips import write_clip


def write_pictures(folder, values, size=(8, 10)):
    folder.mkdir()
    for number, value in enumerate(values):
        write_image(folder / f'{number:03}.png', np.full((*size, 3), value, np.uint8))
    return folder


def test_folders_of_pictures_are_paired_by_name(tmp_path):
    target = write_pictures(tmp_path / 'a', [0, 1, 2])
    swapped = write_pictures(tmp_path / 'b', [100, 101, 102, 103])
    (clip,) = find_clips(target, swapped)
    values = [(int(a[0, 0, 0]), int(b[0, 0, 0])) for a, b in clip.pairs()]
    assert values == [(0, 100), (1, 101), (2, 102)]
    assert len(clip) == 3
    assert not clip.is_sequence
    assert find_clips(target, swapped, sequence=True)[0].is_sequence


def test_videos_of_a_folder_are_clips_of_their_own(tmp_path):
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        for name in ('x.mp4', 'y.mp4'):
            write_clip(tmp_path / folder / name)
    clips = find_clips(tmp_path / 'a', tmp_path / 'b')
    assert [clip.name for clip in clips] == ['x', 'y']
    assert all(clip.is_sequence for clip in clips)
    assert sum(1 for _ in clips[0].pairs()) == len(clips[0]) == 12


@pytest.mark.parametrize(('frames', 'longer'), [(9, 'swapped'), (14, 'target')])
def test_unequal_lengths_are_compared_as_far_as_both_go_and_noted(tmp_path, frames, longer):
    write_clip(tmp_path / 'a.mp4', pts=range(frames))
    write_clip(tmp_path / 'b.mp4', pts=range(23 - frames))
    (clip,) = find_clips(tmp_path / 'a.mp4', tmp_path / 'b.mp4')
    assert sum(1 for _ in clip.pairs()) == 9
    assert clip.notes == [f'b: {longer} goes on after 9 pictures']


def test_unequal_sizes_are_refused(tmp_path):
    target = write_pictures(tmp_path / 'a', [0])
    swapped = write_pictures(tmp_path / 'b', [0], size=(8, 12))
    with pytest.raises(UserError, match=r'10x8.*12x8'):
        list(find_clips(target, swapped)[0].pairs())


def test_what_does_not_belong_together_is_refused(tmp_path):
    folder = write_pictures(tmp_path / 'a', [0])
    write_clip(tmp_path / 'c.mp4')
    other = tmp_path / 'other'
    other.mkdir()
    for target, swapped, words in (
        (folder, tmp_path / 'absent', 'no such file'),
        (folder, tmp_path / 'c.mp4', 'two files or two folders'),
        (folder / '000.png', tmp_path / 'c.mp4', 'two pictures or two videos'),
        (folder, other, 'no two files of one name'),
    ):
        with pytest.raises(UserError, match=words):
            find_clips(target, swapped)


def test_files_without_a_counterpart_are_named(tmp_path):
    target = write_pictures(tmp_path / 'a', [0, 1, 2])
    swapped = write_pictures(tmp_path / 'b', [0])
    (clip,) = find_clips(target, swapped)
    assert clip.notes == ['2 files without a counterpart are left out: 001, 002']


def test_unequal_rates_are_refused(tmp_path):
    write_clip(tmp_path / 'a.mp4')
    write_clip(tmp_path / 'b.mp4', pts=range(0, 24, 2))
    with pytest.raises(UserError, match='frames a second'):
        find_clips(tmp_path / 'a.mp4', tmp_path / 'b.mp4')
