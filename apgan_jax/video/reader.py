"""Reading videos: upright RGB frames one by one, in memory that does not grow with the length.

Stored frames may be turned or mirrored, which the container's display matrix says; what this module
gives is upright, as a viewer sees it. The decoded planes travel with each frame, so that
`video_writer` can change them where a face is and leave all else bit-identical.
"""

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from math import inf, isfinite
from pathlib import Path
from typing import Any, Self

import av
import cv2
import numpy as np
from av.device import enumerate_input_devices
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter

from apgan_jax.errors import UserError
from apgan_jax.video.clock import Clock
from apgan_jax.video.decoded import Orientation, display_matrix, side_data, views
from apgan_jax.video.fitting import FrameFitter

CAMERA_PREFIX = 'camera:'
# MPEG program and transport streams count from whenever the transmitter was switched on.
_FORMATS_WITH_ARBITRARY_START = {'mpeg', 'mpegts'}
# Their index says where each time is; in others a seek may land behind it.
_FORMATS_WITH_EXACT_SEEK = {'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm'}
# FFmpeg ends at a second header, where two recordings were joined.
_FORMATS_THAT_END_WITH_PACKETS = {'flv'}
# A key frame is stored up to its reordering before its time: seek a little too far back.
_SEEK_MARGIN_SECONDS = 1
# As many as photos may have: a header can ask for more memory than there is.
_MAX_PIXELS = 178_000_000
# FFmpeg's AVFieldOrder, of those that are shown so.
_BOTTOM_FIRST = (3, 4)
# `--start 0.28` is the frame at 7/25, whatever floating point makes of it.
TIME_TOLERANCE = Fraction(1, 1_000_000)
# RGB serves to find and crop faces and is never encoded, so swscale's fast paths do. One thread:
# waking more costs as much as they save at these sizes. Any: PyAV's stubs type each argument apart.
_FAST: dict[str, Any] = {'interpolation': Interpolation.FAST_BILINEAR, 'threads': 1}


@dataclass(frozen=True)
class VideoInfo:
    """What a file's header and its first frame say.

    Attributes:
      width: pixels, upright, before the pixel aspect is applied.
      height: likewise.
      frames: the header's count; None where the container keeps none or a part was asked for.
      frame_rate: mean, frames per second; None if unknown.
      duration_seconds: of the part that was asked for; None if unknown.
      has_sound: whether there is at least one sound track.
      pixel_format: FFmpeg's name of the decoded format.
      pixel_aspect: width of a pixel over its height; None if not said.
      color_range: ITU-T H.273 code, like the next three. 2 means unspecified, in a range 0.
      color_matrix: RGB to YUV.
      color_primaries: what red, green and blue are.
      color_transfer: the gamma curve.
      display_matrix: FFmpeg's nine integers, or None.
      mastering_display: x and y of red, green, blue and white, then the least and the greatest
        luminance in cd/m²; None if not said.
      content_light: greatest and greatest mean luminance of a frame, cd/m²; None if not said.
      first_field: 'top' or 'bottom', which of an interlaced frame's fields is shown first; None for
        progressive frames.
      has_alpha: whether the file has transparency, which not every decoder gives.
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
    mastering_display: tuple[Fraction, ...] | None = None
    content_light: tuple[int, int] | None = None
    first_field: str | None = None
    has_alpha: bool = False

    @property
    def orientation(self) -> Orientation:
        """How stored frames are shown."""
        return Orientation.from_display_matrix(self.display_matrix)

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) of the frames as they are stored."""
        if self.orientation.is_transposed:
            return self.width, self.height
        return self.height, self.width


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
      convert: makes `rgb`; any thread may call it.
      time: seconds, increasing.
      number: from 0.
      decoded: for `VideoWriter`, which changes it.
      ends_segment: whether the writer closes a segment after it, see `segments.in_segments`.
    """

    convert: Callable[[], np.ndarray] = field(repr=False, compare=False)
    time: float
    number: int
    decoded: Any = field(repr=False, compare=False)
    ends_segment: bool = False

    @functools.cached_property
    def rgb(self) -> np.ndarray:
        """Upright, uint8 (h, w, 3), C-contiguous and read-only."""
        return self.convert()

    def forget_rgb(self) -> None:
        """Frees `rgb`, twice as large as what was decoded; it is made again where it is asked for.

        Not once a `VideoWriter` has the frame.
        """
        self.__dict__.pop('rgb', None)


def is_camera(target: Path | str) -> bool:
    """Whether a target is a live source: `camera:0`, or `camera:` and a FIFO, device or URL."""
    return str(target).startswith(CAMERA_PREFIX)


def probe(path: Path | str) -> VideoInfo:
    """Reads what there is to know about a video, and that its first frame can be decoded.

    Raises:
      UserError: the file is missing, not a video, empty, or no frame of it can be decoded.
    """
    with VideoReader(path) as reader:
        return reader.info


class VideoReader:
    """The frames of a video file or of a live camera, once, in order.

    Damage is counted, not raised: FFmpeg conceals what it can and the rest is passed over.

    Args:
      target: any video that FFmpeg reads, or a camera, see `is_camera`.
      start: seconds; the first frame from there on becomes time 0.
      end: seconds, on the target's own clock; frames from there on are left out.

    Attributes:
      target: as given.
      info: what header and first frame say.
      container: PyAV's, open.
      stream: the video track read.
      clock_start: seconds that the target's own clock shows at its beginning.
      origin: seconds that are subtracted from the target's times.
      start: as given.
      end: as given.
      clock: which mends the target's own where that begins anew.
      decode_errors: damaged packets and frames so far.
      decoded_until: seconds on the target's clock up to which there were frames so far.
      stored_until: likewise, up to which there were packets of the picture.

    Raises:
      UserError: the target is missing, not a video, empty, no frame of it can be decoded, or there
        is none from `start` on.
    """

    def __init__(
        self, target: Path | str, *, start: float | None = None, end: float | None = None
    ) -> None:
        _check_part(start, end)
        self.target, self.start, self.end = target, start, end
        self.decode_errors = 0
        self.decoded_until = self.stored_until = Fraction()
        self._read_bytes = 0
        with ExitStack() as stack:
            self.container = stack.enter_context(open_container(target))
            self.stream = _video_stream(self.container, target)
            self.clock_start = _clock_start(self.container)
            self.clock = clock_of(self.container)
            self._reformatter, self._reformatting = VideoReformatter(), threading.Lock()
            self._fit = FrameFitter()
            self._last_pts: int | None = None
            self._decoded = self._decode_from(start)
            first = next(self._decoded, None)
            if start and self.decode_errors:
                # A frame that the container calls a key frame and that is none.
                first = self._restart()
            if first is None:
                raise UserError(self._no_frame())
            self.origin = first.pts * first.time_base if start else self.clock_start
            if end is not None and self._clock_time(first) >= Fraction(end) - TIME_TOLERANCE:
                raise UserError(
                    f'{target}: has no frame between {start or 0:g} s and {end:g} s; give more'
                )
            self._frames = self._shifted(chain([first], self._decoded))
            self.info = _describe(self, first)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file or the camera."""
        self._stack.close()

    @property
    def is_live(self) -> bool:
        """Whether it is a camera, which can be read only once."""
        return is_camera(self.target)

    @property
    def fitted_frames(self) -> int:
        """Frames so far that were of another size, format, rotation or colour than the first."""
        return self._fit.fitted

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of the decoded frames' times."""
        return self.stream.time_base or Fraction(1, av.time_base)

    @property
    def rate(self) -> Fraction:
        """Mean frames per second; 25 if unknown."""
        return self.stream.average_rate or self.stream.guessed_rate or Fraction(25)

    @property
    def unread_bytes(self) -> int:
        """What is behind the last packet, once all are read; 0 where an index may be there."""
        if self.container.format.name not in _FORMATS_THAT_END_WITH_PACKETS:
            return 0
        return max(0, self.container.size - self._read_bytes)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """The frames that have not been read yet.

        Args:
          first: number of the first one given; those before are decoded and not converted.

        Yields:
          Frames.
        """
        for number, decoded in enumerate(self._frames):
            if number < first:
                continue
            convert = functools.partial(self._upright_rgb, decoded)
            yield Frame(convert, decoded.time, number, decoded)

    def _upright_rgb(self, frame: Any) -> np.ndarray:
        rgb = self.info.orientation.upright(self._to_rgb(frame))
        # A caller that painted into its input would believe that it changed the video.
        rgb.flags.writeable = False
        return rgb

    def _to_rgb(self, frame: Any) -> np.ndarray:
        """Stored RGB, uint8 (h, w, 3)."""
        with self._reformatting:
            converted = self._reformatter.reformat(_fast_frame(frame), format='rgb24', **_FAST)
        rows = np.frombuffer(memoryview(converted.planes[0]), np.uint8)
        rows = rows.reshape(converted.height, -1)
        return rows[:, : 3 * converted.width].reshape(converted.height, converted.width, 3)

    def _decode_from(self, start: float | None, *, seek: bool = True) -> Iterator[Any]:
        """Decoded frames with increasing times on the target's clock, from `start` on."""
        if start and seek:
            seek_before(self.container, start)
        since = Fraction(start) - TIME_TOLERANCE if start else -inf
        streams = [self.stream, *clocked_streams(self.container)]
        for packet in packets_of(self.container, streams, self._count_error):
            self.clock.mend(packet)
            self._read_bytes = max(self._read_bytes, (packet.pos or 0) + packet.size)
            if packet.stream.index != self.stream.index:
                continue
            self._note_end(packet)
            for frame in decode(packet, self._count_error):
                self._stamp(frame)
                if self._clock_time(frame) >= since:
                    yield frame

    def _note_end(self, packet: Any) -> None:
        if packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base - self.clock_start
            self.stored_until = max(self.stored_until, end)

    def _restart(self) -> Any:
        """The first frame from `start` on, decoded from the beginning without a seek."""
        self.container.seek(0)
        self.decode_errors, self._last_pts = 0, None
        self.clock = clock_of(self.container)
        self._decoded = self._decode_from(self.start, seek=False)
        return next(self._decoded, None)

    def _stamp(self, frame: Any) -> None:
        """Gives a frame its time: its own, or the next one where it has none or lies behind."""
        frame.duration = frame.duration or round(1 / self.rate / frame.time_base)
        if frame.pts is None:
            frame.pts = self._guessed_pts(frame)
        if self._last_pts is not None:
            frame.pts = max(frame.pts, self._last_pts + 1)
        elif self.is_live:
            self.clock_start = frame.pts * frame.time_base
        self._last_pts = frame.pts

    def _guessed_pts(self, frame: Any) -> int:
        """The time of a frame that has none: that of its decoding, or after the last one."""
        if self._last_pts is not None:
            return self._last_pts + frame.duration
        if frame.dts is not None:
            return frame.dts
        return round(self.clock_start / frame.time_base)

    def _clock_time(self, frame: Any) -> Fraction:
        return Fraction(frame.pts * frame.time_base - self.clock_start)

    def _shifted(self, frames: Iterator[Any]) -> Iterator[Any]:
        """Frames on the output's clock, up to the end."""
        for frame in frames:
            time = self._clock_time(frame)
            if self.end is not None and time >= Fraction(self.end) - TIME_TOLERANCE:
                return
            self.decoded_until = time + frame.duration * frame.time_base
            frame.pts -= round(self.origin / frame.time_base)
            yield self._fit(frame)

    def _count_error(self) -> None:
        self.decode_errors += 1

    def _no_frame(self) -> str:
        if self.start and self._last_pts is not None:
            last = float(self._last_pts * self.time_base - self.clock_start)
            return (
                f'{self.target}: has no frame from {self.start:g} s on, its last is at '
                f'{last:.2f} s; start earlier'
            )
        return f'{self.target}: no frame can be decoded; copy the file again from its origin'


def open_container(target: Path | str) -> Any:
    """Opens a video file or a camera.

    Raises:
      UserError: it cannot be opened.
    """
    name, format_name = _camera(target) if is_camera(target) else (_file_url(target), None)
    try:
        return av.open(name, format=format_name)
    except (av.FFmpegError, OSError) as error:
        remedy = (
            'give camera:0, camera:1, … or camera:PATH of a device, FIFO or URL'
            if is_camera(target)
            else 'give a complete video file'
        )
        raise UserError(
            f'{target}: cannot be opened as a video ({error.strerror}); {remedy}'
        ) from error


def seek_before(container: Any, seconds: float) -> None:
    """Goes to a key frame that comes before a time; where that cannot be done, stays."""
    if container.format.name in _FORMATS_WITH_EXACT_SEEK:
        with suppress(av.FFmpegError):
            container.seek(int(max(0.0, seconds - _SEEK_MARGIN_SECONDS) * av.time_base))


def clock_of(container: Any) -> Clock:
    """A clock for a container's packets, from its beginning on."""
    return Clock(
        may_restart=bool(clocked_streams(container)),
        may_jump_ahead=container.format.name in _FORMATS_WITH_ARBITRARY_START,
    )


def clocked_streams(container: Any) -> list[Any]:
    """The streams whose packets a clock must see: the same for all who read a file.

    None where there is an index, which has no times that go back.
    """
    if container.format.name in _FORMATS_WITH_EXACT_SEEK:
        return []
    streams = [*container.streams.video, *container.streams.audio]
    return [stream for stream in streams if stream.codec_context is not None]


def packets_of(
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


def decode(packet: av.Packet, on_error: Callable[[], None]) -> list[Any]:
    """Decodes what can be decoded of a packet; damage is reported, not raised."""
    try:
        frames: list[Any] = packet.decode()
    except av.FFmpegError:
        on_error()
        return []
    if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
        on_error()
    return frames


def _camera(target: Path | str) -> tuple[str, str | None]:
    """What to open and as which format: the platform's camera by number, else a path or URL."""
    name = str(target).removeprefix(CAMERA_PREFIX)
    if not name.isdecimal():
        return name, None
    if sys.platform == 'darwin':
        return name, 'avfoundation'
    if sys.platform != 'win32':
        return f'/dev/video{name}', 'v4l2'
    devices = [d for d in enumerate_input_devices('dshow') if 'video' in d.media_types]
    if int(name) >= len(devices):
        raise UserError(f'{target}: there are {len(devices)} cameras; count from camera:0')
    return f'video={devices[int(name)].name}', 'dshow'


def _file_url(path: Path | str) -> str:
    """What FFmpeg takes for this file and nothing else: a name may begin like a protocol's."""
    # Opening a pipe would wait for somebody to write to it.
    if Path(path).exists() and not Path(path).is_file():
        raise UserError(
            f'{path}: is not a file; give a video file, or camera:{path} of a device or FIFO'
        )
    return f'file:{path}'


def _clock_start(container: Any) -> Fraction:
    has_offset = container.format.name in _FORMATS_WITH_ARBITRARY_START
    return Fraction(container.start_time or 0, av.time_base) if has_offset else Fraction()


def _check_part(start: float | None, end: float | None) -> None:
    for name, seconds in (('start', start), ('end', end)):
        if seconds is not None and not isfinite(seconds):
            raise UserError(f'{name} {seconds:g}: is no time; give seconds')
    if start is not None and start < 0:
        raise UserError(f'start {start:g} s: lies before the video; give 0 or more')
    if end is not None and end <= (start or 0):
        raise UserError(f'end {end:g} s: must lie after the start, {start or 0:g} s; give more')


def _video_stream(container: Any, target: Path | str) -> Any:
    for stream in container.streams.video:
        is_cover = bool(stream.disposition & Disposition.attached_pic)
        if not is_cover and stream.codec_context is not None:
            _check_size(stream.codec_context, target)
            return stream
    raise UserError(f'{target}: has no video track; give the path of a video file')


def _check_size(decoder: Any, target: Path | str) -> None:
    if decoder.width * decoder.height > _MAX_PIXELS:
        raise UserError(
            f'{target}: has frames of {decoder.width}×{decoder.height} pixels, more than '
            f'{_MAX_PIXELS // 1_000_000} megapixels; make them smaller'
        )


def _describe(reader: VideoReader, frame: Any) -> VideoInfo:
    container, stream = reader.container, reader.stream
    matrix = display_matrix(frame)
    is_turned = Orientation.from_display_matrix(matrix).is_transposed
    height, width = (frame.width, frame.height) if is_turned else (frame.height, frame.width)
    rate = stream.average_rate or stream.guessed_rate
    is_whole = reader.start is None and reader.end is None
    return VideoInfo(
        width=width,
        height=height,
        frames=(stream.frames or None) if is_whole else None,
        frame_rate=float(rate) if rate else None,
        duration_seconds=_part_duration(reader),
        has_sound=bool(container.streams.audio),
        pixel_format=frame.format.name,
        pixel_aspect=stream.sample_aspect_ratio or None,
        color_range=int(frame.color_range),
        color_matrix=int(frame.colorspace),
        color_primaries=int(frame.color_primaries),
        color_transfer=int(frame.color_trc),
        display_matrix=matrix,
        mastering_display=_mastering_display(frame),
        content_light=_content_light(frame),
        first_field=_first_field(frame, stream),
        has_alpha=_has_alpha(frame, stream),
    )


def declared_seconds(reader: VideoReader) -> float | None:
    """How long the video lasts, says the header."""
    stream = reader.stream
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    duration = reader.container.duration
    return None if duration is None else duration / av.time_base


def _part_duration(reader: VideoReader) -> float | None:
    declared = declared_seconds(reader)
    ends = [each for each in (declared, reader.end) if each is not None]
    return max(0.0, min(ends) - (reader.start or 0.0)) if ends else None


def _fast_frame(frame: Any) -> Any:
    """4:4:4 as 4:2:0, which swscale converts to RGB in a sixth of the time."""
    name = frame.format.name
    if name not in ('yuv444p', 'yuvj444p') or frame.width % 2 or frame.height % 2:
        return frame
    fast: Any = av.VideoFrame(frame.width, frame.height, name.replace('444', '420'))
    fast.colorspace, fast.color_range = frame.colorspace, frame.color_range
    for target, source in zip(views(fast), views(frame), strict=True):
        # Half a pixel beside where 4:2:0 has its colours, which no face network sees.
        cv2.resize(source, target.shape[::-1], target, interpolation=cv2.INTER_AREA)
    return fast


def _first_field(frame: Any, stream: Any) -> str | None:
    if not frame.interlaced_frame:
        return None
    return 'bottom' if stream.codec_context.field_order in _BOTTOM_FIRST else 'top'


def _has_alpha(frame: Any, stream: Any) -> bool:
    """Also where FFmpeg's decoder passes over it, as that of VP9 does."""
    is_decoded = any(component.is_alpha for component in frame.format.components)
    return is_decoded or stream.metadata.get('alpha_mode') == '1'


def _mastering_display(frame: Any) -> tuple[Fraction, ...] | None:
    """FFmpeg's AVMasteringDisplayMetadata: ten rationals and whether each part is set."""
    data = side_data(frame, 'MASTERING_DISPLAY_METADATA')
    if data is None:
        return None
    values = np.frombuffer(data, np.int32)
    if not values[20:22].all():
        return None
    return tuple(Fraction(int(n), int(d)) for n, d in values[:20].reshape(10, 2))


def _content_light(frame: Any) -> tuple[int, int] | None:
    data = side_data(frame, 'CONTENT_LIGHT_LEVEL')
    if data is None:
        return None
    greatest, mean = np.frombuffer(data, np.uint32)[:2]
    return int(greatest), int(mean)
