"""The last look at a picture before it is written: whoever can still be recognised is blurred.

It asks nobody what became of the faces. The picture as it will be is searched for faces, all over
and closely about each place where one is known; each is compared with what the frame shows there,
which is the same where nothing was changed. And nobody vanishes from one frame to the next: where a
face is missing that was there a moment ago, or will be in a moment, its place is blurred too.
"""

import dataclasses
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from apgan_jax.face import alignment, blending, scene_cuts
from apgan_jax.face.detection import Detection, SmallFaceDetector
from apgan_jax.face.locations import Location
from apgan_jax.face.tracking import TimedPicture
from apgan_jax.inference.face_counts import Doubtful, PersonCounts
from apgan_jax.inference.frame_swapper import Swapped
from apgan_jax.networks.recognisers import SFaceRecogniser

F = TypeVar('F', bound=TimedPicture)
T = TypeVar('T')

# Cosine of SFace from which on a face may be known. OpenCV advises 0.363; three in a hundred pairs
# of strangers reach this one, but the encoder will change the picture a little.
_RECOGNISABLE = 0.30
# Frames before a face was seen first and after it was seen last in which its place is hidden, and
# by what part that grows with each of them: nobody knows where it went.
_REACH = 12
_GROWTH = 0.04
# Where the place itself has become another picture at once, there was a cut in a part of the
# picture: hidden in so many frames only, in case it was a flash.
_AT_A_CUT = 2
# A face moves from frame to frame by less than this many of its sizes, and grows by less.
_LEAP, _LEAP_IN_SIZE = 2.0, math.log(2.0)
# Where a blurred face is recognisable still, so much more is blurred, at most so often.
_MORE, _ROUNDS = 1.4, 3
# ArcFace's crop within it has 112 px.
_CROP = alignment.CropSpec(size=156)


class _Followed(NamedTuple):
    """A face that was seen so many frames ago, and where it may be by now."""

    location: Location
    age: int

    def later(self) -> '_Followed':
        return _Followed(_grown(self.location, 1 + _GROWTH), self.age + 1)


@dataclasses.dataclass
class _Held(Generic[F, T]):
    """A frame that has been looked at and not been handed out.

    Attributes:
      done: the frame.
      companion: what came with it.
      thumbnail: of the frame as it came, see `scene_cuts`.
      opens_scene: whether nothing before it counts.
      known: where faces are.
      hidden: what is to be blurred.
      state: see `LastLook.state`, after this frame.
    """

    done: Swapped[F]
    companion: T
    thumbnail: np.ndarray
    opens_scene: bool
    known: list[Location]
    hidden: list[Location]
    state: dict[str, Any]


class LastLook:
    """Blurs whoever is left in the frames of one video, or in a photo.

    Args:
      sface: tells people apart.
      reach: frames that it works ahead of what it hands out.

    Raises:
      UserError: YuNet's file is missing.
    """

    _held: deque[_Held[Any, Any]]
    _followed: list[_Followed]

    def __init__(self, sface: SFaceRecogniser, *, reach: int = _REACH) -> None:
        self._detector = SmallFaceDetector()
        self._sface = sface
        self._reach = reach
        self._held = deque()
        self.restore({'followed': [], 'thumbnail': np.zeros(0, np.uint8)})

    def state(self) -> dict[str, Any]:
        """See `Remembering`: after the frame that was handed out last."""
        return self._state

    def restore(self, state: dict[str, Any]) -> None:
        """See `Remembering`."""
        self._state = state
        self._thumbnail = state['thumbnail']
        self._followed = [
            _Followed(Location(complex(x, y), size, roll), age)
            for x, y, size, roll, age in state['followed']
        ]

    def run(self, frames: Iterable[tuple[Swapped[F], T]]) -> Iterator[tuple[Swapped[F], T]]:
        """Yields frames and what came with them, in order, at most `reach` frames late."""
        for done, companion in frames:
            self._take(done, companion)
            if len(self._held) > self._reach:
                yield self._hand_out()
        while self._held:
            yield self._hand_out()

    def _take(self, done: Swapped[F], companion: T) -> None:
        """Looks at the next frame, and what it says about those before."""
        before, self._thumbnail = self._thumbnail, scene_cuts.scene_thumbnail(done.frame.rgb)
        opens_scene = scene_cuts.opens_scene(before, self._thumbnail)
        followed = [] if opens_scene else self._followed
        tracked = list(done.locations.values())
        seen, recognisable = self._look(done, [*tracked, *(each.location for each in followed)])
        known = [
            *tracked,
            *(each for each in seen if not each.is_among(tracked)),
        ]
        now = _Held(done, companion, self._thumbnail, opens_scene, known, recognisable, {})
        self._held.append(now)
        self._bridge(followed, now, before)
        now.state = {
            'thumbnail': self._thumbnail,
            'followed': [
                [place.centre.real, place.centre.imag, place.size, place.roll, age]
                for place, age in self._followed
            ],
        }

    def _look(
        self, done: Swapped[F], expected: Sequence[Location]
    ) -> tuple[list[Location], list[Location]]:
        """Where faces are in a frame as it will be, and where somebody can be recognised."""
        original = done.frame.rgb
        picture = blending.with_patches(original, done.patches)
        faces = self._detector.search(picture)
        for location in expected:
            if not location.is_among(face.location for face in faces):
                face = self._detector.look_at(picture, location)
                faces += [] if face is None else [face]
        known = [face for face in faces if self._is_recognisable(original, picture, face)]
        return [face.location for face in faces], [face.location for face in known]

    def _is_recognisable(self, original: np.ndarray, picture: np.ndarray, face: Detection) -> bool:
        try:
            crop_from_frame = alignment.estimate_crop_from_frame(face.points, _CROP)
        except ValueError:  # Points that coincide.
            return True
        before, after = (
            alignment.warp_to_crop(each, crop_from_frame, _CROP.size)
            for each in (original, picture)
        )
        if np.array_equal(before, after):
            return True
        one, other = self._sface.embed(np.stack([before, after]), _CROP.arcface_window)
        return float(one @ other) >= _RECOGNISABLE

    def _bridge(self, followed: Sequence[_Followed], now: _Held[F, T], before: np.ndarray) -> None:
        """Hides who is missing in this frame, and who appears in it in the frames before.

        `before` is the thumbnail of the last one.
        """
        shape = now.done.frame.rgb.shape
        pairs = _pairs([each.location for each in followed], now.known)
        found = {earlier: now.known[later] for earlier, later in pairs}
        missing = [each.later() for row, each in enumerate(followed) if row not in found]
        missing = [
            each._replace(age=max(each.age, self._reach + 1 - _AT_A_CUT))
            if scene_cuts.is_another(before, now.thumbnail, each.location.box, shape)
            else each
            for each in missing
        ]
        missing = [each for each in missing if each.age <= self._reach]
        now.hidden += [each.location for each in missing]
        for row, location in found.items():
            self._hide_between(followed[row], location)
        for column, location in enumerate(now.known):
            if column not in {later for _, later in pairs} and not now.opens_scene:
                is_cut = scene_cuts.is_another(before, now.thumbnail, location.box, shape)
                self._hide_before(location, _AT_A_CUT if is_cut else self._reach)
        self._followed = [*(_Followed(location, 0) for location in now.known), *missing]

    def _hide_between(self, lost: _Followed, found: Location) -> None:
        """On the straight way from where a face was lost to where it was found."""
        # A run that goes on has not those that are written.
        for step in range(1, min(lost.age, len(self._held) - 1) + 1):
            part = step / (lost.age + 1)
            centre = found.centre + part * (lost.location.centre - found.centre)
            larger = max(found.size, lost.location.size)
            self._held[-1 - step].hidden.append(Location(centre, larger, found.roll))

    def _hide_before(self, location: Location, count: int) -> None:
        """In so many frames before it appeared, as far as they are still here."""
        frames = list(self._held)[-1 - count : -1]
        for frame in reversed(frames):
            location = _grown(location, 1 + _GROWTH)
            if location.is_among(frame.known):
                return
            frame.hidden.append(location)
            if frame.opens_scene:
                return

    def _hand_out(self) -> tuple[Swapped[F], T]:
        held = self._held.popleft()
        self._hide(held.done, held.hidden)
        self._state = held.state
        return held.done, held.companion

    def _hide(self, done: Swapped[F], places: Sequence[Location]) -> None:
        """Blurs places until nobody is recognisable there; else they are doubtful."""
        for round_number in range(_ROUNDS):
            if not places:
                return
            for place in _without_repeated(places):
                done.hide(place.box)
                _count(place, done, is_new=round_number == 0)
            _, recognisable = self._look(done, [*done.locations.values(), *places])
            places = [_grown(place, _MORE) for place in recognisable]
        done.counts.doubtful += [Doubtful(done.frame.time, place.box) for place in places]


def _count(place: Location, done: Swapped, *, is_new: bool) -> None:
    """Counts a place that is hidden, once: of a person who is known there, or of somebody."""
    for person, location in done.locations.items():
        if place.is_same(location):
            done.counts.people[person] = PersonCounts(frames=1, blurred=1)
            return
    if is_new:
        done.counts.count('blurred')
        done.counts.without_face = 0


def _grown(location: Location, factor: float) -> Location:
    return location._replace(size=location.size * factor)


def _pairs(earlier: Sequence[Location], later: Sequence[Location]) -> list[tuple[int, int]]:
    """Which is which of the next frame's."""
    costs = np.full((len(earlier), len(later)), 1e3)
    for row, one in enumerate(earlier):
        for column, other in enumerate(later):
            distance = abs(one.centre - other.centre) / max(one.size, other.size)
            growth = abs(math.log(one.size / other.size))
            if distance < _LEAP and growth < _LEAP_IN_SIZE:
                costs[row, column] = distance + growth
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return [(int(row), int(column)) for row, column in pairs if costs[row, column] < 1e3]


def _without_repeated(places: Iterable[Location]) -> list[Location]:
    """Without those that lie in another one."""
    kept: list[Location] = []
    for place in sorted(places, key=lambda each: -each.size):
        if not any(
            abs(place.centre - each.centre) + place.size / 2 < each.size / 2 for each in kept
        ):
            kept.append(place)
    return kept
