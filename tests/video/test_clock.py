"""A clock that begins anew goes on, for all streams alike."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from apgan_jax.inference.face_counts import FaceCounts
from apgan_jax.inference.swap import SwapReport
from apgan_jax.video.clock import Clock
from support.video_clips import copy_video, read_rgb, read_sound, read_times, write_clip

TICKS = 90_000
VIDEO, SOUND, TEXT = (
    SimpleNamespace(index=index, type=kind)
    for index, kind in enumerate(('video', 'audio', 'subtitle'))
)


def packet(stream, seconds):
    ticks = None if seconds is None else round(seconds * TICKS)
    return SimpleNamespace(stream=stream, dts=ticks, pts=ticks, time_base=Fraction(1, TICKS))


def mended(packets, **options):
    clock = Clock(**{'may_restart': True, 'may_jump_ahead': True} | options)
    for each in packets:
        clock.mend(each)
    return [None if each.pts is None else each.pts / TICKS for each in packets], clock.restarts


def test_the_second_part_goes_on_where_the_first_one_ended():
    times, restarts = mended([packet(VIDEO, t) for t in (5.0, 5.5, 5.0, 5.5)])
    assert times == [5.0, 5.5, 6.0, 6.5]
    assert restarts == 1


def test_streams_move_together_each_at_its_own_joint():
    rows = [(VIDEO, 1.0), (SOUND, 1.1), (VIDEO, 1.5), (VIDEO, 1.0), (SOUND, 1.6), (SOUND, 1.1)]
    times, restarts = mended([packet(*row) for row in rows])
    assert times == pytest.approx([1.0, 1.1, 1.5, 2.0, 1.6, 2.1])
    assert restarts == 1


def test_a_long_jump_ahead_of_all_is_a_joint_and_a_pause_of_one_is_none():
    rows = [(VIDEO, 0.0), (VIDEO, 1.0), (SOUND, 1.0), (VIDEO, 50.0), (SOUND, 50.0), (TEXT, 50.0)]
    assert mended([packet(*row) for row in rows])[0] == [0, 1, 1, 2, 2, 2]
    assert mended([packet(*row) for row in rows], may_jump_ahead=False)[0][-1] == 50
    pause = [packet(VIDEO, t) for t in range(0, 30, 2)]
    pause = [packet(SOUND, 0.0), *pause, packet(SOUND, 28.0)]
    assert mended(pause)[0][-1] == 28


def test_what_has_no_time_and_what_has_an_index_is_left_alone():
    assert mended([packet(VIDEO, 1.0), packet(VIDEO, None)]) == ([1.0, None], 0)
    rows = [packet(VIDEO, t) for t in (5.0, 0.0)]
    assert mended(rows, may_restart=False) == ([5.0, 0.0], 0)


@pytest.mark.parametrize(('second_start', 'sound'), [(0, 'mp2'), (40 * TICKS, None)])
def test_joined_transport_streams(tmp_path, output, second_start, sound):
    parts = [
        write_clip(
            tmp_path / f'{start}.ts',
            pts=range(start, start + 15 * 3600, 3600),
            time_base=Fraction(1, TICKS),
            sound=sound,
            sound_seconds=0.6,
            is_moving=True,
        )
        for start in (0, second_start)
    ]
    joined = tmp_path / 'joined.ts'
    joined.write_bytes(b''.join(part.read_bytes() for part in parts))
    stats = copy_video(joined, output)
    assert (stats.frames, stats.clock_restarts, stats.lost_seconds) == (30, 1, 0)
    times = [float(time) for time in read_times(output)]
    assert np.diff(times) == pytest.approx(np.full(29, 0.04), abs=2e-3)
    for one, other in zip(read_rgb(joined), read_rgb(output), strict=True):
        assert np.abs(one.astype(int) - other).mean() < 3
    if sound:
        assert len(read_sound(output)) == 2 * len(read_sound(parts[0]))
        assert read_sound(output, times=True)[-1] == pytest.approx(1.2, abs=0.1)


@pytest.mark.parametrize(
    ('name', 'codec'),
    [
        ('clip.h264', 'libx264'),
        ('clip.m2v', 'mpeg2video'),
        ('clip.avi', 'mpeg4'),
        ('a.ts', 'mpeg4'),
    ],
)
def test_where_times_are_missing_frames_follow_each_other(tmp_path, output, name, codec):
    """Raw streams have none, old containers those of decoding alone."""
    clip = write_clip(tmp_path / name, codec=codec, is_moving=True)
    stats = copy_video(clip, output)
    assert stats.frames == 12
    assert np.diff(np.float64(read_times(output))) == pytest.approx(np.full(11, 0.04), abs=2e-3)


def test_what_goes_on_in_another_codec_is_lost_with_a_word(tmp_path, output):
    parts = [
        write_clip(
            tmp_path / f'{codec}.ts',
            pts=range(0, 25 * 3600, 3600),
            time_base=Fraction(1, TICKS),
            codec=codec,
            size=(128, 192),
        )
        for codec in ('libx264', 'libx265')
    ]
    joined = tmp_path / 'joined.ts'
    joined.write_bytes(b''.join(part.read_bytes() for part in parts))
    stats = copy_video(joined, output)
    assert stats.lost_seconds == pytest.approx((50 - stats.frames) / 25, abs=0.15)
    assert stats.frames <= 25
    (line,) = [each for each in SwapReport(FaceCounts(), stats).file_lines() if 'damaged' in each]
    assert f'{stats.lost_seconds:.2f} s' in line


def test_what_is_joined_behind_an_flv_is_lost_with_a_word(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.flv', size=(120, 160), is_moving=True, pts=range(25))
    assert copy_video(clip, output).unread_bytes == 0
    joined = tmp_path / 'joined.flv'
    joined.write_bytes(2 * clip.read_bytes())
    stats = copy_video(joined, output)
    assert stats.frames == 25
    assert stats.unread_bytes == pytest.approx(clip.stat().st_size, abs=100)
    assert f'{stats.unread_bytes:,} bytes' in ' '.join(SwapReport(FaceCounts(), stats).file_lines())
