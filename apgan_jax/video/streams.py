"""What goes beside the picture: sound, subtitles and chapters, copied where the container can.

Sound that it cannot carry becomes AAC, text becomes mov_text, and what is left out is named. The
source is opened once more for this, so that nothing of it has to be kept while the picture is made.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import av
from av.stream import Discard

from apgan_jax.video.reader import (
    TIME_TOLERANCE,
    VideoReader,
    clock_of,
    clocked_streams,
    decode,
    open_container,
    packets_of,
    seek_before,
)

_AAC_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
# By count, because old containers do not say which channel is which.
_AAC_LAYOUTS = {1: 'mono', 6: '5.1', 8: '7.1'}
_KEPT_METADATA = ('language', 'title')
# Chapters are stored a second time as text, which shows up as a stream of this name.
_CHAPTER_STREAM = 'bin_data'
_MAX_INTERLEAVING_SECONDS = 10
# Seconds; at most a few packets of sound.
_OVERLAP = Fraction(1, 10)


@dataclass(frozen=True)
class Part:
    """Which part of the source's streams is kept.

    Attributes:
      origin: seconds that become 0.
      is_cut: whether what lies before is left out.
      end: seconds of the source's clock from which on all is left out; None for no end.
    """

    origin: Fraction
    is_cut: bool
    end: Fraction | None

    def place(self, packet: Any) -> bool:
        """Moves a packet that has a pts to the output's clock; False if it lies outside."""
        time = packet.pts * packet.time_base
        is_late = self.end is not None and time >= self.end
        if is_late or (self.is_cut and time < self.origin):
            return False
        shift = round(self.origin / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        return True

    def place_text(self, packet: Any) -> bool:
        """Likewise for a subtitle, which is shortened where it reaches over an end."""
        unit = packet.time_base
        start = round(packet.pts - self.origin / unit)
        end = start + packet.duration
        if self.end is not None:
            end = min(end, round((self.end - self.origin) / unit))
        if self.is_cut:
            start = max(start, 0)
        if end <= start:
            return False
        packet.pts = packet.dts = start
        packet.duration = end - start
        return True

    def is_far_behind(self, packet: Any) -> bool:
        """Whether nothing that is kept can follow, streams being interleaved."""
        if self.end is None:
            return False
        return bool(packet.pts * packet.time_base > self.end + _MAX_INTERLEAVING_SECONDS)


WHOLE = Part(Fraction(), False, None)


class CopiedSound:
    """A sound track whose packets are passed on untouched."""

    def __init__(self, container: Any, source: Any) -> None:
        self._target = container.add_stream_from_template(source)
        _copy_description(source, self._target)
        self._last_dts: int | None = None

    def convert(self, packet: Any, part: Part, on_error: Callable[[], None]) -> Iterable[Any]:
        """The packets to write for one of the source."""
        if not part.place(packet):
            return []
        if self._last_dts is not None and packet.dts <= self._last_dts:
            if packet.dts * packet.time_base < self._last_dts * packet.time_base - _OVERLAP:
                on_error()  # out of order, which containers refuse
                return []
            # Where two recordings meet, the first one's sound may reach into the second one's.
            packet.pts = packet.dts = self._last_dts + 1
        self._last_dts = packet.dts
        packet.stream = self._target
        return [packet]

    def finish(self) -> Iterable[Any]:
        """The packets to write at the end."""
        return []


class EncodedSound:
    """A sound track that the container cannot carry, decoded and encoded as AAC."""

    def __init__(self, container: Any, source: Any) -> None:
        wanted = source.codec_context.sample_rate or _AAC_RATES[-1]
        rate = next((rate for rate in _AAC_RATES if rate >= wanted), _AAC_RATES[-1])
        layout = _AAC_LAYOUTS.get(source.codec_context.layout.nb_channels, 'stereo')
        self._target = container.add_stream('aac', rate=rate, layout=layout)
        _copy_description(source, self._target)
        self._new_resampler = functools.partial(
            av.AudioResampler, format='fltp', layout=layout, rate=rate
        )
        self._resampler = self._new_resampler()
        self._heard: tuple[Any, ...] | None = None
        self._source = source

    def convert(self, packet: Any, part: Part, on_error: Callable[[], None]) -> Iterator[Any]:
        """The packets to write for one of the source."""
        if part.place(packet):
            for frame in decode(packet, on_error):
                yield from self._encode(self._resampled(frame))

    def finish(self) -> Iterator[Any]:
        """The packets to write at the end."""
        for frame in self._source.codec_context.decode(None):
            yield from self._encode(self._resampled(frame))
        yield from self._encode([*self._resampler.resample(None), None])

    def _resampled(self, frame: Any) -> list[Any]:
        """In the encoder's form; broadcasts change their own on the way."""
        heard = frame.format.name, frame.layout.name, frame.sample_rate
        rest: list[Any] = []
        if self._heard not in (None, heard):
            rest = self._resampler.resample(None)
            self._resampler = self._new_resampler()
        self._heard = heard
        return rest + self._resampler.resample(frame)

    def _encode(self, frames: Iterable[Any]) -> Iterator[Any]:
        for frame in frames:
            yield from self._target.encode(frame)


class CopiedText:
    """A subtitle track whose packets are passed on untouched."""

    def __init__(self, container: Any, source: Any) -> None:
        self._target = container.add_stream_from_template(source)
        _copy_description(source, self._target)

    def convert(self, packet: Any, part: Part, on_error: Callable[[], None]) -> Iterable[Any]:
        """The packets to write for one of the source."""
        if not part.place_text(packet):
            return []
        packet.stream = self._target
        return [packet]

    def finish(self) -> Iterable[Any]:
        """The packets to write at the end."""
        return []


class ConvertedText:
    """A text subtitle track that the container cannot carry, as mov_text.

    Raises:
      ValueError: it is of pictures, not of text.
    """

    def __init__(self, container: Any, source: Any) -> None:
        if not source.codec_context.codec.text_sub:
            raise ValueError(f'{source.codec_context.name}: is no text')
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        self._target = container.add_stream('mov_text')
        self._encoder = self._target.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self._target.time_base = self._encoder.time_base = source.time_base
        # Opening the encoder here is what tells whether it takes the decoder's styles.
        self._encoder.open()
        _copy_description(source, self._target)

    def convert(self, packet: Any, part: Part, on_error: Callable[[], None]) -> Iterable[Any]:
        """The packets to write for one of the source."""
        try:
            subtitle = self._decoder.decode2(packet)
            text = bytes(self._encoder.encode_subtitle(subtitle)) if subtitle else b''
        except av.FFmpegError:
            on_error()
            return []
        if not text or not part.place_text(packet):
            return []
        converted: Any = av.Packet(text)
        converted.time_base, converted.duration = packet.time_base, packet.duration
        converted.pts = converted.dts = packet.pts
        converted.stream = self._target
        return [converted]

    def finish(self) -> Iterable[Any]:
        """The packets to write at the end."""
        return []


Track = CopiedSound | EncodedSound | CopiedText | ConvertedText


class SideStreams:
    """All streams of a reader's target but the picture, added to a container.

    Args:
      reader: whose target is opened once more. A live one cannot be: its sound is left out.
      container: PyAV's output, with its picture's track, nothing written yet.
      ways: how to carry each stream, by index, see `trial.choose_tracks`.
      bare: without the titles of tracks and chapters, which may be names.

    Attributes:
      tracks: by the source's stream index.
      dropped: names of the streams left out: kind, codec and language.
      encoded: those of the sound tracks that are encoded anew.
      decode_errors: damaged packets so far.
      end: seconds on the target's clock until which there is sound so far.
    """

    def __init__(
        self,
        reader: VideoReader,
        container: Any,
        ways: Mapping[int, type[Track]],
        *,
        bare: bool = False,
    ) -> None:
        self.encoded: tuple[str, ...] = ()
        self.tracks: dict[int, Track] = {}
        self.decode_errors = 0
        self.end = Fraction()
        self._reader = reader
        end = None if reader.end is None else reader.clock_start + Fraction(reader.end)
        self._part = Part(reader.origin, bool(reader.start), end and end - TIME_TOLERANCE)
        self._source = None if reader.is_live else open_container(reader.target)
        if self._source is None:
            self.dropped = _names(reader.container.streams, {reader.stream.index})
            return
        for stream in self._source.streams:
            if stream.index in ways:
                self.tracks[stream.index] = ways[stream.index](container, stream)
        chapters = self._source.chapters()
        placed = _placed(chapters, self._part)
        if bare:
            placed = [{**chapter, 'metadata': {}} for chapter in placed]
            for stream in container.streams:
                stream.metadata.pop('title', None)
        container.set_chapters(placed)
        carried = {reader.stream.index, *self.tracks}
        if chapters:
            carried |= {s.index for s in self._source.streams if s.name == _CHAPTER_STREAM}
        self.dropped = _names(self._source.streams, carried)
        self.encoded = tuple(
            _name(stream)
            for stream in self._source.streams
            if isinstance(self.tracks.get(stream.index), EncodedSound)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._source is not None:
            self._source.close()

    def count(self, kind: type) -> int:
        """How many tracks are of a kind."""
        return sum(isinstance(track, kind) for track in self.tracks.values())

    def packets(self) -> Iterator[Any]:
        """The packets to write, about in the order of their times."""
        if self._source is None or not self.tracks:
            return
        clock, streams = clock_of(self._source), self._streams()
        if self._part.is_cut:
            seek_before(self._source, self._reader.start or 0.0)
        for packet in packets_of(self._source, streams, self._count_error):
            clock.mend(packet)
            if packet.stream.index not in self.tracks or not self._has_time(packet):
                continue
            if self._part.is_far_behind(packet):
                break
            self._extend(packet)
            track = self.tracks[packet.stream.index]
            yield from track.convert(packet, self._part, self._count_error)
        for track in self.tracks.values():
            yield from track.finish()

    def _streams(self) -> list[Any]:
        """Those to be read; the others of the source are passed over."""
        assert self._source is not None
        clocked = {stream.index for stream in clocked_streams(self._source)}
        needed = clocked | self.tracks.keys()
        for stream in self._source.streams:
            if stream.index not in needed:
                stream.discard = Discard.all
        return [stream for stream in self._source.streams if stream.index in needed]

    def _has_time(self, packet: Any) -> bool:
        if not packet.size:  # demuxers end with empty packets
            return False
        packet.dts = packet.pts if packet.dts is None else packet.dts
        packet.pts = packet.dts if packet.pts is None else packet.pts
        if packet.pts is None:  # nobody knows when to play it
            self._count_error()
        return packet.pts is not None

    def _extend(self, packet: Any) -> None:
        if packet.stream.type == 'audio':
            until = (packet.pts + (packet.duration or 0)) * packet.time_base
            self.end = max(self.end, until - self._reader.clock_start)

    def _count_error(self) -> None:
        self.decode_errors += 1


def _copy_description(source: Any, target: Any) -> None:
    """Copies what players show in their menus, and nothing that could be private."""
    for name in _KEPT_METADATA:
        if name in source.metadata:
            target.metadata[name] = source.metadata[name]
    target.disposition = source.disposition


def _names(streams: Iterable[Any], carried: set[int]) -> tuple[str, ...]:
    return tuple(_name(stream) for stream in streams if stream.index not in carried)


def _name(stream: Any) -> str:
    """'subtitle hdmv_pgs_subtitle (eng)': kind, codec and language as far as they are known."""
    parts = [stream.type, getattr(stream, 'name', None), stream.language and f'({stream.language})']
    return ' '.join(part for part in parts if part)


def _placed(chapters: list[Any], part: Part) -> list[Any]:
    """Chapters on the output's clock, without those that lie outside."""
    placed = []
    for chapter in chapters:
        unit = chapter['time_base']
        limit = chapter['end'] if part.end is None else min(chapter['end'], round(part.end / unit))
        start, end = (round(time - part.origin / unit) for time in (chapter['start'], limit))
        if end > max(start, 0):
            placed.append({**chapter, 'start': max(start, 0), 'end': end})
    return placed
