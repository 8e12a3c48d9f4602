"""Streamed video in and out, on clips made here and read back by plain PyAV."""

import os
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.inference import video

BT709, BT601_PAL, BT601_NTSC = 1, 5, 6
LIMITED, FULL = 1, 2
GREY, RED = (118, 118, 118), (200, 50, 30)


def keep(rgb, seconds):
    return None


def still(height, width):
    """A smooth picture with a different colour in each corner, (height, width, 3) uint8."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y / (height - 1), x / (width - 1)
    picture = np.stack([220 * x + 20, 200 * y + 20, 150 * (1 - x) + 50], axis=-1)
    return picture.astype(np.uint8)


def write_clip(
    path,
    *,
    size=(64, 96),
    pts=range(12),
    time_base=Fraction(1, 25),
    pixel_format='yuv420p',
    matrix=BT709,
    color_range=LIMITED,
    codec='libx264',
    rotation=None,
    aspect=None,
    sound=None,
    format=None,
    options=None,
    is_moving=False,
):
    height, width = size
    with av.open(str(path), 'w', format=format, container_options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, pixel_format
        context.time_base = stream.time_base = time_base
        if codec == 'libx264':
            context.options = {'crf': '1'}
        context.colorspace, context.color_range = matrix, color_range
        context.color_primaries = context.color_trc = BT709
        if aspect:
            context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        track = sound and container.add_stream(sound, rate=44_100, layout='mono', bit_rate=64_000)
        for index, each in enumerate(pts):
            picture = np.roll(still(height, width), 7 * index * is_moving, axis=1)
            frame = av.VideoFrame.from_ndarray(picture).reformat(
                format=pixel_format,
                dst_colorspace=5 if matrix == BT601_NTSC else matrix,
                dst_color_range=color_range,
                interpolation=video._ACCURATE,
            )
            frame.pts, frame.time_base = each, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track:
            write_tone(container, track)
    return path


def write_tone(container, track, seconds=0.5):
    samples = np.sin(np.arange(int(44_100 * seconds)) * 0.06).astype(np.float32)[None] * 0.5
    frame = av.AudioFrame.from_ndarray(samples, format='fltp', layout='mono')
    frame.sample_rate, frame.pts = 44_100, 0
    for resampled in av.AudioResampler(track.format.name, 'mono', 44_100).resample(frame):
        container.mux(track.encode(resampled))
    container.mux(track.encode(None))


def read_times(path):
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def read_rgb(path):
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format='rgb24', interpolation=video._ACCURATE)
            for frame in container.decode(video=0)
        ]


def read_sound(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def solid(colour):
    return lambda rgb, seconds: np.broadcast_to(np.uint8(colour), rgb.shape)


@pytest.fixture
def output(tmp_path):
    return tmp_path / 'output.mp4'


def test_probe_reports_the_header(tmp_path):
    clip = write_clip(tmp_path / 'clip.mp4', sound='aac', aspect=Fraction(4, 3))
    info = video.probe(clip)
    assert (info.width, info.height, info.frames) == (96, 64, 12)
    assert info.frame_rate == pytest.approx(25)
    assert info.duration_seconds == pytest.approx(12 / 25)
    assert info.has_sound
    assert info.pixel_aspect == Fraction(4, 3)
    assert (info.color_matrix, info.color_range) == (BT709, LIMITED)


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
    seen = []
    stats = video.transform_video(clip, output, lambda rgb, seconds: seen.append(seconds))
    expected = [each * time_base for each in pts]
    assert read_times(clip) == expected
    assert read_times(output) == expected
    assert seen == pytest.approx([float(each) for each in expected])
    assert (stats.frames, stats.unchanged_frames) == (len(pts), len(pts))
    assert (stats.decode_errors, stats.lost_seconds) == (0, 0.0)


def test_transport_stream_is_shifted_to_zero(tmp_path, output):
    pts = range(900_000, 936_000, 3600)
    clip = write_clip(tmp_path / 'clip.ts', pts=pts, time_base=Fraction(1, 90_000))
    before = read_times(clip)
    assert before[0] == 10
    seen = []
    video.transform_video(clip, output, lambda rgb, seconds: seen.append(seconds))
    assert 0 <= seen[0] < 0.1
    after = read_times(output)
    assert 0 <= after[0] < 0.1
    assert np.diff(after) == pytest.approx(np.diff(before))


def test_moov_comes_first(tmp_path, output):
    video.transform_video(write_clip(tmp_path / 'clip.mp4'), output, keep)
    content = output.read_bytes()
    assert content.find(b'moov') < content.find(b'mdat')


@pytest.mark.parametrize('suffix', ['.mp4', '.mov', '.m4v'])
def test_sound_is_copied_bytewise(tmp_path, suffix):
    clip = write_clip(tmp_path / 'clip.mp4', sound='aac')
    output = tmp_path / f'output{suffix}'
    stats = video.transform_video(clip, output, keep)
    assert len(read_sound(clip)) > 10
    assert read_sound(output) == read_sound(clip)
    assert (stats.audio_copied, stats.audio_transcoded) == (1, 0)


def test_mp2_sound_of_an_mpg_is_copied_too(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mpg', codec='mpeg1video', sound='mp2')
    assert video.transform_video(clip, output, keep).audio_copied == 1
    assert read_sound(output) == read_sound(clip)


def test_sound_that_mp4_cannot_carry_becomes_aac(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.wmv', codec='wmv2', sound='wmav2')
    stats = video.transform_video(clip, output, keep)
    assert (stats.audio_copied, stats.audio_transcoded) == (0, 1)
    with av.open(str(output)) as container:
        track = container.streams.audio[0]
        assert track.codec_context.name == 'aac'
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(track)])
    assert len(sound) / 44_100 == pytest.approx(0.5, abs=0.1)
    assert np.abs(sound).max() == pytest.approx(0.5, abs=0.1)


def test_no_sound(tmp_path, output):
    stats = video.transform_video(write_clip(tmp_path / 'clip.mp4'), output, keep)
    assert (stats.audio_copied, stats.audio_transcoded) == (0, 0)
    assert not video.probe(output).has_sound


@pytest.mark.parametrize('size', [(63, 95), (64, 95), (63, 96)])
def test_odd_sizes(tmp_path, output, size):
    clip = write_clip(tmp_path / 'clip.mkv', size=size, codec='ffv1', time_base=Fraction(1, 1000))
    assert video.probe(clip).pixel_format == 'yuv420p'
    video.transform_video(clip, output, solid(RED))
    assert video.probe(output).pixel_format == 'yuv444p'
    for rgb in read_rgb(output):
        assert rgb.shape == (*size, 3)
        assert np.abs(rgb.astype(int) - RED).max() <= 3


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
    video.transform_video(clip, output, solid(RED))
    for rgb in read_rgb(output):
        assert np.abs(rgb.astype(int) - RED).max() <= 3
    before, after = video.probe(clip), video.probe(output)
    assert before == after  # pixel format and colour tags
    assert (after.color_matrix, after.color_range) == (matrix, color_range)


def test_rgb_source_is_converted_and_tagged(tmp_path, output):
    clip = write_clip(
        tmp_path / 'clip.mkv', codec='ffv1', pixel_format='bgr0', time_base=Fraction(1, 1000)
    )
    video.transform_video(clip, output, keep)
    assert video.probe(output).color_matrix == BT709
    for rgb in read_rgb(output):
        assert np.abs(rgb.astype(int) - still(64, 96)).mean() < 3


def test_unchanged_frames_are_not_recoloured(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4')
    video.transform_video(clip, output, keep)
    for before, after in zip(read_rgb(clip), read_rgb(output), strict=True):
        assert np.abs(after.astype(float) - before).mean() < 1


def test_what_is_left_alone_stays_as_decoded(tmp_path):
    """Before encoding, YUV samples outside the changed rectangle are bit-identical."""
    clip = write_clip(tmp_path / 'clip.mp4', pts=range(1))
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
    before = [video._view(plane).copy() for plane in frame.planes]
    rgb = still(64, 96)
    changed = rgb.copy()
    changed[21:30, 41:50] = RED
    video._paint(frame, rgb, changed)
    for old, plane, step in zip(before, frame.planes, (1, 2, 2), strict=True):
        differs = video._view(plane) != old
        rows, columns = np.nonzero(differs)
        assert rows.size
        assert 20 // step <= rows.min() and rows.max() < 30 // step
        assert 40 // step <= columns.min() and columns.max() < 50 // step


def test_painting_does_not_leak_into_later_frames(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4')

    def paint_first(rgb, seconds):
        return solid(RED)(rgb, seconds) if seconds == 0 else None

    stats = video.transform_video(clip, output, paint_first)
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

    def check_and_mark(rgb, seconds):
        assert rgb.flags.c_contiguous
        assert np.abs(rgb.astype(int) - upright).mean() < 3
        marked = rgb.copy()
        marked[:16, :16] = RED  # the corner at the viewer's upper left
        return marked

    video.transform_video(clip, output, check_and_mark)
    info = video.probe(output)
    assert info.display_matrix == video.probe(clip).display_matrix
    assert (info.height, info.width) == upright.shape[:2]
    seen = np.rot90(read_rgb(output)[-1], rotation // 90)
    assert np.abs(seen[2:14, 2:14].astype(int) - RED).mean() < 4
    assert np.abs(seen[20:, 20:].astype(int) - upright[20:, 20:]).mean() < 3


def test_orientation_round_trip_for_all_eight():
    picture = still(3, 5)
    for transposed in (False, True):
        for x in (-1, 1):
            for y in (-1, 1):
                matrix = (0, y, 0, x, 0, 0, 0, 0, 1) if transposed else (x, 0, 0, 0, y, 0, 0, 0, 1)
                orientation = video.Orientation.from_display_matrix(matrix)
                np.testing.assert_array_equal(
                    orientation.stored(orientation.upright(picture)), picture
                )


def test_pixel_aspect_is_kept(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4', aspect=Fraction(16, 15))
    video.transform_video(clip, output, keep)
    assert video.probe(output).pixel_aspect == Fraction(16, 15)


def test_progress_is_reported_for_each_frame(tmp_path, output):
    calls = []
    clip = write_clip(tmp_path / 'clip.mp4')
    video.transform_video(clip, output, keep, on_frame=lambda: calls.append(1))
    assert len(calls) == 12


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
    stats = video.transform_video(clip, output, keep)
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
    stats = video.transform_video(clip, output, keep)
    assert stats.frames >= 45
    assert stats.decode_errors >= 1
    assert read_times(output)[-1] == Fraction(1960, 1000)


def test_callers_may_not_paint_into_their_input(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4', pts=range(2))

    def paint(rgb, seconds):
        rgb[:] = 0

    with pytest.raises(ValueError, match='read-only'):
        video.transform_video(clip, output, paint)
    with pytest.raises(ValueError, match='transform returned float64'):
        video.transform_video(clip, output, lambda rgb, seconds: rgb / 255)


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
            video.probe(path)
        assert str(path) in str(caught.value)
        assert '\n' not in str(caught.value)


def test_file_without_one_good_frame_is_a_user_error(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4', options={'movflags': '+faststart'})
    content = clip.read_bytes()
    clip.write_bytes(content[: content.find(b'mdat') + 40])
    with pytest.raises(UserError, match='no frame can be decoded'):
        video.transform_video(clip, output, keep)
    assert not output.exists()


def test_unusable_outputs_are_user_errors(tmp_path):
    clip = write_clip(tmp_path / 'clip.mp4')
    with pytest.raises(UserError, match=r"'\.gif'.*\.mp4, \.mov, \.m4v"):
        video.transform_video(clip, tmp_path / 'output.gif', keep)
    with pytest.raises(UserError, match='the source itself'):
        video.transform_video(clip, clip, keep)
    with pytest.raises(UserError, match='cannot be written'):
        video.transform_video(clip, tmp_path / 'nowhere' / 'output.mp4', keep)


def test_real_clip(output):
    if 'APGAN_DATA' not in os.environ:
        pytest.skip('set APGAN_DATA to a folder that holds clips/grid_bbaf2n.mpg')
    clip = Path(os.environ['APGAN_DATA']) / 'clips' / 'grid_bbaf2n.mpg'
    stats = video.transform_video(clip, output, keep)
    assert (stats.frames, stats.decode_errors, stats.audio_copied) == (75, 0, 1)
    assert read_times(output) == read_times(clip)
    assert read_sound(output) == read_sound(clip)
