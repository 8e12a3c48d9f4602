"""Every kind of sound arrives: copied where its container takes it, else as AAC; and is named."""

import av
import numpy as np
import pytest

from apgan_jax.video.reader import VideoReader
from apgan_jax.video.streams import ConvertedText, CopiedSound, EncodedSound
from apgan_jax.video.trial import choose_tracks
from support.video_clips import copy_video, read_sound, write_clip, write_srt

# Encoder, rate, layout, container, and whether mp4 and mov can carry it.
SOUNDS = [
    ('pcm_s16le', 44_100, 'mono', '.mkv', True, True),
    ('pcm_s16le', 44_100, 'stereo', '.avi', False, True),
    ('pcm_f32le', 48_000, '5.0', '.mkv', False, True),
    ('pcm_s24le', 192_000, 'stereo', '.mkv', False, True),
    ('pcm_alaw', 8_000, 'mono', '.avi', False, True),
    ('libmp3lame', 8_000, 'mono', '.mkv', False, True),
    ('libmp3lame', 44_100, 'stereo', '.mkv', True, True),
    ('libopus', 48_000, 'stereo', '.mkv', True, False),
    ('flac', 37_800, 'mono', '.mkv', True, False),
    ('tta', 44_100, 'stereo', '.mkv', False, False),
    ('adpcm_ms', 44_100, 'stereo', '.avi', False, False),
    ('ac3', 48_000, '5.1', '.mkv', True, True),
    ('nellymoser', 22_050, 'mono', '.flv', False, True),
]


@pytest.mark.parametrize(
    ('encoder', 'rate', 'layout', 'suffix', 'in_mp4', 'in_mov'),
    SOUNDS,
    ids=['-'.join(map(str, row[:4])) for row in SOUNDS],
)
def test_every_sound_arrives(tmp_path, encoder, rate, layout, suffix, in_mp4, in_mov):
    clip = write_clip(
        tmp_path / f'clip{suffix}', sound=encoder, sound_rate=rate, layout=layout, pts=range(3)
    )
    for name, is_copied in (('out.mp4', in_mp4), ('out.mov', in_mov)):
        stats = copy_video(clip, tmp_path / name)
        assert (stats.audio_copied, stats.audio_transcoded) == (is_copied, not is_copied)
        assert (stats.dropped_streams, stats.decode_errors) == ((), 0)
        if is_copied:
            assert b''.join(read_sound(tmp_path / name)) == b''.join(read_sound(clip))
        else:
            (transcoded,) = stats.transcoded_streams
            assert transcoded.startswith('audio ')
        with av.open(str(tmp_path / name)) as container:
            frames = list(container.decode(audio=0))
        seconds = sum(frame.samples for frame in frames) / frames[0].sample_rate
        assert seconds == pytest.approx(0.5, abs=0.11)
        assert np.abs(frames[len(frames) // 2].to_ndarray()).max() > 0


def test_the_choice_is_made_before_the_first_frame(tmp_path):
    clip = write_clip(
        tmp_path / 'clip.mkv',
        sound='libmp3lame',
        sound_rate=8_000,
        subtitles=write_srt(tmp_path / 'text.srt'),
    )
    with VideoReader(clip) as reader:
        assert choose_tracks(reader, 'mp4') == {1: EncodedSound, 2: ConvertedText}
        assert choose_tracks(reader, 'mov')[1] is CopiedSound


def test_titles_in_the_sounds_own_header_stay_behind(tmp_path):
    clip = tmp_path / 'clip.mkv'
    with av.open(str(clip), 'w') as container:
        video = container.add_stream('libx264', rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, 'yuv420p'
        # FFmpeg's own encoder is called an experiment.
        sound = container.add_stream('vorbis', rate=44_100, options={'strict': '-2'})
        sound.codec_context.layout = 'stereo'
        for _ in range(12):
            container.mux(video.encode(av.VideoFrame(96, 64, 'yuv420p')))
        container.mux(video.encode(None))
        tone = av.AudioFrame.from_ndarray(
            np.sin(np.arange(22_050, dtype=np.float32))[None].repeat(2, axis=0), 'fltp', 'stereo'
        )
        tone.sample_rate, tone.pts = 44_100, 0
        container.mux([*sound.encode(tone), *sound.encode(None)])
    for bare in (True, False):
        output = tmp_path / f'{bare}.mp4'
        stats = copy_video(clip, output, bare=bare)
        assert (stats.audio_copied, stats.audio_transcoded) == (not bare, bare)
        # The second of the header's packets has the comments.
        assert (b'\x03vorbis' in output.read_bytes()) != bare
