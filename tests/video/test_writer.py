"""Videos are written with all that they had, on clips read back by plain PyAV and by OpenCV."""

import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.video.reader import VideoReader, probe
from apgan_jax.video.writer import VideoWriter
from support.processes import environment
from support.video_clips import (
    BT601_NTSC,
    BT601_PAL,
    BT709,
    FULL,
    LIMITED,
    RED,
    copy_video,
    count_frames,
    read_rgb,
    read_sound,
    read_times,
    square_patch,
    still,
    whole_patch,
    write_clip,
)


@pytest.mark.parametrize(
    ('pts', 'time_base', 'suffix'),
    [
        (range(12), Fraction(1, 25), '.mp4'),
        (range(0, 12 * 1001, 1001), Fraction(1, 30_000), '.mp4'),
        ([0, 1, 5, 6, 30, 31, 33, 70], Fraction(1, 90), '.mp4'),
        ([0, 7, 40, 41, 99, 250, 251, 260], Fraction(1, 1000), '.mkv'),
        ([300, 340, 400, 500, 501, 640], Fraction(1, 1000), '.mkv'),
    ],
    ids=['constant', 'ntsc', 'variable', 'variable-mkv', 'late-start'],
)
def test_frame_times_are_kept(tmp_path, output, pts, time_base, suffix):
    clip = write_clip(tmp_path / f'clip{suffix}', pts=pts, time_base=time_base)
    stats = copy_video(clip, output)
    with VideoReader(clip) as reader:
        seen = [frame.time for frame in reader]
    expected = [each * time_base for each in pts]
    assert read_times(clip) == expected
    assert read_times(output) == expected
    assert seen == pytest.approx([float(each) for each in expected])
    assert count_frames(output) == len(pts)
    assert (stats.frames, stats.unchanged_frames) == (len(pts), len(pts))
    assert (stats.decode_errors, stats.lost_seconds) == (0, 0.0)


def test_transport_stream_is_shifted_to_zero(tmp_path, output):
    pts = range(900_000, 936_000, 3600)
    clip = write_clip(tmp_path / 'clip.ts', pts=pts, time_base=Fraction(1, 90_000))
    before = read_times(clip)
    assert before[0] == 10
    copy_video(clip, output)
    with VideoReader(clip) as reader:
        assert 0 <= next(iter(reader)).time < 0.1
    after = read_times(output)
    assert 0 <= after[0] < 0.1
    assert np.diff(after) == pytest.approx(np.diff(before))


def test_moov_comes_first(tmp_path, output):
    copy_video(write_clip(tmp_path / 'clip.mp4'), output)
    content = output.read_bytes()
    assert content.find(b'moov') < content.find(b'mdat')


@pytest.mark.parametrize('suffix', ['.mp4', '.mov', '.m4v'])
def test_sound_is_copied_bytewise(tmp_path, suffix):
    clip = write_clip(tmp_path / 'clip.mp4', sound='aac')
    output = tmp_path / f'output{suffix}'
    stats = copy_video(clip, output)
    assert len(read_sound(clip)) > 10
    assert read_sound(output) == read_sound(clip)
    assert (stats.audio_copied, stats.audio_transcoded) == (1, 0)


def test_mp2_sound_of_an_mpg_is_copied_too(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mpg', codec='mpeg1video', sound='mp2')
    assert copy_video(clip, output).audio_copied == 1
    assert read_sound(output) == read_sound(clip)


def test_sound_that_mp4_cannot_carry_becomes_aac(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.wmv', codec='wmv2', sound='wmav2')
    stats = copy_video(clip, output)
    assert (stats.audio_copied, stats.audio_transcoded) == (0, 1)
    with av.open(str(output)) as container:
        track = container.streams.audio[0]
        assert track.codec_context.name == 'aac'
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(track)])
    assert len(sound) / 44_100 == pytest.approx(0.5, abs=0.1)
    assert np.abs(sound).max() == pytest.approx(0.5, abs=0.1)


def test_no_sound(tmp_path, output):
    stats = copy_video(write_clip(tmp_path / 'clip.mp4'), output)
    assert (stats.audio_copied, stats.audio_transcoded) == (0, 0)
    assert not probe(output).has_sound


@pytest.mark.parametrize('pixel_format', ['yuv420p', 'yuv422p', 'yuv444p'])
@pytest.mark.parametrize('matrix', [BT709, BT601_PAL, BT601_NTSC])
@pytest.mark.parametrize('color_range', [LIMITED, FULL])
def test_solid_colour_is_read_back(tmp_path, output, pixel_format, matrix, color_range):
    clip = write_clip(
        tmp_path / 'clip.mp4',
        pts=range(3),
        pixel_format=pixel_format,
        matrix=matrix,
        color_range=color_range,
    )
    copy_video(clip, output, patches=[whole_patch(RED, 64, 96)])
    for rgb in read_rgb(output):
        assert np.abs(rgb.astype(int) - RED).max() <= 3
    before, after = probe(clip), probe(output)
    assert before == after  # pixel format and colour tags
    assert (after.color_matrix, after.color_range) == (matrix, color_range)


def test_unchanged_frames_are_not_recoloured(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4')
    copy_video(clip, output)
    for before, after in zip(read_rgb(clip), read_rgb(output), strict=True):
        assert np.abs(after.astype(float) - before).mean() < 1


def test_painting_does_not_leak_into_later_frames(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4')
    with VideoReader(clip) as reader:
        writer = VideoWriter(output, reader)
        for frame in reader:
            writer.write(frame, [whole_patch(RED, 64, 96)] if frame.number == 0 else [])
        stats = writer.finish()
    assert (stats.frames, stats.unchanged_frames) == (12, 11)
    first, *others = read_rgb(output)
    assert np.abs(first.astype(int) - RED).max() <= 4
    for rgb in others:
        assert np.abs(rgb.astype(int) - still(64, 96)).mean() < 2


@pytest.mark.parametrize('rotation', [90, -90, 180])
def test_rotation_is_kept_and_frames_are_upright(tmp_path, output, rotation):
    clip = write_clip(tmp_path / 'clip.mp4', rotation=rotation)
    with av.open(str(clip)) as container:
        assert next(container.decode(video=0)).rotation in (rotation, rotation - 360)
    # numpy, like FFmpeg, counts quarter turns counter-clockwise.
    upright = np.rot90(still(64, 96), rotation // 90)

    with VideoReader(clip) as reader:
        for frame in reader:
            assert frame.rgb.flags.c_contiguous
            assert np.abs(frame.rgb.astype(int) - upright).mean() < 3
    # The corner at the viewer's upper left.
    copy_video(clip, output, patches=[square_patch(RED, 0, 0, 16)])
    info = probe(output)
    assert info.display_matrix == probe(clip).display_matrix
    assert (info.height, info.width) == upright.shape[:2]
    seen = np.rot90(read_rgb(output)[-1], rotation // 90)
    assert np.abs(seen[2:14, 2:14].astype(int) - RED).mean() < 4
    assert np.abs(seen[20:, 20:].astype(int) - upright[20:, 20:]).mean() < 3


def test_truncated_file_is_written_as_far_as_it_goes(tmp_path, output):
    clip = write_clip(
        tmp_path / 'clip.mp4',
        size=(120, 160),
        pts=range(50),
        options={'movflags': '+faststart'},
        is_moving=True,
    )
    content = clip.read_bytes()
    start = content.find(b'mdat')
    clip.write_bytes(content[: (start + len(content)) // 2])
    stats = copy_video(clip, output)
    assert 5 < stats.frames < 45
    assert len(read_times(output)) == stats.frames
    assert stats.lost_seconds == pytest.approx((50 - stats.frames) / 25, abs=0.1)


def test_damage_in_mid_file_is_counted_and_passed_over(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mkv', pts=range(0, 2000, 40), time_base=Fraction(1, 1000))
    with av.open(str(clip)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(clip.read_bytes())
    for position, size in packets[20:23]:
        # The NAL unit's length and header stay, its payload does not.
        content[position + 14 : position + size + 4] = bytes(size - 10)
    clip.write_bytes(content)
    stats = copy_video(clip, output)
    assert stats.frames >= 45
    assert stats.decode_errors >= 1
    assert read_times(output)[-1] == Fraction(1960, 1000)


def test_frames_are_read_only_and_written_in_order(tmp_path, output):
    with VideoReader(write_clip(tmp_path / 'clip.mp4')) as reader:
        writer = VideoWriter(output, reader)
        frames = list(reader)
        assert [frame.number for frame in frames] == list(range(12))
        with pytest.raises(ValueError, match='read-only'):
            frames[0].rgb[:] = 0
        with pytest.raises(ValueError, match='frame 1 where 0 is expected'):
            writer.write(frames[1])


def test_file_without_one_good_frame_is_a_user_error(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4', options={'movflags': '+faststart'})
    content = clip.read_bytes()
    clip.write_bytes(content[: content.find(b'mdat') + 40])
    with pytest.raises(UserError, match='no frame can be decoded'):
        copy_video(clip, output)
    assert list(tmp_path.iterdir()) == [clip]


def test_unusable_outputs_are_user_errors(tmp_path):
    clip = write_clip(tmp_path / 'clip.mp4')
    with VideoReader(clip) as reader:
        with pytest.raises(UserError, match=r"'\.gif'.*\.mp4, \.mov, \.m4v"):
            VideoWriter(tmp_path / 'output.gif', reader)
        with pytest.raises(UserError, match='the source itself'):
            VideoWriter(clip, reader)
        with pytest.raises(UserError, match='cannot be written'):
            VideoWriter(tmp_path / 'nowhere' / 'output.mp4', reader)
        with pytest.raises(UserError, match='no frame was written'):
            VideoWriter(tmp_path / 'output.mp4', reader).finish()


def test_real_clip(output):
    if 'APGAN_DATA' not in os.environ:
        pytest.skip('set APGAN_DATA to a folder that holds clips/grid_bbaf2n.mpg')
    clip = Path(os.environ['APGAN_DATA']) / 'clips' / 'grid_bbaf2n.mpg'
    stats = copy_video(clip, output)
    assert (stats.frames, stats.decode_errors, stats.audio_copied) == (75, 0, 1)
    assert read_times(output) == read_times(clip)
    assert read_sound(output) == read_sound(clip)


@pytest.mark.parametrize(
    ('start', 'end', 'first', 'last'),
    [(None, 0.4, 0, 9), (0.28, None, 7, 74), (1.0, 2.0, 25, 49), (0.29, 0.31, None, None)],
)
@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.ts'])
def test_a_part_of_a_video(tmp_path, output, suffix, start, end, first, last):
    clip = write_clip(
        tmp_path / f'clip{suffix}',
        pts=range(0, 75 * 40, 40),
        time_base=Fraction(1, 1000),
        codec_options={'crf': '1', 'g': '12'},
        is_moving=True,
    )
    if first is None:
        # Frames are at 0.28 and 0.32 s: the next one is behind the end.
        with pytest.raises(UserError, match='no frame between'):
            VideoReader(clip, start=start, end=end)
        return
    copy_video(clip, output, start=start, end=end)
    times = read_times(output)
    assert [float(each) for each in times] == pytest.approx(
        [0.04 * (n - first) + float(times[0]) for n in range(first, last + 1)], abs=1e-4
    )
    assert times[0] == 0 if start else times[0] < 0.1
    expected = read_rgb(clip)[first : last + 1]
    for before, after in zip(expected, read_rgb(output), strict=True):
        assert np.abs(before.astype(float) - after).mean() < 3


def test_a_fifo_is_a_camera(tmp_path, output):
    """Fed by another process, at times of its own, ended by `end`."""
    pts = range(900_000, 900_000 + 50 * 3600, 3600)
    clip = write_clip(tmp_path / 'clip.ts', pts=pts, time_base=Fraction(1, 90_000))
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    feed = subprocess.Popen(['sh', '-c', 'cat "$0" > "$1"', clip, fifo])
    with VideoReader(f'camera:{fifo}', end=1.0) as reader:
        assert reader.is_live
        writer = VideoWriter(output, reader)
        for frame in reader:
            writer.write(frame)
        writer.finish()
    feed.wait(timeout=10)
    assert count_frames(output) == 25
    assert [float(time) for time in read_times(output)] == pytest.approx(
        [0.04 * number for number in range(25)], abs=1e-4
    )


def test_reading_and_writing_in_two_threads(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4', pts=range(40), is_moving=True)
    with VideoReader(clip) as reader:
        writer = VideoWriter(output, reader)
        frames = []
        thread = threading.Thread(target=lambda: frames.extend(reader))
        thread.start()
        thread.join()
        for frame in frames:
            writer.write(frame, [square_patch(RED, 8, 8, 24)])
        writer.finish()
    assert count_frames(output) == 40


_LONG_CLIP = """
import resource, sys
import numpy as np
from support.video_clips import copy_video, square_patch
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stats = copy_video(sys.argv[1], sys.argv[2], patches=[square_patch((9, 9, 9), 40, 40, 100)])
assert stats.frames == 5000, stats
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path, output):
    clip = write_clip(
        tmp_path / 'clip.mp4',
        size=(240, 320),
        pts=range(5000),
        sound='aac',
        sound_seconds=200,
        is_moving=True,
    )
    command = [sys.executable, '-c', _LONG_CLIP, clip, output]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    # Decoded, it would be 550 MB.
    assert float(done.stdout) < 150
    assert count_frames(output) == 5000
    assert read_sound(output) == read_sound(clip)
