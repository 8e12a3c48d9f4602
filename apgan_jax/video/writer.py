"""Writing videos: frames in, a file out that has all else that the source has.

The picture goes to segments first (see `segments`). Only `finish` makes a video of them, under the
output's name when it is whole. Frame times, colour tags, pixel aspect, rotation, sound, subtitles
and chapters are kept; metadata such as the place and time of recording are not.
"""

import heapq
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.blending import Patch
from apgan_jax.files.atomic import whole_file
from apgan_jax.video.encoding import (
    Encoding,
    add_stream,
    create_encoder,
    not_kept,
    picture_format,
)
from apgan_jax.video.planes import Painter
from apgan_jax.video.reader import Frame, VideoReader, declared_seconds
from apgan_jax.video.segments import SegmentEncoder, SegmentFolder, decoding_times, in_segments
from apgan_jax.video.streams import (
    ConvertedText,
    CopiedSound,
    CopiedText,
    EncodedSound,
    SideStreams,
    Track,
)
from apgan_jax.video.trial import choose_tracks

VIDEO_SUFFIXES = ('.mp4', '.mov', '.m4v')
# QuickTime knows no AV1.
_NOT_WRITTEN = {('av1', '.mov')}
_DEFAULT_ENCODING = Encoding()
_FEW_BYTES, _FEW_FRAMES = 4096, 2


@dataclass(frozen=True)
class VideoStats:
    """What became of a video.

    Attributes:
      frames: frames written.
      unchanged_frames: those that had no patches.
      decode_errors: packets and frames that were damaged; FFmpeg conceals what it can.
      clock_restarts: how often the source's clock began anew; the parts follow each other.
      fitted_frames: those whose size, format, rotation or colours were made the first one's.
      lost_seconds: the declared duration less what could be decoded: a file cut short, or one that
        goes on in another codec.
      unread_bytes: behind the last packet, where nothing should be: another recording.
      audio_copied: sound tracks kept bytewise.
      audio_transcoded: sound tracks that the output's container cannot carry, encoded as AAC.
      transcoded_streams: their names, see `dropped_streams`.
      subtitles_copied: subtitle tracks kept bytewise.
      subtitles_converted: text tracks that the container cannot carry, as mov_text.
      dropped_streams: kind, codec and language of the streams left out.
      not_kept: what the picture has lost beside, for people.
      padded: lines and columns added, because the encoder needs even numbers of them.
      pixel_format: FFmpeg's name of the format written.
    """

    frames: int = 0
    unchanged_frames: int = 0
    decode_errors: int = 0
    clock_restarts: int = 0
    fitted_frames: int = 0
    lost_seconds: float = 0.0
    unread_bytes: int = 0
    audio_copied: int = 0
    audio_transcoded: int = 0
    transcoded_streams: tuple[str, ...] = ()
    subtitles_copied: int = 0
    subtitles_converted: int = 0
    dropped_streams: tuple[str, ...] = ()
    not_kept: tuple[str, ...] = ()
    padded: tuple[int, int] = (0, 0)
    pixel_format: str = ''


class VideoWriter:
    """Writes the frames of a reader, changed where faces are, with all that goes beside them.

    Args:
      output: an .mp4, .mov or .m4v file; replaced by `finish` if it exists.
      reader: where the frames come from.
      encoding: the user's choices.
      parts: folder for the finished segments; by default, next to the output.
      resume: go on after the segments of an interrupted run that are in `parts`, if there are any.
      job: JSON values that the picture depends on, such as the model's hash; a run is resumed only
        if they are equal. Target, part and encoding count too.
      segment_seconds: length of the segments: what an interruption costs at most.
      bare: without the titles of tracks and chapters.

    Attributes:
      next_frame: number of the frame that `write` expects.
      restored_notes: those of the last finished segment when resuming, else None.

    Raises:
      UserError: output or parts cannot be written, or the segments are another job's.
    """

    def __init__(
        self,
        output: Path | str,
        reader: VideoReader,
        *,
        encoding: Encoding = _DEFAULT_ENCODING,
        parts: Path | str | None = None,
        resume: bool = False,
        job: Mapping[str, Any] | None = None,
        segment_seconds: float = 10.0,
        bare: bool = False,
    ) -> None:
        self._output, self._reader, self._encoding = Path(output), reader, encoding
        self._bare = bare
        _check_output(self._output, reader, encoding, resume=resume)
        self._picture = picture_format(reader, encoding)
        # .m4v by name would make a raw MPEG-4 stream.
        self._muxer = 'mov' if self._output.suffix.lower() == '.mov' else 'mp4'
        self._ways = choose_tracks(reader, self._muxer, bare=bare)
        self._painter = Painter(self._picture, reader.info.orientation, reader.info.stored_size)
        folder = self._output.with_name(f'{self._output.name}.parts') if parts is None else parts
        fingerprint = _fingerprint(reader, encoding, segment_seconds, job or {})
        self._folder = SegmentFolder(Path(folder), fingerprint, resume=resume)
        self._segment: SegmentEncoder | None = None
        self._segment_seconds = segment_seconds
        self.next_frame = self._folder.frames
        self.restored_notes = self._folder.notes

    def in_segments(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The reader's frames from `next_frame` on, each with word whether it ends a segment.

        Frames that did not come through here are all of one segment, up to `finish`.
        """
        return in_segments(frames, self._segment_seconds)

    def write(self, frame: Frame, patches: Sequence[Patch] = (), notes: Any = None) -> None:
        """Blends patches into a frame's planes and encodes it.

        Args:
          frame: the next one of the reader; its decoded planes are changed.
          patches: later ones go on top. Without any, the frame is encoded as it was decoded.
          notes: the caller's state after this frame, JSON values and arrays, kept with the segment
            that it ends.

        Raises:
          UserError: the encoder refuses the video, or a segment cannot be written.
          ValueError: it is not the next frame.
        """
        if frame.number != self.next_frame:
            raise ValueError(f'frame {frame.number} where {self.next_frame} is expected')
        if self._segment is None:
            encoder = create_encoder(self._encoding, self._picture, self._reader.info)
            self._segment = SegmentEncoder(encoder)
        self._segment.encode(self._painter(frame.decoded, patches))
        self._segment.painted_frames += bool(patches)
        self.next_frame += 1
        if frame.ends_segment:
            self._close_segment(notes)

    def finish(self, *, keep_parts: bool = False) -> VideoStats:
        """Makes the video of the segments, then removes them.

        Args:
          keep_parts: leave them there, for whoever has something to do with the video that may
            fail; `segments.remove_segments` removes them later.

        Raises:
          UserError: there is no frame, or the output cannot be written; segments stay then.
        """
        self._close_segment()
        if not self._folder.segments:
            raise UserError(f'{self._output}: no frame was written; nothing to make a video of')
        try:
            with whole_file(self._output) as partial:
                stats = self._assemble(partial)
        except (av.FFmpegError, OSError) as error:
            raise UserError(
                f'{self._output}: cannot be written ({error.strerror}); check that the folder is '
                'writable and has room'
            ) from error
        if not keep_parts:
            self._folder.remove()
        return stats

    def _close_segment(self, notes: Any = None) -> None:
        if self._segment is not None:
            self._folder.save(self._segment.finish(notes))
            self._segment = None

    def _assemble(self, path: Path) -> VideoStats:
        options = _container_options(self._picture.time_base.denominator)
        with av.open(str(path), 'w', format=self._muxer, container_options=options) as container:
            video = add_stream(container, self._encoding, self._picture, self._reader.info)
            ways = _ways_of_what_is_whole(self._reader, self._ways)
            with SideStreams(self._reader, container, ways, bare=self._bare) as others:
                packets = heapq.merge(self._packets(video), others.packets(), key=_decoding_time)
                for packet in packets:
                    container.mux(packet)
                return self._stats(others)

    def _packets(self, stream: Any) -> Iterator[Any]:
        times = decoding_times(np.concatenate([each.pts for each in self._folder.segments]))
        dts = iter(times.tolist())
        for segment in self._folder.load():
            rows = zip(segment.split(), segment.pts, segment.duration, segment.is_key, strict=True)
            for data, pts, duration, is_key in rows:
                packet: Any = av.Packet(data)
                packet.stream, packet.time_base = stream, self._picture.time_base
                packet.pts, packet.dts, packet.duration = int(pts), next(dts), int(duration)
                packet.is_keyframe = bool(is_key)
                yield packet

    def _stats(self, others: SideStreams) -> VideoStats:
        height, width = self._reader.info.stored_size
        painted = sum(segment.painted_frames for segment in self._folder.segments)
        return VideoStats(
            frames=self._folder.frames,
            unchanged_frames=self._folder.frames - painted,
            decode_errors=self._reader.decode_errors + others.decode_errors,
            clock_restarts=self._reader.clock.restarts,
            fitted_frames=self._reader.fitted_frames,
            lost_seconds=_lost_seconds(self._reader, others),
            unread_bytes=_unread_bytes(self._reader),
            audio_copied=others.count(CopiedSound),
            audio_transcoded=others.count(EncodedSound),
            transcoded_streams=others.encoded,
            subtitles_copied=others.count(CopiedText),
            subtitles_converted=others.count(ConvertedText),
            dropped_streams=others.dropped,
            not_kept=not_kept(self._reader.info, self._encoding, self._picture),
            padded=(self._picture.height - height, self._picture.width - width),
            pixel_format=self._picture.name,
        )


def video_suffixes(codec: str) -> tuple[str, ...]:
    """Those of files that can carry a codec's video; see `Encoding.codec`."""
    return tuple(each for each in VIDEO_SUFFIXES if (codec, each) not in _NOT_WRITTEN)


def _check_output(output: Path, reader: VideoReader, encoding: Encoding, *, resume: bool) -> None:
    suffixes = video_suffixes(encoding.codec)
    if output.suffix.lower() not in suffixes:
        raise UserError(
            f"{output}: {encoding.codec} is not written as '{output.suffix}'; "
            f'choose a name that ends in {", ".join(suffixes)}'
        )
    if not output.parent.is_dir():
        raise UserError(f'{output}: cannot be written, {output.parent} is no folder; make it first')
    if reader.is_live:
        if resume:
            raise UserError(f'{reader.target}: is live and cannot be resumed; start anew')
    elif output.exists() and output.samefile(reader.target):
        raise UserError(f'{output}: is the source itself; choose another name for the output')


def _fingerprint(
    reader: VideoReader, encoding: Encoding, segment_seconds: float, job: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the encoded picture depends on."""
    target: dict[str, Any] = {'start': reader.start, 'end': reader.end}
    if not reader.is_live:
        status = os.stat(reader.target)
        target |= {'bytes': status.st_size, 'modified_ns': status.st_mtime_ns}
    return {
        'target': target,
        'encoding': asdict(encoding) | {'segment_seconds': segment_seconds},
        'job': dict(job),
    }


def _container_options(timescale: int) -> dict[str, str]:
    # In these containers times count in 1 / timescale seconds: with the source's, none is rounded.
    return {
        'movflags': '+faststart',
        'video_track_timescale': str(timescale),
        # Start times count in this one, for all tracks.
        'movie_timescale': str(timescale * -(-10_000 // timescale)),
    }


def _decoding_time(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


def _ways_of_what_is_whole(
    reader: VideoReader, ways: Mapping[int, type[Track]]
) -> Mapping[int, type[Track]]:
    """Decodes sound, rather than copy it, where a joined part is in another codec than the first.

    Its packets would be noise under the first one's name.
    """
    undecoded = reader.stored_until - reader.decoded_until
    if not reader.clock.restarts or undecoded <= _FEW_FRAMES / reader.rate:
        return ways
    return {index: EncodedSound if way is CopiedSound else way for index, way in ways.items()}


def _unread_bytes(reader: VideoReader) -> int:
    # A few belong to the format, and a part that ends before is all that was asked for.
    unread = reader.unread_bytes
    return unread if reader.end is None and unread > _FEW_BYTES else 0


def _lost_seconds(reader: VideoReader, others: SideStreams) -> float:
    if reader.end is not None:
        return 0.0
    # A header knows one clock only.
    is_joined = reader.clock.restarts > 0
    declared = float(reader.stored_until) if is_joined else declared_seconds(reader)
    if declared is None:
        return 0.0
    # Sound may go on for longer than the picture, whose own end is better where it is known.
    is_pictures = is_joined or reader.stream.duration is not None
    end = reader.decoded_until if is_pictures else max(reader.decoded_until, others.end)
    lost = declared - float(end)
    # Containers round, and some count to the start of the last frame.
    return lost if lost > _FEW_FRAMES / float(reader.rate) else 0.0
