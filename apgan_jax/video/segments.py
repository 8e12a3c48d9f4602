"""Encoded video kept in segments, so that an interrupted run can go on and leaves nothing playable.

A segment is one safetensors file of the packets of about ten seconds, from a key frame of a fresh
encoder on. It appears under its name only when it is whole. Beside the segments lies `job.json`,
which says what they are segments of.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.files import safetensors_file

_FORMAT_VERSION = 1
_JOB_NAME = 'job.json'
_ARRAYS = ('pts', 'duration', 'size', 'is_key')


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
      notes: the caller's state after the last frame.
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
      start: the first frame's time, seconds.
      painted_frames: counted by the owner.
    """

    encoder: Any
    start: float
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
      segments: finished ones, without their packets.

    Raises:
      UserError: the folder cannot be made or read, or is another job's.
    """

    def __init__(self, path: Path, job: Mapping[str, Any], *, resume: bool) -> None:
        self._path = path
        # As it will be read: tuples become lists, and what is no JSON is found out now.
        self._job = json.loads(json.dumps({'format_version': _FORMAT_VERSION, **job}))
        self.segments: list[Segment] = []
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f'{path}: cannot be made ({error.strerror}); choose a folder that is writable'
            ) from error
        if resume and (path / _JOB_NAME).exists():
            self._check_job()
            self._restore()
        else:
            self._clear()
            (path / _JOB_NAME).write_text(json.dumps(self._job, indent=1))

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
        document = {'painted_frames': segment.painted_frames, 'notes': segment.notes}
        path = self._segment_path(len(self.segments))
        try:
            safetensors_file.write(path, arrays, document)
        except OSError as error:
            raise UserError(
                f'{path}: cannot be written ({error.strerror}); check that the disk has room'
            ) from error
        self.segments.append(_without_packets(segment))

    def load(self) -> Iterator[Segment]:
        """The finished segments with their packets, one at a time."""
        for number in range(len(self.segments)):
            yield self._read(number)

    def remove(self) -> None:
        """Removes the segments, and the folder if nothing else is in it."""
        self._clear()
        if not any(self._path.iterdir()):
            self._path.rmdir()

    def _segment_path(self, number: int) -> Path:
        return self._path / f'segment-{number:06d}.safetensors'

    def _read(self, number: int) -> Segment:
        arrays, document = safetensors_file.read(self._segment_path(number), 'segment')
        return Segment(**arrays, painted_frames=document['painted_frames'], notes=document['notes'])

    def _restore(self) -> None:
        while self._segment_path(len(self.segments)).exists():
            self.segments.append(_without_packets(self._read(len(self.segments))))

    def _check_job(self) -> None:
        path = self._path / _JOB_NAME
        try:
            found = _flat(json.loads(path.read_text()))
        except ValueError as error:
            raise UserError(f'{path}: is damaged; start anew, without --resume') from error
        wanted = _flat(self._job)
        for name in sorted(found.keys() | wanted.keys()):
            before, now = found.get(name), wanted.get(name)
            if before != now:
                raise UserError(
                    f'{self._path}: cannot resume, {name} was {before!r} and is {now!r}; give the '
                    'same as before or start anew, without --resume'
                )

    def _clear(self) -> None:
        """Removes what this class writes, half-written segments of a killed run included."""
        for pattern in ('segment-*.safetensors', '.segment-*.safetensors.*', _JOB_NAME):
            for path in self._path.glob(pattern):
                path.unlink()


def _without_packets(segment: Segment) -> Segment:
    return Segment(**{**vars(segment), 'packets': np.empty(0, np.uint8)})


def _flat(values: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested JSON objects as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f'{prefix}{name}.')
        else:
            flat[prefix + name] = value
    return flat


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
