"""Encoded video kept in segments, so that an interrupted run can go on and leaves nothing playable.

A segment is one safetensors file of the packets of about ten seconds, from a key frame of a fresh
encoder on. It appears under its name only when it is whole. Beside the segments lies `job.json`,
which says what they are segments of.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.files import array_tree, safetensors_file, tensors
from apgan_jax.files.atomic import whole_file
from apgan_jax.files.documents import parse_json_object, shortened
from apgan_jax.video.reader import Frame

_FORMAT_VERSION = 3
_JOB_NAME = 'job.json'
_ARRAYS = ('pts', 'duration', 'size', 'is_key')
_NOTED = 'notes/'


@dataclass(frozen=True)
class Segment:
    """Encoded packets in the order of decoding.

    Attributes:
      pts: int64 (n,), presentation times in units of the video's time base.
      duration: int64 (n,), likewise.
      size: int64 (n,), bytes.
      is_key: bool (n,).
      packets: uint8 (sum of sizes,); empty in `SegmentFolder.segments`.
      painted_frames: those that had patches.
      notes: the caller's state after the last frame, JSON values and arrays; None in
        `SegmentFolder.segments`.
    """

    pts: np.ndarray
    duration: np.ndarray
    size: np.ndarray
    is_key: np.ndarray
    packets: np.ndarray
    painted_frames: int
    notes: Any

    def split(self) -> Iterator[bytes]:
        """The packets' bytes."""
        ends = np.cumsum(self.size)
        for start, end in zip(ends - self.size, ends, strict=True):
            yield self.packets[start:end].tobytes()


@dataclass
class SegmentEncoder:
    """Encodes the frames of one segment.

    Attributes:
      encoder: PyAV's, open and new.
      painted_frames: counted by the owner.
    """

    encoder: Any
    painted_frames: int = 0
    _packets: list[Any] = field(default_factory=list)
    _durations: dict[int, int] = field(default_factory=dict)

    def encode(self, frame: Any) -> None:
        """Takes the next frame, which has pts and duration."""
        # Encoders do not hand durations on.
        self._durations[frame.pts] = frame.duration
        self._packets += self.encoder.encode(frame)

    def finish(self, notes: Any) -> Segment:
        """Flushes the encoder."""
        packets = [*self._packets, *self.encoder.encode(None)]
        data = b''.join(bytes(packet) for packet in packets)
        return Segment(
            pts=np.array([packet.pts for packet in packets], np.int64),
            duration=np.array([self._durations[p.pts] for p in packets], np.int64),
            size=np.array([packet.size for packet in packets], np.int64),
            is_key=np.array([packet.is_keyframe for packet in packets], bool),
            packets=np.frombuffer(data, np.uint8),
            painted_frames=self.painted_frames,
            notes=notes,
        )


class SegmentFolder:
    """The finished segments of one job.

    Args:
      path: of the folder, made where there is none.
      job: JSON values that say what is made of what; equal ones give equal segments.
      resume: keep the segments that are there if they are of an equal job, else start anew.

    Attributes:
      segments: finished ones, without their packets and notes.
      notes: of the last finished one; None without.

    Raises:
      UserError: the folder cannot be made or read, or is another job's.
    """

    def __init__(self, path: Path, job: Mapping[str, Any], *, resume: bool) -> None:
        self._path = path
        # As it will be read: tuples become lists, and what is no JSON is found out now.
        self._job = json.loads(json.dumps({'format_version': _FORMAT_VERSION, **job}))
        self.segments: list[Segment] = []
        self.notes: Any = None
        # Somebody else's link would lead what is removed here, and written, to where he likes.
        if path.is_symlink():
            raise UserError(f'{path}: is a link, where a folder for parts belongs; remove it')
        try:
            path.mkdir(exist_ok=True)
            if resume and (path / _JOB_NAME).exists():
                self._check_job()
                self._restore()
            else:
                self._begin()
        except OSError as error:
            raise UserError(
                f'{path}: cannot be made ({error.strerror}); choose a folder that is writable'
            ) from error

    @property
    def frames(self) -> int:
        """Frames in finished segments."""
        return sum(len(segment.pts) for segment in self.segments)

    def save(self, segment: Segment) -> None:
        """Adds the next segment.

        Raises:
          UserError: it cannot be written.
        """
        arrays = {name: getattr(segment, name) for name in (*_ARRAYS, 'packets')}
        notes, noted = array_tree.split(segment.notes)
        arrays |= {_NOTED + name: array for name, array in noted.items()}
        document = {
            'painted_frames': segment.painted_frames,
            'notes': notes,
        }
        document['checksum'] = _checksum(arrays, document)
        path = self._segment_path(len(self.segments))
        try:
            safetensors_file.write(path, arrays, document)
        except OSError as error:
            raise UserError(
                f'{path}: cannot be written ({error.strerror}); check that the disk has room'
            ) from error
        self._add(segment)

    def load(self) -> Iterator[Segment]:
        """The finished segments with their packets, one at a time."""
        for number in range(len(self.segments)):
            yield self._read(number)

    def remove(self) -> None:
        """Removes the segments, and the folder if nothing else is in it."""
        remove_segments(self._path)

    def _begin(self) -> None:
        _clear(self._path)
        # In one piece, and never through a link that bears the name.
        with whole_file(self._path / _JOB_NAME) as part:
            part.write_text(json.dumps(self._job, indent=1))

    def _segment_path(self, number: int) -> Path:
        return self._path / f'segment-{number:06d}.safetensors'

    def _read(self, number: int) -> Segment:
        """A segment, as it was written.

        Raises:
          UserError: its file is damaged, or another one's.
        """
        path = self._segment_path(number)
        try:
            arrays, document = safetensors_file.read(path, 'segment')
            if document.pop('checksum') != _checksum(arrays, document):
                raise ValueError('checksum')
            return _segment(arrays, document)
        except (UserError, LookupError, TypeError, ValueError) as error:
            raise UserError(
                f'{path}: is damaged; remove it and those after it, or start anew, without --resume'
            ) from error

    def _restore(self) -> None:
        while self._segment_path(len(self.segments)).exists():
            self._add(self._read(len(self.segments)))

    def _add(self, segment: Segment) -> None:
        """Only the last one's notes are of use, and hours of them would fill the memory."""
        self.notes = segment.notes
        self.segments.append(replace(segment, packets=np.empty(0, np.uint8), notes=None))

    def _check_job(self) -> None:
        path = self._path / _JOB_NAME
        remedy = 'start anew, without --resume'
        found = parse_json_object(path.read_bytes(), where=str(path), remedy=remedy)
        found = tensors.flatten(found, '.')
        wanted = tensors.flatten(self._job, '.')
        for name in sorted(found.keys() | wanted.keys()):
            before, now = found.get(name), wanted.get(name)
            if before != now:
                raise UserError(
                    f'{self._path}: cannot resume, {name:.60} was {shortened(before)} and is '
                    f'{shortened(now)}; give the same as before or {remedy}'
                )


def remove_segments(folder: Path) -> None:
    """Removes the segments of a job that is done, and their folder if nothing else is in it.

    Args:
      folder: of a `SegmentFolder`; a link is left alone.

    Raises:
      OSError: they cannot be removed.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    _clear(folder)
    if not any(folder.iterdir()):
        folder.rmdir()


def _clear(folder: Path) -> None:
    """Removes what `SegmentFolder` writes, half-written segments of a killed run included."""
    for pattern in ('segment-*.safetensors', '.segment-*.safetensors.*', _JOB_NAME):
        for path in folder.glob(pattern):
            path.unlink()


def _segment(arrays: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> Segment:
    """What `SegmentFolder.save` wrote."""
    noted = {name: each for name, each in arrays.items() if name.startswith(_NOTED)}
    own = {name: each for name, each in arrays.items() if name not in noted}
    notes = array_tree.join(
        document['notes'], {name.removeprefix(_NOTED): each for name, each in noted.items()}
    )
    return Segment(**own, painted_frames=document['painted_frames'], notes=notes)


def _checksum(arrays: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> int:
    """CRC-32 of all bytes: a disk that lost power may keep a file's length and not its end."""
    checksum = zlib.crc32(json.dumps(document, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        checksum = zlib.crc32(f'{name} {array.dtype} {array.shape}'.encode(), checksum)
        checksum = zlib.crc32(array.tobytes(), checksum)
    return checksum


def in_segments(frames: Iterable[Frame], seconds: float) -> Iterator[Frame]:
    """Says of each frame whether it ends a segment: the last one does, and any before which lie so
    many seconds. Every segment's first frame, as a run that goes on has it, begins the count.

    Args:
      frames: of a reader, the first one opens a segment; one is read ahead.
      seconds: of a segment, at least.
    """
    before, start = None, 0.0
    for frame in frames:
        if before is None:
            start = frame.time
        else:
            ends = frame.time >= start + seconds
            start = frame.time if ends else start
            yield replace(before, ends_segment=ends)
        before = frame
    if before is not None:
        yield replace(before, ends_segment=True)


def decoding_times(pts: np.ndarray) -> np.ndarray:
    """When to decode packets so that each is there when it is shown.

    Fresh encoders count anew from before their first frame, which at variable rates can lie before
    the last segment's end. So the times are made here, for all segments together: the shown times
    in order, later by as many frames as the encoder reorders.

    Args:
      pts: int64 (n,), presentation times in the order of decoding, all different.

    Returns:
      int64 (n,), strictly increasing, none above its pts.
    """
    shown = np.sort(pts)
    delay = int((np.arange(len(pts)) - np.searchsorted(shown, pts)).max(initial=0))
    if not delay:
        return shown
    before = shown[:delay] - (shown[delay] - shown[0])
    return np.concatenate([before, shown[:-delay]])
