"""Clips made on the fly, and readers that share no code with the package."""

from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation

from apgan_jax.face.blending import Patch
from apgan_jax.video.reader import VideoReader
from apgan_jax.video.writer import VideoWriter

BT709, BT601_PAL, BT601_NTSC, BT2020 = 1, 5, 6, 9
LIMITED, FULL = 1, 2
RED = (200, 50, 30)
ACCURATE = (
    Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


def still(height, width):
    """A smooth picture with a different colour in each corner, (height, width, 3) uint8."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y / (height - 1), x / (width - 1)
    picture = np.stack([220 * x + 20, 200 * y + 20, 150 * (1 - x) + 50], axis=-1)
    return picture.astype(np.uint8)


def yuv_frame(picture, pixel_format, matrix=BT709, color_range=LIMITED):
    return av.VideoFrame.from_ndarray(picture).reformat(
        format=pixel_format,
        dst_colorspace=5 if matrix == BT601_NTSC else matrix,
        dst_color_range=color_range,
        interpolation=ACCURATE,
    )


def write_clip(
    path,
    *,
    size=(64, 96),
    pts=range(12),
    time_base=Fraction(1, 25),
    pixel_format='yuv420p',
    matrix=BT709,
    color_range=LIMITED,
    primaries=BT709,
    transfer=BT709,
    codec='libx264',
    codec_options=None,
    rotation=None,
    aspect=None,
    sound=None,
    layout='mono',
    sound_seconds=0.5,
    sound_rate=44_100,
    subtitles=None,
    language=None,
    chapters=(),
    format=None,
    options=None,
    is_moving=False,
):
    """Writes a clip; `subtitles` is a .srt file, `sound` an encoder's name."""
    height, width = size
    with av.open(str(path), 'w', format=format, container_options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, pixel_format
        context.time_base = stream.time_base = time_base
        if codec == 'libx264':
            context.options = codec_options or {'crf': '1', 'preset': 'ultrafast', 'bf': '2'}
        context.colorspace, context.color_range = matrix, color_range
        context.color_primaries, context.color_trc = primaries, transfer
        if aspect:
            context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        track = sound and container.add_stream(
            sound, rate=sound_rate, layout=layout, bit_rate=64_000
        )
        text = subtitles and av.open(str(subtitles))
        titles = text and container.add_stream_from_template(text.streams[0])
        for each in (track, titles):
            if each and language:
                each.metadata['language'] = language
        container.set_chapters(list(chapters))
        for index, each in enumerate(pts):
            picture = np.roll(still(height, width), 7 * index * is_moving, axis=1)
            frame = yuv_frame(picture, pixel_format, matrix, color_range)
            frame.pts, frame.time_base = each, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track:
            write_tone(container, track, layout, sound_seconds, sound_rate)
        if titles:
            for packet in text.demux():
                if packet.size:
                    packet.stream = titles
                    container.mux(packet)
    return path


def write_tone(container, track, layout, seconds, rate=44_100):
    channels = av.AudioLayout(layout).nb_channels
    samples = np.sin(np.arange(int(rate * seconds)) * 0.06).astype(np.float32) * 0.5
    planes = np.stack([samples * 0.5**channel for channel in range(channels)])
    frame = av.AudioFrame.from_ndarray(planes, format='fltp', layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    for resampled in av.AudioResampler(track.format.name, layout, rate).resample(frame):
        container.mux(track.encode(resampled))
    container.mux(track.encode(None))


def write_srt(path):
    path.write_text(
        '1\n00:00:00,100 --> 00:00:00,900\nHello <i>you</i>\n\n'
        '2\n00:00:01,000 --> 00:00:01,500\nBye\n\n'
    )
    return path


def copy_video(clip, output, *, patches=(), start=None, end=None, **options):
    """Writes a clip with the same patches in each frame."""
    with VideoReader(clip, start=start, end=end) as reader:
        writer = VideoWriter(output, reader, **options)
        for frame in writer.in_segments(reader):
            writer.write(frame, patches)
        return writer.finish()


def whole_patch(colour, height, width):
    """Replaces each pixel of an upright frame."""
    # Larger than the frame: what lies outside the picture is not touched.
    picture = np.broadcast_to(np.uint8(colour), (height + 8, width + 8, 3))
    affine = np.array([[1.0, 0.0, 4.0], [0.0, 1.0, 4.0]])
    return Patch(picture, np.ones((height + 8, width + 8), np.float32), affine)


def square_patch(colour, left, top, size):
    """Replaces a square of an upright frame."""
    picture = np.broadcast_to(np.uint8(colour), (size, size, 3))
    affine = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
    return Patch(picture, np.ones((size, size), np.float32), affine)


def read_times(path):
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def read_rgb(path):
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format='rgb24', interpolation=ACCURATE)
            for frame in container.decode(video=0)
        ]


def read_sound(path, *, times=False):
    """The sound packets' bytes, or their times in seconds."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        if times:
            return [float(packet.pts * packet.time_base) for packet in packets]
        return [bytes(packet) for packet in packets]


def read_text(path):
    """(start, end, text) of each cue, seconds."""
    with av.open(str(path)) as container:
        cues = []
        for packet in container.demux(subtitles=0):
            for rect in packet.decode() if packet.size > 2 else ():
                start = float(packet.pts * packet.time_base)
                end = start + float(packet.duration * packet.time_base)
                cues.append((start, end, rect.dialogue.decode()))
        return cues


def count_frames(path):
    """By OpenCV, which decodes the file from the start to its end."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count
