"""What a swap remembers from frame to frame, and the one owner of it.

The stages of a video work ahead of each other in threads of their own, so nobody can ask all of
them at one moment what they know. Instead each one says so when the last frame of a segment has
just left it, in its own thread, and the answers travel on with that frame. What is kept with a
segment therefore belongs to its last frame, whatever the stages have seen since; and as every stage
begins something new there (MediaPipe's memory, a batch of the generator), a run that goes on from
it makes the same pictures as one that was never cut off.
"""

import copy
import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from apgan_jax.face.tracking import FaceTracker, TrackedFace
from apgan_jax.inference.face_counts import FaceCounts
from apgan_jax.inference.frame_swapper import FrameSwapper, Swapped
from apgan_jax.inference.last_look import LastLook
from apgan_jax.inference.prefetch import prefetch
from apgan_jax.video.reader import Frame

T = TypeVar('T')

_FULL_HD = 1920 * 1080


@dataclasses.dataclass(frozen=True)
class SessionState:
    """All that a swap remembers after a frame: JSON values and arrays.

    Attributes:
      tracking: people and their numbers, tracks, smoothing: `FaceTracker.state`.
      swapping: who becomes whom, the face selector's choice, steadying, what anonymous people look
        like: `FrameSwapper.state`.
      hiding: who was there a moment ago: `LastLook.state`; None without one.
      counts: of the faces up to that frame.
    """

    tracking: Any
    swapping: Any
    hiding: Any
    counts: FaceCounts

    def tree(self) -> dict[str, Any]:
        """For a segment's notes."""
        parts = ('tracking', 'swapping', 'hiding')
        return {**{name: getattr(self, name) for name in parts}, 'counts': self.counts.tree()}

    @classmethod
    def of_tree(cls, tree: dict[str, Any]) -> 'SessionState':
        """The state that `tree` is of."""
        return cls(
            tree['tracking'], tree['swapping'], tree['hiding'], FaceCounts.of_tree(tree['counts'])
        )


class _Remembered(NamedTuple):
    """By the stages that work ahead of the last one."""

    tracking: Any
    swapping: Any


class Session:
    """The stages between reader and writer of one video.

    Args:
      tracker: that knows nobody yet.
      frame_swapper: likewise.
      last_look: likewise, at what is about to be written; None: nobody is looked for there.
      pixels: of a frame; of large ones fewer wait between the stages.
    """

    def __init__(
        self,
        tracker: FaceTracker,
        frame_swapper: FrameSwapper,
        last_look: LastLook | None = None,
        *,
        pixels: int = _FULL_HD,
    ) -> None:
        self._tracker = tracker
        self._frame_swapper = frame_swapper
        self._last_look = last_look
        self._room = min(1.0, _FULL_HD / pixels)
        # Of the tracker after segments' last frames that are on their way to the next stage.
        self._tracking: deque[Any] = deque()
        self._counts = FaceCounts()

    def restore(self, state: SessionState) -> None:
        """Goes on after the frame that a state belongs to; call it before `run`."""
        self._tracker.restore(state.tracking)
        self._frame_swapper.restore(state.swapping)
        if self._last_look is not None:
            self._last_look.restore(state.hiding)
        self._counts.add(state.counts)

    def run(self, frames: Iterable[Frame]) -> Generator[tuple[Swapped[Frame], SessionState | None]]:
        """Yields frames with their patches, in order; decoding, finding and generating overlap.

        Args:
          frames: as `segments.in_segments` gives them.

        Yields:
          What is to be done to a frame and, if it ends a segment, the state after it.
        """
        decoded = prefetch(_converted(frames), ahead=self._ahead(4))
        tracked = prefetch(self._track(decoded), ahead=self._ahead(8))
        swapped = self._swap(tracked)
        if self._last_look is not None:
            looked_at = prefetch(swapped, ahead=self._ahead(2))
            swapped = self._last_look.run(_without_rgb(looked_at, lambda pair: pair[0].frame))
        return prefetch(self._count(swapped), ahead=self._ahead(2))

    def _ahead(self, frames: int) -> int:
        """How many frames may wait where so many of Full HD may."""
        return int(frames * self._room) or 1

    def _track(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[TrackedFace]]]:
        for frame, faces in self._tracker.track(frames):
            if frame.ends_segment:
                self._tracking.append(self._tracker.state())
                self._tracker.forget_video()
            yield frame, faces

    def _swap(
        self, tracked: Iterator[tuple[Frame, list[TrackedFace]]]
    ) -> Iterator[tuple[Swapped[Frame], _Remembered | None]]:
        for first in tracked:
            # To its end, so that no later frame shares a batch with this segment's last one.
            segment = _up_to_the_end(itertools.chain([first], tracked))
            without_rgb = _without_rgb(segment, lambda pair: pair[0])
            for done in self._frame_swapper.run(without_rgb, room=self._room):
                yield done, self._remembered() if done.frame.ends_segment else None

    def _remembered(self) -> _Remembered:
        return _Remembered(self._tracking.popleft(), self._frame_swapper.state())

    def _count(
        self, swapped: Iterable[tuple[Swapped[Frame], _Remembered | None]]
    ) -> Iterator[tuple[Swapped[Frame], SessionState | None]]:
        for done, remembered in swapped:
            self._counts.add(done.counts)
            yield done, remembered and self._state(*remembered)

    def _state(self, tracking: Any, swapping: Any) -> SessionState:
        hiding = self._last_look and self._last_look.state()
        return SessionState(tracking, swapping, hiding, copy.deepcopy(self._counts))


def _converted(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Frames whose pixels are there: made in the thread that decodes."""
    for frame in frames:
        frame.rgb  # noqa: B018
        yield frame


def _without_rgb(items: Iterable[T], frame_of: Callable[[T], Frame]) -> Iterator[T]:
    """Frees each frame's pixels when the stage that is given them asks for the next frame.

    Later stages may ask for them again; of most frames nobody does, and there are dozens on the
    way.
    """
    for item in items:
        yield item
        frame_of(item).forget_rgb()


def _up_to_the_end(
    tracked: Iterable[tuple[Frame, list[TrackedFace]]],
) -> Iterator[tuple[Frame, list[TrackedFace]]]:
    """What is left of the segment."""
    for frame, faces in tracked:
        yield frame, faces
        if frame.ends_segment:
            return
