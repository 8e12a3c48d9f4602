"""Frames come upright, in RGB and in time, and what is no video is answered in one line."""

import gc
import io
import os
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from apgan_jax.errors import UserError
from apgan_jax.video import reader as reader_module
from apgan_jax.video.reader import VideoReader, probe
from support.video_clips import BT709, LIMITED, copy_video, still, write_clip


def test_probe_reports_the_header(tmp_path):
    clip = write_clip(tmp_path / 'clip.mp4', sound='aac', aspect=Fraction(4, 3))
    info = probe(clip)
    assert (info.width, info.height, info.frames) == (96, 64, 12)
    assert info.frame_rate == pytest.approx(25)
    assert info.duration_seconds == pytest.approx(12 / 25)
    assert info.has_sound
    assert info.pixel_aspect == Fraction(4, 3)
    assert (info.color_matrix, info.color_range) == (BT709, LIMITED)


@pytest.mark.parametrize('name', ['yuv420p', 'yuv422p', 'yuv444p', 'yuv420p10le', 'bgr0'])
@pytest.mark.parametrize('size', [(64, 96), (63, 95)])
def test_frames_are_rgb_whatever_is_stored(tmp_path, name, size):
    clip = write_clip(
        tmp_path / 'clip.mkv',
        size=size,
        codec='ffv1',
        pixel_format=name,
        time_base=Fraction(1, 1000),
        pts=range(2),
    )
    with VideoReader(clip) as reader:
        frames = list(reader)
    assert len(frames) == 2
    for frame in frames:
        assert (frame.rgb.shape, frame.rgb.dtype) == ((*size, 3), np.uint8)
        assert frame.rgb.flags.c_contiguous
        assert np.abs(frame.rgb.astype(int) - still(*size)).mean() < 3


def test_reading_can_begin_later(tmp_path):
    clip = write_clip(tmp_path / 'clip.mp4', is_moving=True)
    with VideoReader(clip) as reader:
        whole = list(reader)
    with VideoReader(clip) as reader:
        later = list(reader.frames(first=7))
    assert [frame.number for frame in later] == [7, 8, 9, 10, 11]
    assert [frame.time for frame in later] == [frame.time for frame in whole[7:]]
    for one, other in zip(later, whole[7:], strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)


def test_unusable_files_are_user_errors(tmp_path):
    empty, text, sound = (tmp_path / name for name in ('empty.mp4', 'text.mp4', 'sound.wav'))
    empty.touch()
    text.write_text('no video' * 100)
    with wave.open(str(sound), 'wb') as file:
        file.setparams((1, 2, 8000, 0, 'NONE', ''))
        file.writeframes(bytes(16_000))
    headless = write_clip(tmp_path / 'headless.mp4')
    headless.write_bytes(headless.read_bytes()[:500])
    for path in (empty, text, sound, headless, tmp_path, tmp_path / 'nowhere.mp4'):
        with pytest.raises(UserError) as caught:
            probe(path)
        assert str(path) in str(caught.value)
        assert '\n' not in str(caught.value)


def jpeg_with_exif(picture, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, 'Phone'
    data = io.BytesIO()
    Image.fromarray(picture).save(data, 'JPEG', quality=95, exif=exif)
    return data.getvalue()


def write_mjpeg(path, data, count=3):
    """A clip whose every frame is the same JPEG."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mjpeg', rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, 'yuvj420p'
        container.start_encoding()
        for number in range(count):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return path


@pytest.mark.parametrize(('orientation', 'turns'), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_in_frames_turns_them_and_disturbs_nothing(tmp_path, orientation, turns):
    """PyAV has no name for it, and gives no side data at all where there is some."""
    data = jpeg_with_exif(still(64, 96), orientation)
    clip = write_mjpeg(tmp_path / 'clip.avi', data)
    copy_video(clip, tmp_path / 'output.mp4')
    for path in (clip, tmp_path / 'output.mp4'):
        with VideoReader(path) as reader:
            frames = [frame.rgb.astype(int) for frame in reader]
        assert len(frames) == 3
        assert np.abs(frames[-1] - np.rot90(still(64, 96), turns)).mean() < 4


@pytest.mark.parametrize('name', ['a:b.mp4', 'file:clip.mp4', '%03d.mp4', 'a|b.mp4', '-i.mp4'])
def test_a_name_is_a_name(tmp_path, monkeypatch, name):
    write_clip(tmp_path / 'clip.mp4').rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(name).frames == probe(tmp_path / name).frames == 12


def test_nobody_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / 'pipe.mp4')
    with pytest.raises(UserError, match=r'is not a file; .* camera:.*pipe\.mp4'):
        probe(tmp_path / 'pipe.mp4')


def test_frames_that_fill_the_memory_are_refused_before_one_is_decoded(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / 'clip.mp4')
    monkeypatch.setattr(reader_module, '_MAX_PIXELS', 64 * 96 - 1)
    with pytest.raises(UserError, match='has frames of 96×64 pixels'):
        probe(clip)


def test_parts_that_are_none(tmp_path):
    clip = write_clip(tmp_path / 'clip.mp4')
    for start, end, message in [
        (float('nan'), None, 'start nan: is no time'),
        (0, float('inf'), 'end inf: is no time'),
        (-1, None, 'before the video'),
        (2, 1, 'after the start'),
        (5, None, r'no frame from 5 s on, its last is at 0\.44 s'),
    ]:
        with pytest.raises(UserError, match=message):
            VideoReader(clip, start=start, end=end)


def test_cameras_that_are_not_there():
    with pytest.raises(UserError, match=r'camera:977.*camera:PATH'):
        VideoReader('camera:977')


def test_frames_are_freed_when_nobody_has_them(tmp_path):
    """Without the garbage collector, which does not know how large they are."""
    clip = write_clip(tmp_path / 'clip.mp4', pts=range(30))
    with VideoReader(clip) as reader:
        gc.collect()
        gc.disable()
        try:
            for _ in reader:
                pass
            alive = [each for each in gc.get_objects() if isinstance(each, av.VideoFrame)]
        finally:
            gc.enable()
    assert len(alive) < 5
