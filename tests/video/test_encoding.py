"""What may be chosen about the encoding is done, and what follows from the source is kept."""

import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.video.encoding import Encoding, PictureFormat, create_encoder, picture_format
from apgan_jax.video.reader import VideoReader, probe
from support.video_clips import (
    BT709,
    BT2020,
    FULL,
    LIMITED,
    RED,
    copy_video,
    read_rgb,
    read_times,
    square_patch,
    still,
    whole_patch,
    write_clip,
)


@pytest.mark.parametrize('size', [(63, 95), (64, 95), (63, 96)])
def test_odd_sizes(tmp_path, output, size):
    clip = write_clip(tmp_path / 'clip.mkv', size=size, codec='ffv1', time_base=Fraction(1, 1000))
    assert probe(clip).pixel_format == 'yuv420p'
    copy_video(clip, output, patches=[whole_patch(RED, *size)])
    assert probe(output).pixel_format == 'yuv444p'
    for rgb in read_rgb(output):
        assert rgb.shape == (*size, 3)
        assert np.abs(rgb.astype(int) - RED).max() <= 3


@pytest.mark.parametrize('size', [(63, 95), (64, 95), (63, 96)])
def test_odd_sizes_padded(tmp_path, output, size):
    clip = write_clip(tmp_path / 'clip.mkv', size=size, codec='ffv1', time_base=Fraction(1, 1000))
    stats = copy_video(clip, output, encoding=Encoding(chroma='420'))
    assert probe(output).pixel_format == 'yuv420p'
    assert stats.padded == (size[0] % 2, size[1] % 2)
    for before, after in zip(read_rgb(clip), read_rgb(output), strict=True):
        assert after.shape == (64, 96, 3)
        inside = after[: size[0], : size[1]].astype(float)
        assert np.abs(inside - before).mean() < 2
        assert np.abs(after[:, -1].astype(int) - after[:, -2]).max() < 12


def test_rgb_source_is_converted_and_tagged(tmp_path, output):
    clip = write_clip(
        tmp_path / 'clip.mkv', codec='ffv1', pixel_format='bgr0', time_base=Fraction(1, 1000)
    )
    copy_video(clip, output)
    assert probe(output).color_matrix == BT709
    for rgb in read_rgb(output):
        assert np.abs(rgb.astype(int) - still(64, 96)).mean() < 3


def test_pixel_aspect_is_kept(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4', aspect=Fraction(16, 15))
    copy_video(clip, output)
    assert probe(output).pixel_aspect == Fraction(16, 15)


PQ, MASTERING = 16, 'G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)'


@pytest.mark.parametrize('codec', ['h264', 'hevc', 'av1'])
def test_10_bit_hdr_is_kept(tmp_path, output, codec):
    clip = write_clip(
        tmp_path / 'clip.mp4',
        pixel_format='yuv420p10le',
        matrix=BT2020,
        primaries=BT2020,
        transfer=PQ,
        codec_options={'crf': '4', 'x264-params': f'mastering-display={MASTERING}:cll=1000,400'},
    )
    copy_video(clip, output, patches=[square_patch(RED, 32, 16, 32)], encoding=Encoding(codec))
    before, after = probe(clip), probe(output)
    assert after.pixel_format == 'yuv420p10le'
    colours = (after.color_primaries, after.color_transfer, after.color_matrix, after.color_range)
    assert colours == (BT2020, PQ, BT2020, LIMITED)
    assert before.content_light == after.content_light == (1000, 400)
    assert before.mastering_display[8:] == (Fraction(1, 10_000), 1000)
    for old, new in zip(before.mastering_display, after.mastering_display, strict=True):
        assert float(new) == pytest.approx(float(old), rel=1e-3, abs=1e-4)
    assert len(read_times(output)) == 12  # OpenCV's own FFmpeg has no AV1
    for rgb in read_rgb(output):
        assert np.abs(rgb[20:44, 36:60].astype(int) - RED).mean() < 6
        assert np.abs(rgb[:, 72:].astype(int) - still(64, 96)[:, 72:]).mean() < 4


@pytest.mark.parametrize(('codec', 'tag'), [('h264', 'avc1'), ('hevc', 'hvc1'), ('av1', 'av01')])
def test_codecs(tmp_path, output, codec, tag):
    clip = write_clip(tmp_path / 'clip.mp4', pts=[0, 1, 5, 6, 30, 31, 33, 70], sound='aac')
    copy_video(clip, output, encoding=Encoding(codec), segment_seconds=0.2)
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_tag == tag
    assert read_times(output) == read_times(clip)
    for before, after in zip(read_rgb(clip), read_rgb(output), strict=True):
        assert np.abs(after.astype(float) - before).mean() < 3


@pytest.mark.parametrize(
    'choice',
    [{'codec': 'vp9'}, {'quality': 52}, {'quality': -1}, {'preset': 'swift'}, {'chroma': '411'}],
)
def test_impossible_encodings_are_user_errors(choice):
    with pytest.raises(UserError, match=str(next(iter(choice.values())))):
        Encoding(**choice)


def test_quality_and_preset_are_used(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mp4', size=(240, 320), is_moving=True)
    sizes = []
    for quality in (10, 40):
        copy_video(clip, output, encoding=Encoding(quality=quality, preset='slow'))
        sizes.append(output.stat().st_size)
    assert sizes[1] < sizes[0] / 2


def test_a_picture_format_tells_its_range_and_its_bits():
    clock = Fraction(1, 25)
    limited = PictureFormat('yuv420p', 96, 128, BT709, LIMITED, clock, Fraction(25))
    assert not limited.is_full_range
    assert dataclasses.replace(limited, color_range=FULL).is_full_range
    assert dataclasses.replace(limited, name='yuvj420p').is_full_range
    assert limited.bits == 8
    assert dataclasses.replace(limited, name='yuv444p10le').bits == 10


def test_what_no_encoder_takes_is_a_user_error(tmp_path):
    with VideoReader(write_clip(tmp_path / 'clip.mp4')) as reader:
        picture = picture_format(reader, Encoding('av1'))
        huge = dataclasses.replace(picture, height=100_000)
        with pytest.raises(UserError, match=r'96×100000 yuv420p: the av1 encoder refuses it'):
            create_encoder(Encoding('av1'), huge, reader.info)


@pytest.mark.parametrize(
    ('codec', 'pixel_format', 'suffix', 'lost'),
    [
        ('prores_ks', 'yuva444p10le', '.mov', ('transparency', '12 bits (10 are written)')),
        ('libvpx-vp9', 'yuva420p', '.webm', ('transparency',)),
        ('qtrle', 'argb', '.mov', ('transparency',)),
        ('ffv1', 'yuv420p12le', '.mkv', ('12 bits (10 are written)',)),
        ('ffv1', 'yuv422p10le', '.mkv', ()),
        ('ffv1', 'gray', '.mkv', ()),
    ],
)
def test_what_a_picture_loses_is_named(tmp_path, output, codec, pixel_format, suffix, lost):
    clip = write_clip(
        tmp_path / f'clip{suffix}',
        codec=codec,
        pixel_format=pixel_format,
        pts=range(0, 120, 40),
        time_base=Fraction(1, 1000),
    )
    assert copy_video(clip, output).not_kept == lost


@pytest.mark.parametrize(('field_order', 'first'), [('tff', 'top'), ('bff', 'bottom')])
@pytest.mark.parametrize('chroma', ['420', '422'])
def test_interlaced_frames_stay_so_where_the_codec_can(
    tmp_path, output, field_order, first, chroma
):
    clip = write_clip(
        tmp_path / 'clip.mp4',
        pixel_format=f'yuv{chroma}p',
        codec_options={'x264-params': f'{field_order}=1', 'preset': 'ultrafast'},
    )
    assert probe(clip).first_field == first
    assert copy_video(clip, output).not_kept == ()
    assert probe(output).first_field == first
    stats = copy_video(clip, output, encoding=Encoding('av1'))
    assert stats.not_kept == ('interlacing (av1 is written as progressive; h264 keeps it)',)
    assert probe(output).first_field is None
