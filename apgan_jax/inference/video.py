"""Video in, video out, frame by frame, in memory that does not grow with the length.

Only what the caller changes is changed: pixels that come back as they were given keep their
decoded YUV values, frames keep their times, and sound is copied packet by packet where the output's
container can carry it. Colours are converted with the matrix and range of the source.

RGB frames are upright, as a viewer sees them; stored frames may be turned or mirrored, which the
container's display matrix says.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from apgan_jax.errors import UserError

# (h, w, 3) uint8 RGB and the frame's time in seconds → the new frame, or None for 'unchanged'.
Transform = Callable[[np.ndarray, float], np.ndarray | None]

VIDEO_SUFFIXES = ('.mp4', '.mov', '.m4v')
# The `j` formats are the same with full range.
_KEPT_FORMATS = {'yuv420p', 'yuv422p', 'yuv444p', 'yuvj420p', 'yuvj422p', 'yuvj444p'}
# Fine enough to look lossless; the encoder must not cost more than the network.
_ENCODER_OPTIONS = {'crf': '17', 'preset': 'veryfast'}
# swscale's fast paths darken by 1 to 2 levels, which shows as a box around a pasted face.
_ACCURATE = (
    Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
# One thread: waking more costs as much as they save at these sizes. Any: PyAV's stubs type each
# argument apart, and call times optional that frames, packets and streams in use always have.
_CONVERSION: dict[str, Any] = {'interpolation': _ACCURATE, 'threads': 1}
# MPEG program and transport streams count from whenever the transmitter was switched on.
_FORMATS_WITH_ARBITRARY_START = {'mpeg', 'mpegts'}
_AAC_MAX_RATE = 48_000
# By count, because old containers do not say which channel is which.
_AAC_LAYOUTS = {1: 'mono', 6: '5.1', 8: '7.1'}
# ITU-T H.273 code to swscale's. The others are, or by FFmpeg's custom are taken for, BT.601.
_BT709_MATRIX = 1
_SWSCALE_MATRIX = {
    _BT709_MATRIX: Colorspace.ITU709,
    4: Colorspace.FCC,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}


@dataclass(frozen=True)
class Orientation:
    """How stored frames are shown: transposed first, then mirrored."""

    is_transposed: bool = False
    is_mirrored_x: bool = False
    is_mirrored_y: bool = False

    @classmethod
    def from_display_matrix(cls, matrix: tuple[int, ...] | None) -> 'Orientation':
        """Reads FFmpeg's display matrix: (x, y) is shown at (a·x + c·y, b·x + d·y)."""
        if matrix is None:
            return cls()
        a, b, _, c, d, *_ = matrix
        if abs(a) >= abs(b):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def upright(self, stored: np.ndarray) -> np.ndarray:
        """Turns a stored frame (h, w, 3) into the one that a viewer sees, C-contiguous."""
        turned = stored.swapaxes(0, 1) if self.is_transposed else stored
        return np.ascontiguousarray(self._mirror(turned))

    def stored(self, upright: np.ndarray) -> np.ndarray:
        """Inverse of `upright`."""
        mirrored = self._mirror(upright)
        return np.ascontiguousarray(mirrored.swapaxes(0, 1) if self.is_transposed else mirrored)

    def _mirror(self, image: np.ndarray) -> np.ndarray:
        return image[:: -1 if self.is_mirrored_y else 1, :: -1 if self.is_mirrored_x else 1]


@dataclass(frozen=True)
class VideoInfo:
    """What a file's header and its first frame say.

    Attributes:
      width: pixels, upright, before the pixel aspect is applied.
      height: likewise.
      frames: the header's count; None where the container keeps none.
      frame_rate: mean, frames per second; None if unknown.
      duration_seconds: None if unknown.
      has_sound: whether there is at least one sound track.
      pixel_format: FFmpeg's name of the decoded format.
      pixel_aspect: width of a pixel over its height; None if not said.
      color_range: ITU-T H.273 code, like the next three. 2 means unspecified, in a range 0.
      color_matrix: RGB to YUV.
      color_primaries: what red, green and blue are.
      color_transfer: the gamma curve.
      display_matrix: FFmpeg's nine integers, or None.
    """

    width: int
    height: int
    frames: int | None
    frame_rate: float | None
    duration_seconds: float | None
    has_sound: bool
    pixel_format: str
    pixel_aspect: Fraction | None
    color_range: int
    color_matrix: int
    color_primaries: int
    color_transfer: int
    display_matrix: tuple[int, ...] | None


@dataclass(frozen=True)
class VideoStats:
    """What became of a video.

    Attributes:
      frames: frames written.
      unchanged_frames: those that `transform` left as they were.
      decode_errors: packets and frames that were damaged; FFmpeg conceals what it can.
      lost_seconds: the declared duration less what could be decoded: a file cut short.
      audio_copied: sound tracks kept bytewise.
      audio_transcoded: sound tracks that the output's container cannot carry, encoded as AAC.
      dropped_streams: kinds of the streams left out: subtitles, data, further pictures.
    """

    frames: int = 0
    unchanged_frames: int = 0
    decode_errors: int = 0
    lost_seconds: float = 0.0
    audio_copied: int = 0
    audio_transcoded: int = 0
    dropped_streams: tuple[str, ...] = ()


def probe(path: Path) -> VideoInfo:
    """Reads what there is to know about a video, and that its first frame can be decoded.

    Raises:
      UserError: the file is missing, not a video, empty, or no frame of it can be decoded.
    """
    with _open(path) as container:
        stream = _video_stream(container, path)
        frame = next(_decoded(container, stream), None)
        if frame is None:
            raise UserError(f'{path}: no frame can be decoded; copy the file again from its origin')
        return _describe(container, stream, frame)


def transform_video(
    source: Path,
    output: Path,
    transform: Transform,
    *,
    on_frame: Callable[[], None] | None = None,
) -> VideoStats:
    """Writes `source` to `output` with each frame passed through `transform`.

    Frame times (variable rates too), colour tags, pixel aspect, rotation and sound are kept. H.264
    in the source's pixel format if that is 8-bit YUV, else 4:2:0; 4:4:4 if a side is odd. Metadata
    such as the place and time of recording are not copied.

    Args:
      source: any video that FFmpeg reads.
      output: a new .mp4, .mov or .m4v file. Left incomplete if this raises.
      transform: called in order with an upright RGB frame, (h, w, 3) uint8, C-contiguous and
        read-only, and its time in seconds, which increases; returns a new array of the same shape
        and type, or None to pass the frame on as it was decoded.
      on_frame: called after each frame, for progress.

    Returns:
      Counts, and what was lost if the source is damaged.

    Raises:
      UserError: `source` cannot be decoded at all or `output` cannot be written.
      ValueError: `transform` returned another shape or type than it was given.
    """
    info = probe(source)
    _check_output(source, output)
    try:
        with _open(source) as reader, _create(output, _video_stream(reader, source)) as writer:
            return _Transcoder(reader, writer, source, info).run(transform, on_frame)
    except av.FFmpegError as error:
        raise UserError(
            f'{output}: cannot be written ({error.strerror}); check that the folder exists, is '
            f'writable and has room'
        ) from error


class _Transcoder:
    """One pass over a video: what it reads and writes, and what it has counted so far."""

    def __init__(self, reader: Any, writer: Any, source: Path, info: VideoInfo) -> None:
        self._reader, self._writer = reader, writer
        self._video = _video_stream(reader, source)
        self._orientation = Orientation.from_display_matrix(info.display_matrix)
        self._encoder = _add_video(writer, self._video, info)
        self._sounds = {
            stream.index: _add_sound(writer, stream)
            for stream in reader.streams.audio
            if stream.codec_context is not None
        }
        has_offset = reader.format.name in _FORMATS_WITH_ARBITRARY_START
        start = Fraction(reader.start_time or 0, av.time_base) if has_offset else Fraction()
        self._clock = _Clock(start, Fraction(1) / self._encoder.codec_context.framerate)
        self._declared_seconds = info.duration_seconds
        self._frames = self._unchanged_frames = self._decode_errors = 0

    def run(self, transform: Transform, on_frame: Callable[[], None] | None) -> VideoStats:
        streams = [self._video, *(s for s in self._reader.streams if s.index in self._sounds)]
        for packet in _packets(self._reader, streams, self._count_error):
            if packet.stream.index != self._video.index:
                self._write_sound(packet)
                continue
            for frame in _decode(packet, self._count_error):
                self._write_frame(frame, transform)
                if on_frame:
                    on_frame()
        self._writer.mux(self._encoder.encode(None))
        for sound in self._sounds.values():
            sound.finish()
        return self._stats()

    def _write_frame(self, frame: av.VideoFrame, transform: Transform) -> None:
        self._clock.stamp(frame)
        stored = _to_format(frame, self._encoder.codec_context)
        rgb = self._orientation.upright(stored.to_ndarray(format='rgb24', **_CONVERSION))
        # A caller that painted into its input could not be told from one that changed nothing.
        rgb.flags.writeable = False
        result = transform(rgb, frame.time)
        if result is None:
            self._unchanged_frames += 1
        else:
            _check_result(result, rgb)
            _paint(stored, self._orientation.stored(rgb), self._orientation.stored(result))
        # Else the encoder repeats the source's choice of key frames.
        stored.pict_type = 0
        self._writer.mux(self._encoder.encode(stored))
        self._frames += 1

    def _write_sound(self, packet: av.Packet) -> None:
        if not packet.size:  # demuxers end with empty packets
            return
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None:  # nobody knows when to play it
            self._count_error()
            return
        self._clock.shift(packet)
        # Sound may go on for longer than the picture, whose own duration is better where known.
        if self._video.duration is None:
            self._clock.extend(packet)
        self._sounds[packet.stream.index].write(packet, self._count_error)

    def _count_error(self) -> None:
        self._decode_errors += 1

    def _stats(self) -> VideoStats:
        sounds = list(self._sounds.values())
        written = {self._video.index, *self._sounds}
        lost = (self._declared_seconds or 0.0) - float(self._clock.end)
        return VideoStats(
            frames=self._frames,
            unchanged_frames=self._unchanged_frames,
            decode_errors=self._decode_errors,
            # Containers round, and some count to the start of the last frame.
            lost_seconds=lost if lost > 2 * self._clock.frame_seconds else 0.0,
            audio_copied=sum(isinstance(sound, _CopiedSound) for sound in sounds),
            audio_transcoded=sum(isinstance(sound, _EncodedSound) for sound in sounds),
            dropped_streams=tuple(s.type for s in self._reader.streams if s.index not in written),
        )


class _Clock:
    """Times of the output: the source's, from 0 if its origin is arbitrary, and increasing."""

    def __init__(self, start: Fraction, frame_seconds: Fraction) -> None:
        self.frame_seconds = frame_seconds
        self.end = Fraction()
        self._start = start
        self._last_pts: int | None = None

    def stamp(self, frame: Any) -> None:
        """Gives a frame its time: its own, or the next one where it has none or lies behind."""
        time_base = frame.time_base
        frame.duration = frame.duration or round(self.frame_seconds / time_base)
        if frame.pts is None:
            frame.pts = 0 if self._last_pts is None else self._last_pts + frame.duration
        else:
            frame.pts -= round(self._start / time_base)
        if self._last_pts is not None:
            frame.pts = max(frame.pts, self._last_pts + 1)
        self._last_pts = frame.pts
        self.extend(frame)

    def shift(self, packet: Any) -> None:
        """Moves a sound packet that has a dts from the source's origin to the output's."""
        shift = round(self._start / packet.time_base)
        packet.dts -= shift
        packet.pts = packet.dts if packet.pts is None else packet.pts - shift

    def extend(self, timed: Any) -> None:
        """Notes that the output lasts at least until the end of this."""
        self.end = max(self.end, (timed.pts + (timed.duration or 0)) * timed.time_base)


class _CopiedSound:
    """A sound track whose packets are passed on untouched."""

    def __init__(self, writer: Any, source: av.AudioStream) -> None:
        self._writer = writer
        self._target = writer.add_stream_from_template(source)
        self._last_dts: int | None = None

    def write(self, packet: Any, on_error: Callable[[], None]) -> None:
        if self._last_dts is not None and packet.dts <= self._last_dts:
            on_error()  # out of order, which containers refuse
            return
        self._last_dts = packet.dts
        packet.stream = self._target
        self._writer.mux(packet)

    def finish(self) -> None:
        pass


class _EncodedSound:
    """A sound track that the container cannot carry, decoded and encoded as AAC."""

    def __init__(self, writer: Any, source: av.AudioStream) -> None:
        rate = min(source.codec_context.sample_rate, _AAC_MAX_RATE)
        channels = source.codec_context.layout.nb_channels
        layout = _AAC_LAYOUTS.get(channels, 'stereo')
        self._writer = writer
        self._target = writer.add_stream('aac', rate=rate, layout=layout)
        self._resampler = av.AudioResampler(format='fltp', layout=layout, rate=rate)
        self._source = source

    def write(self, packet: Any, on_error: Callable[[], None]) -> None:
        for frame in _decode(packet, on_error):
            self._encode(self._resampler.resample(frame))

    def finish(self) -> None:
        for frame in self._source.codec_context.decode(None):
            self._encode(self._resampler.resample(frame))
        self._encode([*self._resampler.resample(None), None])

    def _encode(self, frames: Iterable[av.AudioFrame | None]) -> None:
        for frame in frames:
            self._writer.mux(self._target.encode(frame))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise UserError(
            f'{path}: cannot be opened as a video ({error.strerror}); give a complete video file'
        ) from error
    with container:
        yield container


def _create(output: Path, video: Any) -> Any:
    # In these containers times count in 1 / timescale seconds: with the source's, none is rounded.
    timescale = video.time_base.denominator
    options = {
        'movflags': '+faststart',
        'video_track_timescale': str(timescale),
        # Start times count in this one, for all tracks.
        'movie_timescale': str(timescale * -(-10_000 // timescale)),
    }
    # .m4v by name would make a raw MPEG-4 stream.
    muxer = 'mov' if output.suffix.lower() == '.mov' else 'mp4'
    return av.open(str(output), 'w', format=muxer, container_options=options)


def _check_output(source: Path, output: Path) -> None:
    if output.suffix.lower() not in VIDEO_SUFFIXES:
        raise UserError(
            f"{output}: video is not written as '{output.suffix}'; "
            f'choose a name that ends in {", ".join(VIDEO_SUFFIXES)}'
        )
    if output.exists() and output.samefile(source):
        raise UserError(f'{output}: is the source itself; choose another name for the output')


def _video_stream(container: Any, path: Path) -> av.VideoStream:
    for stream in container.streams.video:
        is_cover = bool(stream.disposition & Disposition.attached_pic)
        if not is_cover and stream.codec_context is not None:
            return stream
    raise UserError(f'{path}: has no video track; give the path of a video file')


def _describe(container: Any, stream: av.VideoStream, frame: av.VideoFrame) -> VideoInfo:
    matrix = _display_matrix(frame)
    is_turned = Orientation.from_display_matrix(matrix).is_transposed
    height, width = (frame.width, frame.height) if is_turned else (frame.height, frame.width)
    rate = stream.average_rate or stream.guessed_rate
    return VideoInfo(
        width=width,
        height=height,
        frames=stream.frames or None,
        frame_rate=float(rate) if rate else None,
        duration_seconds=_duration(container, stream),
        has_sound=bool(container.streams.audio),
        pixel_format=frame.format.name,
        pixel_aspect=stream.sample_aspect_ratio or None,
        color_range=int(frame.color_range),
        color_matrix=int(frame.colorspace),
        color_primaries=int(frame.color_primaries),
        color_transfer=int(frame.color_trc),
        display_matrix=matrix,
    )


def _duration(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    data: Any = frame.side_data.get('DISPLAYMATRIX')
    return None if data is None else tuple(int(v) for v in np.frombuffer(data, np.int32))


def _packets(
    container: Any, streams: list[Any], on_error: Callable[[], None]
) -> Iterator[av.Packet]:
    """Demuxes until the end, or until nothing more can be read; then flushes the decoders."""
    try:
        yield from container.demux(streams)
    except av.FFmpegError:
        on_error()
        flush = av.Packet()
        flush.stream, flush.time_base = streams[0], streams[0].time_base
        yield flush


def _decode(packet: av.Packet, on_error: Callable[[], None]) -> list[Any]:
    """Decodes what can be decoded of a packet; damage is reported, not raised."""
    try:
        frames = packet.decode()
    except av.FFmpegError:
        on_error()
        return []
    if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
        on_error()
    return frames


def _decoded(container: Any, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    packets = _packets(container, [stream], lambda: None)
    return chain.from_iterable(_decode(packet, lambda: None) for packet in packets)


def _add_video(writer: Any, video: av.VideoStream, info: VideoInfo) -> av.VideoStream:
    rate = video.average_rate or video.guessed_rate or Fraction(25)
    stream = writer.add_stream('libx264', rate=rate, options=_ENCODER_OPTIONS)
    stream.time_base = video.time_base
    encoder = stream.codec_context
    encoder.time_base = video.time_base
    encoder.width, encoder.height = video.width, video.height
    encoder.pix_fmt = _encoder_format(info.pixel_format, video.width, video.height)
    if info.pixel_aspect:
        encoder.sample_aspect_ratio = info.pixel_aspect
    # Some codecs store RGB, which has no matrix or range to keep.
    is_rgb = av.VideoFormat(info.pixel_format).is_rgb
    encoder.colorspace = _BT709_MATRIX if is_rgb else info.color_matrix
    encoder.color_range = int(ColorRange.MPEG) if is_rgb else info.color_range
    encoder.color_primaries = info.color_primaries
    encoder.color_trc = info.color_transfer
    stream.set_display_matrix(info.display_matrix)
    return stream


def _encoder_format(pixel_format: str, width: int, height: int) -> str:
    kept = pixel_format if pixel_format in _KEPT_FORMATS else 'yuv420p'
    # Half-size colour planes need even sides.
    is_split = (width % 2 and '444' not in kept) or (height % 2 and '420' in kept)
    return kept.replace('420', '444').replace('422', '444') if is_split else kept


def _add_sound(writer: Any, source: av.AudioStream) -> _CopiedSound | _EncodedSound:
    try:
        return _CopiedSound(writer, source)
    except ValueError:  # PyAV's way to say that the container cannot carry the codec
        return _EncodedSound(writer, source)


def _to_format(frame: av.VideoFrame, encoder: av.VideoCodecContext) -> av.VideoFrame:
    """Returns the frame as the encoder wants it: itself, in all but rare formats."""
    colours = _conversion_to(encoder) if frame.format.is_rgb else {}
    return frame.reformat(encoder.width, encoder.height, encoder.pix_fmt, **colours, **_CONVERSION)


def _conversion_to(colours: Any) -> dict[str, Any]:
    """Arguments for a conversion from RGB to the matrix and range of a frame or an encoder."""
    is_full = colours.color_range == ColorRange.JPEG or colours.format.name.startswith('yuvj')
    return {
        'dst_colorspace': _SWSCALE_MATRIX.get(colours.colorspace, Colorspace.ITU601),
        'dst_color_range': ColorRange.JPEG if is_full else ColorRange.MPEG,
    }


def _check_result(result: np.ndarray, given: np.ndarray) -> None:
    if result.shape != given.shape or result.dtype != given.dtype:
        raise ValueError(
            f'transform returned {result.dtype}{result.shape} for {given.dtype}{given.shape}'
        )


def _paint(frame: av.VideoFrame, before: np.ndarray, after: np.ndarray) -> None:
    """Writes into the frame's YUV planes the rectangle in which two RGB pictures differ."""
    rectangle = _changed_rectangle(before, after)
    if rectangle is None:
        return
    rows, columns = rectangle
    patch = av.VideoFrame.from_ndarray(np.ascontiguousarray(after[rows, columns]), format='rgb24')
    patch = patch.reformat(format=frame.format.name, **_conversion_to(frame), **_CONVERSION)
    # Decoders keep frames to predict later ones from.
    frame.make_writable()
    for target, source in zip(frame.planes, patch.planes, strict=True):
        step_y, step_x = frame.height // target.height, frame.width // target.width
        top, left = rows.start // step_y, columns.start // step_x
        window = _view(target)[top : top + source.height, left : left + source.width]
        window[:] = _view(source)


def _view(plane: Any) -> np.ndarray:
    """Returns the samples of a plane, (h, w) uint8, without a copy."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[
        : plane.height, : plane.width
    ]


def _changed_rectangle(before: np.ndarray, after: np.ndarray) -> tuple[slice, slice] | None:
    """Returns rows and columns that hold all changes, grown to even bounds, or None."""
    height, width, _ = before.shape
    rows = np.flatnonzero((before != after).reshape(height, -1).any(axis=1))
    if not rows.size:
        return None
    top, bottom = int(rows[0]) & ~1, min(int(rows[-1]) + 2 & ~1, height)
    changed = (before[top:bottom] != after[top:bottom]).any(axis=0).any(axis=1)
    columns = np.flatnonzero(changed)
    return slice(top, bottom), slice(int(columns[0]) & ~1, min(int(columns[-1]) + 2 & ~1, width))
