"""Following every face of a video: one number for each person, landmarks that stand still.

`FaceTracker` stands between decoding and the generator. It works some frames ahead of what it
hands out, so that short gaps can be filled from both sides, a face that is noticed late is followed
back to where it came in, and smoothing looks both ways and therefore does not lag.

CPU time for a 720p frame: about 2 ms more than MediaPipe's 6 to 8 ms a face; 0.7 ms where there is
no face (`python -m benchmarks.steadiness`).
"""

import dataclasses
import functools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Generic, Protocol, Self, TypeVar

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from apgan_jax.errors import UserError
from apgan_jax.face import scene_cuts
from apgan_jax.face.detection import FaceDetector, SmallFaceDetector
from apgan_jax.face.finding import FaceReader
from apgan_jax.face.landmarks import Closing, FaceLandmarker, box_of, location_of
from apgan_jax.face.locations import Location
from apgan_jax.face.people import People
from apgan_jax.face.smoothing import FaceSmoother

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Largest difference of a thumbnail's pixels below which the scene is as it was searched last.
_CHANGED = 10.0
# Frames between two searches for small and turned faces.
_SMALL_SEARCH = 10
# A face that was found so many times running in a crop only is no longer expected elsewhere.
_CROPS_ONLY = 3
# Faces nearer to each other than this, in sizes of a face, may be taken for one another.
_CLOSE = 1.3
# Degrees: turned by more, the landmarker puts an upright face there, or sees none.
_TURNED = 60.0


class TimedPicture(Protocol):
    """What is asked of a frame."""

    @property
    def rgb(self) -> np.ndarray:
        """RGB uint8 (h, w, 3), C-contiguous."""

    @property
    def time(self) -> float:
        """Seconds."""


F = TypeVar('F', bound=TimedPicture)


@dataclasses.dataclass(frozen=True)
class TrackedFace:
    """One face in one frame.

    Attributes:
      person: whose it is; from 0, in the order of appearance.
      landmarks: float32 (478, 2), smoothed, pixels of the frame.
      is_filled: whether it was not seen in this frame, only before and after it.
    """

    person: int
    landmarks: np.ndarray
    is_filled: bool = False

    @functools.cached_property
    def location(self) -> Location:
        """See `location_of`."""
        return location_of(self.landmarks)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of the face mesh, pixels."""
        return box_of(self.landmarks)


@dataclasses.dataclass(frozen=True)
class _Observation:
    landmarks: np.ndarray
    is_filled: bool = False

    @functools.cached_property
    def location(self) -> Location:
        """See `location_of`."""
        return location_of(self.landmarks)


@dataclasses.dataclass(frozen=True)
class _Held(Generic[F]):
    """A frame that has not been handed out yet."""

    number: int
    frame: F
    opens_scene: bool


class _Track:
    """A face followed without a break longer than the look-ahead.

    Args:
      number: of the frame in which it was noticed.
      landmarks: (478, 2), in that frame.
      needs_crop: whether it is looked for in a crop only.
    """

    def __init__(self, number: int, landmarks: np.ndarray, *, needs_crop: bool) -> None:
        self.person = -1
        self.crops = _CROPS_ONLY if needs_crop else 0
        self.observations = {number: _Observation(landmarks)}
        self.last = number
        self.met: set[int] = set()
        self._smoother = FaceSmoother()

    @property
    def needs_crop(self) -> bool:
        """Whether looking for it in the whole frame is given up."""
        return self.crops >= _CROPS_ONLY

    @property
    def landmarks(self) -> np.ndarray:
        """Of the last frame in which it was seen."""
        return self.observations[self.last].landmarks

    @property
    def location(self) -> Location:
        """Likewise."""
        return self.observations[self.last].location

    def sees_the_whole(self) -> None:
        """Has it looked for in the whole frame again, if it is a face that is found there."""
        if abs(self.location.roll) < _TURNED:
            self.crops = 0

    def add(self, number: int, landmarks: np.ndarray) -> None:
        """Takes a later frame's landmarks; frames left out between are interpolated."""
        earlier, gap = self.landmarks, number - self.last
        for step in range(1, gap):
            between = earlier + (landmarks - earlier) * np.float32(step / gap)
            self.observations[self.last + step] = _Observation(between, is_filled=True)
        self.observations[number] = _Observation(landmarks)
        self.last = number

    def smoothed(self, number: int, reach: int) -> np.ndarray:
        """Landmarks of a frame, smoothed over the `reach` frames before and after it."""
        first = last = number
        while first - 1 in self.observations and number - first < reach:
            first -= 1
        while last + 1 in self.observations and last - number < reach:
            last += 1
        window = [self.observations[frame].landmarks for frame in range(first, last + 1)]
        return self._smoother(window, number - first)

    def forget(self, before: int) -> None:
        """Drops what was seen in frames before this one."""
        for number in [number for number in self.observations if number < before]:
            del self.observations[number]

    def state(self) -> dict[str, Any]:
        """Everything as JSON values and arrays, none of which changes later."""
        seen = self.observations.values()
        return {
            'person': self.person,
            'crops': self.crops,
            'last': self.last,
            'met': sorted(self.met),
            'numbers': list(self.observations),
            'landmarks': np.stack([each.landmarks for each in seen]),
            'is_filled': [each.is_filled for each in seen],
            'smoother': self._smoother.state(),
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """The track whose `state` this is."""
        track = cls(state['last'], state['landmarks'][0], needs_crop=False)
        for name in ('person', 'crops', 'last'):
            setattr(track, name, state[name])
        track.met = set(state['met'])
        seen = zip(state['numbers'], state['landmarks'], state['is_filled'], strict=True)
        track.observations = {number: _Observation(*each) for number, *each in seen}
        track._smoother.restore(state['smoother'])
        return track


class FaceTracker(Closing):
    """Finds and follows the faces of one video; a context manager.

    Args:
      thorough: whether everything is searched for small faces at full size, every few frames.
      lookahead: how many frames it works ahead of what it hands out, at least 1; also the longest
        gap that is filled.
      embed: gives the identity vector, of length 1, of the face with these landmarks (478, 2) in an
        RGB frame. With it people are recognised when they come back and after two faces were close
        to each other, the only times when it is called; without it, by their place alone.

    Raises:
      UserError: a model file is missing, or a system library that MediaPipe needs.
    """

    _tracks: list[_Track]
    _ended: list[_Track]
    # The last frame's, and of the frame searched last for small faces, whose number follows.
    _thumbnail: np.ndarray
    _searched: np.ndarray
    _searched_number: int
    # Frames looked at and not handed out yet; the number of the first of them; and of those that
    # only an earlier run has looked at, whether they open a scene.
    _held: deque[_Held[Any]]
    _next: int
    _observed: deque[bool]

    def __init__(
        self, *, thorough: bool = False, lookahead: int = 5, embed: Embed | None = None
    ) -> None:
        if lookahead < 1:
            raise ValueError(f'{lookahead=} must be 1 or more')
        self._thorough = thorough
        self._lookahead = lookahead
        self._embed = embed
        self._people = People()
        self._expected = 0
        self._landmarker: FaceLandmarker | None = None
        self._begin()
        self._resources = ExitStack()
        self._detector = self._resources.enter_context(FaceDetector())
        self._reader = self._resources.enter_context(FaceReader())
        self._small_faces = _small_face_detector()

    def close(self) -> None:
        """Frees MediaPipe's graphs."""
        self._expect(0)
        self._resources.close()

    @property
    def people(self) -> dict[int, np.ndarray | None]:
        """Everybody seen so far: mean identity vectors by person, None without `embed`."""
        return self._people.vectors()

    def state(self) -> dict[str, Any]:
        """All that is known after the frame handed out last: JSON values and arrays.

        Frames that are looked at already and not handed out yet belong to it, but for their
        pixels. MediaPipe's memory of earlier frames cannot be read, see `forget_video`.
        """
        return {
            'people': self._people.state(),
            'tracks': [track.state() for track in self._tracks],
            'ended': [track.state() for track in self._ended],
            'next': self._next,
            'opens_scene': [held.opens_scene for held in self._held],
            'thumbnail': self._thumbnail,
            'searched': self._searched,
            'searched_number': self._searched_number,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what `state` gave; the next `track` goes on with the frame after that one."""
        self._people.restore(state['people'])
        self._tracks = [_Track.restored(track) for track in state['tracks']]
        self._ended = [_Track.restored(track) for track in state['ended']]
        self._next, self._observed = state['next'], deque(state['opens_scene'])
        self._held.clear()
        self._is_restored = True
        self._thumbnail, self._searched = state['thumbnail'], state['searched']
        self._searched_number = state['searched_number']

    def forget_video(self) -> None:
        """Has MediaPipe begin anew with the next frame that is looked at.

        A run that goes on from a `state` has no choice but to begin so: one that does the same
        where it took the state sees the same faces.
        """
        self._expect(0)

    def track(self, frames: Iterable[F]) -> Iterator[tuple[F, list[TrackedFace]]]:
        """Yields each frame with its faces, in order, at most `lookahead` frames late.

        Every call begins anew, though not with its people, but for the first one after `restore`.
        """
        if not self._is_restored:
            self._begin()
        self._is_restored = False
        for number, frame in enumerate(frames, self._next):
            self._take(number, frame)
            if len(self._held) > self._lookahead:
                yield self._hand_out(self._held.popleft())
        while self._held:
            yield self._hand_out(self._held.popleft())

    def _begin(self) -> None:
        """Forgets the frames of an earlier `track`, though not its people."""
        self._tracks, self._ended = [], []
        self._thumbnail = self._searched = np.zeros(0, np.uint8)
        self._searched_number = -_SMALL_SEARCH
        self._held, self._next, self._observed = deque(), 0, deque()
        self._is_restored = False
        self._expect(0)

    def _take(self, number: int, frame: TimedPicture) -> None:
        """Looks at the next frame, unless the run that this one goes on from has."""
        if self._observed:
            self._held.append(_Held(number, frame, self._observed.popleft()))
            return
        self._held.append(_Held(number, frame, self._opens_scene(frame.rgb)))
        self._observe(self._held)

    def _opens_scene(self, rgb: np.ndarray) -> bool:
        previous, self._thumbnail = self._thumbnail, scene_cuts.scene_thumbnail(rgb)
        return scene_cuts.opens_scene(previous, self._thumbnail)

    def _observe(self, held: Sequence[_Held[F]]) -> None:
        """Finds the faces of the newest frame."""
        now = held[-1]
        if now.opens_scene:
            self._end(self._tracks)
        self._follow(now)
        self._end([track for track in self._tracks if now.number - track.last > self._lookahead])
        if now.opens_scene or now.number % self._lookahead == 0:
            self._search(held)
        for track in self._tracks:
            if track.last == now.number:
                self._people[track.person].seen(track.location, now.frame.time)
        self._check_encounters(now)

    def _end(self, tracks: Sequence[_Track]) -> None:
        self._ended += tracks
        self._tracks = [track for track in self._tracks if track not in tracks]

    def _follow(self, now: _Held[F]) -> None:
        """Looks for the known faces: in the frame, then each one that is missing in a crop."""
        expected = sum(not track.needs_crop for track in self._tracks)
        if expected != self._expected:
            self._expect(expected)
        if self._landmarker is not None:
            faces = self._landmarker.detect(now.frame.rgb, now.frame.time)
            for track, landmarks in self._matches(
                [face.landmarks for face in faces], now.frame.time
            ):
                track.crops = 0
                track.add(now.number, landmarks)
        for track in self._tracks:
            if track.last < now.number:
                centre = self._people[track.person].expected(now.frame.time)
                place = track.location._replace(centre=centre)
                found = self._landmarks_about(now.frame.rgb, place)
                if found is not None and not self._is_taken(found, now.number):
                    track.crops += 1
                    track.add(now.number, found)

    def _matches(
        self, faces: Sequence[np.ndarray], time: float
    ) -> Iterator[tuple[_Track, np.ndarray]]:
        """Pairs tracks with faces, so that the distances, in sizes of the face, are least."""
        costs = np.full((len(self._tracks), len(faces)), 1e3)
        for row, track in enumerate(self._tracks):
            last = track.location
            expected = self._people[track.person].expected(time)
            for column, found in enumerate(map(location_of, faces)):
                away = abs(found.centre - expected) / last.size
                cost = away + abs(np.log(found.size / last.size))
                turn = (found.roll - last.roll + 180) % 360 - 180
                costs[row, column] = cost if cost < 1 and abs(turn) < _TURNED else 1e3
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < 1:
                yield self._tracks[row], faces[column]

    def _expect(self, count: int) -> None:
        """Has a landmarker that follows so many faces.

        As long as it has all of them, MediaPipe leaves its detector alone: that is faster, and the
        landmarks shake three to five times less.
        """
        if self._landmarker is not None:
            self._landmarker.close()
        self._expected, self._landmarker = count, None
        if count:
            self._landmarker = FaceLandmarker(max_faces=count, video=True, expressions=False)

    def _landmarks_about(self, rgb: np.ndarray, location: Location) -> np.ndarray | None:
        """Landmarks of the face about a place, or None where there is none."""
        face = self._reader.read(rgb, location)
        return None if face is None else face.landmarks

    def _is_taken(self, landmarks: np.ndarray, number: int) -> bool:
        """Whether a track has this face already."""
        return location_of(landmarks).is_among(
            track.observations[number].location
            for track in (*self._tracks, *self._ended)
            if number in track.observations
        )

    def _search(self, held: Sequence[_Held[F]]) -> None:
        """Looks for new faces all over the newest frame, and follows them back."""
        now = held[-1]
        seen = [track for track in self._tracks if track.last == now.number]
        places = self._detector.detect(now.frame.rgb)
        for track in seen:
            if track.location.is_among(places):
                track.sees_the_whole()
        small = [place for place in self._small_places(now) if not place.is_among(places)]
        both = [*((place, False) for place in places), *((place, True) for place in small)]
        self._take_up(sorted(both, key=lambda each: each[0].centre.real), held)

    def _small_places(self, now: _Held[F]) -> list[Location]:
        """Where faces are that the other detector does not find."""
        if self._small_faces is None or not self._is_small_search_due(now):
            return []
        self._searched, self._searched_number = self._thumbnail, now.number
        detector = self._small_faces
        search = detector.search if self._thorough else detector.glance
        return [found.location for found in search(now.frame.rgb)]

    def _is_small_search_due(self, now: _Held[F]) -> bool:
        if self._thorough or now.opens_scene:
            return True
        changed = cv2.absdiff(self._searched, self._thumbnail).max() > _CHANGED
        return bool(changed) and now.number - self._searched_number >= _SMALL_SEARCH

    def _take_up(self, places: Sequence[tuple[Location, bool]], held: Sequence[_Held[F]]) -> None:
        """Begins a track for each place where a face is that no track has.

        People are numbered so: from the left. With each place, whether a crop must be looked at.
        """
        now = held[-1]
        for place, needs_crop in places:
            if place.is_among(track.location for track in self._tracks):
                continue
            roll = self._roll_at(now.frame.rgb, place)
            landmarks = self._landmarks_about(now.frame.rgb, place._replace(roll=roll))
            if landmarks is not None and not self._is_taken(landmarks, now.number):
                turned = abs(location_of(landmarks).roll) > _TURNED
                track = _Track(now.number, landmarks, needs_crop=needs_crop or turned)
                self._recognise(track, now)
                self._tracks.append(track)
                self._follow_back(track, held)

    def _roll_at(self, rgb: np.ndarray, place: Location) -> float:
        if self._small_faces is None:
            return 0.0
        return self._small_faces.roll_at(rgb, place) or 0.0

    def _follow_back(self, track: _Track, held: Sequence[_Held[F]]) -> None:
        """Finds a new face in the frames before, as far as they are still here."""
        later = held[-1]
        for earlier in reversed(list(held)[:-1]):
            known = track.observations[later.number].location
            landmarks = self._landmarks_about(earlier.frame.rgb, known)
            if later.opens_scene or landmarks is None or self._is_taken(landmarks, earlier.number):
                return
            track.observations[earlier.number] = _Observation(landmarks)
            later = earlier

    def _recognise(self, track: _Track, now: _Held[F]) -> None:
        """Finds out whose face a new track has."""
        vector = self._vector(track, now)
        visible = [other.person for other in self._tracks]
        person = self._people.recognise(vector, track.location, now.frame.time, besides=visible)
        track.person = self._people.add() if person is None else person
        self._people[track.person].learn(vector)

    def _vector(self, track: _Track, now: _Held[F]) -> np.ndarray | None:
        if self._embed is None:
            return None
        return np.asarray(self._embed(now.frame.rgb, track.landmarks), np.float64).reshape(-1)

    def _check_encounters(self, now: _Held[F]) -> None:
        """Faces that came close to each other may have been exchanged: looks when they part."""
        if self._embed is None:
            return
        for track in self._tracks:
            near = {other.person for other in self._tracks if _are_close(track, other)}
            track.met |= near
            if track.met and not near and track.last == now.number:
                self._check_person(track, now)

    def _check_person(self, track: _Track, now: _Held[F]) -> None:
        vector = self._vector(track, now)
        candidates, track.met = track.met | {track.person}, set()
        person = self._people.recognise(vector, track.location, now.frame.time, among=candidates)
        if person is None:
            return
        for other in self._tracks:
            if other.person == person:
                other.person = track.person
        track.person = person
        self._people[person].learn(vector)

    def _hand_out(self, held: _Held[F]) -> tuple[F, list[TrackedFace]]:
        faces = []
        for track in (*self._tracks, *self._ended):
            observation = track.observations.get(held.number)
            if observation is not None:
                smoothed = track.smoothed(held.number, self._lookahead)
                faces.append(TrackedFace(track.person, smoothed, observation.is_filled))
            track.forget(before=held.number - self._lookahead)
        self._ended = [track for track in self._ended if track.last > held.number]
        self._next = held.number + 1
        return held.frame, faces


def _small_face_detector() -> SmallFaceDetector | None:
    try:
        return SmallFaceDetector()
    except UserError as error:
        logging.warning('small faces are not searched for: %s', error)
        return None


def _are_close(track: _Track, other: _Track) -> bool:
    if track is other:
        return False
    one, two = track.location, other.location
    return abs(one.centre - two.centre) < _CLOSE * (one.size + two.size) / 2
