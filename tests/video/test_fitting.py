"""Frames that change on their way are shown as the first one is, whole and in place."""

from fractions import Fraction

import numpy as np
import pytest

from apgan_jax.video.decoded import Orientation, display_matrix
from apgan_jax.video.fitting import FrameFitter
from apgan_jax.video.reader import VideoReader
from support.video_clips import (
    ACCURATE,
    BT601_PAL,
    BT709,
    FULL,
    LIMITED,
    RED,
    copy_video,
    read_rgb,
    square_patch,
    still,
    write_clip,
    yuv_frame,
)


def decoded(size=(64, 96), name='yuv420p', matrix=BT709, color_range=LIMITED):
    frame = yuv_frame(still(*size), name, matrix, color_range)
    frame.colorspace, frame.color_range = matrix, color_range
    frame.pts, frame.time_base, frame.duration = 5, Fraction(1, 25), 2
    return frame


def rgb(frame):
    return frame.to_ndarray(format='rgb24', interpolation=ACCURATE).astype(int)


def fitted(frame, first=None):
    fit = FrameFitter()
    fit(first or decoded())
    return fit(frame)


@pytest.mark.parametrize(
    'change',
    [
        {'name': 'yuv444p'},
        {'name': 'yuv420p10le'},
        {'name': 'yuvj420p', 'color_range': FULL},
        {'matrix': BT601_PAL},
        {'color_range': FULL},
        {'size': (128, 192)},
        {'size': (32, 48), 'name': 'yuv422p', 'matrix': BT601_PAL},
    ],
)
@pytest.mark.parametrize('is_first', [False, True])
def test_the_picture_is_the_same_in_the_first_frame_s_terms(change, is_first):
    frame, first = decoded(**change), decoded()
    frame, first = (first, frame) if is_first else (frame, first)
    result = fitted(frame, first)
    for name in ('width', 'height', 'colorspace', 'color_range'):
        assert getattr(result, name) == getattr(first, name)
    assert result.format.name == first.format.name
    assert (result.pts, result.time_base, result.duration) == (5, Fraction(1, 25), 2)
    assert np.abs(rgb(result) - rgb(first)).mean() < 2


def test_a_frame_like_the_first_one_is_passed_on():
    frame = decoded()
    unsaid = decoded()
    unsaid.colorspace = 2
    assert fitted(frame) is frame
    assert fitted(unsaid) is unsaid


@pytest.mark.parametrize('name', ['yuv420p', 'yuv420p10le', 'yuvj420p'])
def test_another_shape_is_shown_whole_with_black_beside_it(name):
    color_range = FULL if name == 'yuvj420p' else LIMITED
    shape = {'name': name, 'color_range': color_range}
    seen = rgb(fitted(decoded((64, 64), **shape), decoded(**shape)))
    assert np.abs(seen[:, 16:80] - still(64, 64)).mean() < 3
    assert seen[:, :14].max() < 6 and seen[:, 82:].max() < 6


def test_another_rotation_is_turned(tmp_path):
    plain, turned = (
        next(iter(VideoReader(write_clip(tmp_path / f'{n}.mp4', size=size, rotation=n or None))))
        for n, size in ((0, (64, 96)), (90, (96, 64)))
    )
    fit = FrameFitter()
    fit(turned.decoded)
    result = fit(plain.decoded)
    upright = Orientation.from_display_matrix(display_matrix(turned.decoded)).upright(rgb(result))
    assert np.abs(upright - plain.rgb).mean() < 3


@pytest.mark.parametrize('second', [(96, 96), (32, 48), (128, 96)])
def test_a_clip_that_changes_its_size(tmp_path, output, second):
    parts = [
        write_clip(
            tmp_path / f'{number}.ts',
            size=size,
            pts=range(number * 36_000, number * 36_000 + 10 * 3600, 3600),
            time_base=Fraction(1, 90_000),
        )
        for number, size in enumerate([(64, 96), second])
    ]
    joined = tmp_path / 'joined.ts'
    joined.write_bytes(b''.join(part.read_bytes() for part in parts))
    stats = copy_video(joined, output, patches=[square_patch(RED, 40, 24, 16)])
    assert (stats.frames, stats.fitted_frames) == (20, 10)
    with VideoReader(joined) as reader:
        before = [frame.rgb for frame in reader]
    for one, other in zip(before, read_rgb(output), strict=True):
        assert one.shape == other.shape == (64, 96, 3)
        assert np.abs(other[26:38, 42:54].astype(int) - RED).mean() < 6
        assert np.abs(other[:20].astype(int) - one[:20]).mean() < 3
