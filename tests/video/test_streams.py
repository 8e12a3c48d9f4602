"""Sound, subtitles, chapters: kept, converted or named, on the picture's clock."""

from fractions import Fraction

import av
import numpy as np
import pytest

from support.video_clips import (
    copy_video,
    count_frames,
    read_sound,
    read_text,
    write_clip,
    write_srt,
)

# Italics are kept, in the notation of FFmpeg's decoder.
CUES = [(0.1, 0.9, 'Hello {\\i1}you'), (1.0, 1.5, 'Bye')]
CHAPTERS = [
    {'id': 0, 'start': 0, 'end': 1000, 'time_base': Fraction(1, 1000), 'metadata': {'title': 'A'}},
    {
        'id': 1,
        'start': 1000,
        'end': 2000,
        'time_base': Fraction(1, 1000),
        'metadata': {'title': 'B'},
    },
]


def languages(path, kind):
    with av.open(str(path)) as container:
        return [s.language for s in container.streams if s.type == kind]


def chapters(path):
    with av.open(str(path)) as container:
        return [
            (float(c['start'] * c['time_base']), float(c['end'] * c['time_base']), c['metadata'])
            for c in container.chapters()
        ]


@pytest.mark.parametrize('layout', ['mono', 'stereo'])
def test_sound_longer_than_the_picture_is_kept(tmp_path, output, layout):
    clip = write_clip(
        tmp_path / 'clip.mp4', sound='aac', layout=layout, sound_seconds=3, language='deu'
    )
    stats = copy_video(clip, output)
    assert (count_frames(output), stats.lost_seconds) == (12, 0)
    assert read_sound(output) == read_sound(clip)
    assert read_sound(output, times=True) == pytest.approx(read_sound(clip, times=True), abs=1e-4)
    assert read_sound(output, times=True)[-1] > 2.9
    assert languages(output, 'audio') == ['deu']
    with av.open(str(output)) as container:
        assert container.streams.audio[0].layout.name == layout


def test_converted_sound_keeps_its_times(tmp_path, output):
    clip = write_clip(
        tmp_path / 'clip.wmv', codec='wmv2', sound='wmav2', layout='stereo', sound_seconds=2
    )
    assert copy_video(clip, output).audio_transcoded == 1
    with av.open(str(output)) as container:
        frames = list(container.decode(audio=0))
        left, right = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    assert len(left) / 44_100 == pytest.approx(2, abs=0.1)
    with av.open(str(clip)) as container:
        assert frames[0].time == pytest.approx(next(container.decode(audio=0)).time, abs=0.03)
    middle = slice(len(left) // 4, len(left) // 2)
    assert np.std(left[middle]) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
    assert np.std(right[middle]) == pytest.approx(0.25 / np.sqrt(2), rel=0.1)


def test_subrip_becomes_mov_text(tmp_path, output):
    clip = write_clip(
        tmp_path / 'clip.mkv',
        pts=range(50),
        subtitles=write_srt(tmp_path / 'text.srt'),
        language='fra',
    )
    stats = copy_video(clip, output)
    assert (stats.subtitles_converted, stats.dropped_streams) == (1, ())
    assert [(a, b) for a, b, _ in read_text(output)] == [(a, b) for a, b, _ in CUES]
    assert [text for _, _, text in read_text(output)] == [text for _, _, text in CUES]
    assert languages(output, 'subtitle') == ['fra']
    # Once more, from mp4: copied now.
    again = tmp_path / 'again.mp4'
    stats = copy_video(output, again)
    assert (stats.subtitles_copied, stats.subtitles_converted) == (1, 0)
    assert read_text(again) == read_text(output)


def test_streams_that_cannot_be_carried_are_named(tmp_path, output):
    clip = write_clip(tmp_path / 'plain.mkv', pts=range(50))
    with_more = tmp_path / 'clip.mkv'
    with av.open(str(clip)) as source, av.open(str(with_more), 'w') as target:
        video = target.add_stream_from_template(source.streams.video[0])
        pictures = target.add_mux_stream('hdmv_pgs_subtitle')
        pictures.metadata['language'] = 'eng'
        target.add_attachment('font.ttf', 'application/x-truetype-font', b'font')
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                target.mux(packet)
    stats = copy_video(with_more, output)
    assert stats.dropped_streams[0] == 'subtitle pgssub (eng)'
    assert stats.dropped_streams[1].startswith('attachment')
    assert count_frames(output) == 50


def test_chapters_are_kept(tmp_path, output):
    clip = write_clip(tmp_path / 'clip.mkv', pts=range(50), chapters=CHAPTERS)
    assert copy_video(clip, output).dropped_streams == ()
    assert chapters(output) == [(0, 1, {'title': 'A'}), (1, 2, {'title': 'B'})]
    again = tmp_path / 'again.mp4'
    assert copy_video(output, again).dropped_streams == ()
    assert chapters(again) == chapters(output)


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv'])
def test_a_part_has_its_part_of_everything(tmp_path, output, suffix):
    clip = write_clip(
        tmp_path / f'clip{suffix}',
        pts=range(0, 2000, 40),
        time_base=Fraction(1, 1000),
        sound='aac',
        sound_seconds=2,
        subtitles=write_srt(tmp_path / 'text.srt') if suffix == '.mkv' else None,
        chapters=CHAPTERS,
    )
    copy_video(clip, output, start=0.52, end=1.2)
    assert count_frames(output) == 17
    before, after = read_sound(clip, times=True), read_sound(output, times=True)
    kept = [time for time in before if 0.52 <= time < 1.2]
    assert after == pytest.approx([time - 0.52 for time in kept], abs=2e-3)
    first = before.index(kept[0])
    assert read_sound(output) == read_sound(clip)[first : first + len(kept)]
    assert chapters(output) == [(0, 0.48, {'title': 'A'}), (0.48, 0.68, {'title': 'B'})]
    if suffix == '.mkv':
        cues = [(a, b) for a, b, _ in read_text(output)]
        np.testing.assert_allclose(cues, [(0, 0.38), (0.48, 0.68)], atol=2e-3)


def test_sound_of_a_transport_stream_stays_with_the_picture(tmp_path, output):
    pts = range(0, 25 * 3600, 3600)
    clip = write_clip(
        tmp_path / 'clip.ts', pts=pts, time_base=Fraction(1, 90_000), sound='mp2', sound_seconds=1
    )

    def offset(path):
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux() if packet.size]
            first = {
                kind: min(float(p.pts * p.time_base) for p in packets if p.stream.type == kind)
                for kind in ('video', 'audio')
            }
        return first['audio'] - first['video']

    copy_video(clip, output)
    assert offset(output) == pytest.approx(offset(clip), abs=1e-3)
    assert read_sound(output) == read_sound(clip)
