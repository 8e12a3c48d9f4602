"""Who is who over a whole video: numbers for people, kept when they leave and come back."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from apgan_jax.face.locations import Location

# Cosines of MobileFaceNet: the same person in another frame is seldom below 0.5. Of the pairs of
# 392 photos of 98 people that nothing was trained on, 6.2 % of one person and 0.35 % of two are on
# the wrong side of 0.4; of 0.35, 5.0 % and 0.98 %. Being where the person was expected counts for
# something.
SAME_PERSON = 0.4
_BONUS_OF_PLACE = 0.05
# A face is expected where its motion leads, this long after it was seen last.
_MEMORY_SECONDS = 1.5


@dataclasses.dataclass
class Person:
    """What is remembered of somebody.

    Attributes:
      vector: mean identity vector, of length 1, or None where none was made.
      centre, velocity: complex x + iy of the face, pixels and pixels a second.
      size: of the face, pixels.
      time: when it was seen last, seconds.
    """

    vector: np.ndarray | None = None
    centre: complex = 0j
    velocity: complex = 0j
    size: float = 0.0
    time: float = -np.inf

    def seen(self, location: Location, time: float) -> None:
        """Remembers a place; velocity is averaged over about a quarter of a second."""
        elapsed = time - self.time
        if 0 < elapsed < _MEMORY_SECONDS:
            weight = min(1.0, elapsed / 0.25)
            self.velocity += weight * ((location.centre - self.centre) / elapsed - self.velocity)
        elif elapsed:
            self.velocity = 0j
        self.centre, self.size, self.time = location.centre, location.size, time

    def expected(self, time: float) -> complex:
        """Where the face should be at a time."""
        return self.centre + self.velocity * (time - self.time)

    def is_near(self, location: Location, time: float) -> bool:
        """Whether a face may be this one by place and size alone."""
        centre, size, _ = location
        if abs(time - self.time) > _MEMORY_SECONDS or not 0.6 < size / max(self.size, 1e-6) < 1.6:
            return False
        return min(abs(centre - self.expected(time)), abs(centre - self.centre)) < size

    def resemblance(self, vector: np.ndarray | None, location: Location, time: float) -> float:
        """How much a face looks like this person: about 1 at best, the same from 0.4 on."""
        is_near = self.is_near(location, time)
        if vector is None or self.vector is None:
            away = abs(location.centre - self.expected(time)) / location.size
            return 1 - away / 10 if is_near else -1.0
        return float(self.vector @ vector) + _BONUS_OF_PLACE * is_near

    def learn(self, vector: np.ndarray | None) -> None:
        """Takes one more identity vector into the mean."""
        if vector is None:
            return
        mean = vector if self.vector is None else 0.7 * self.vector + 0.3 * vector
        self.vector = mean / max(float(np.linalg.norm(mean)), 1e-9)


class People:
    """All people of a video by number, from 0, in the order of their appearance."""

    def __init__(self) -> None:
        self._people: dict[int, Person] = {}

    def __getitem__(self, number: int) -> Person:
        return self._people[number]

    def vectors(self) -> dict[int, np.ndarray | None]:
        """Mean identity vectors by number."""
        return {number: person.vector for number, person in self._people.items()}

    def recognise(
        self,
        vector: np.ndarray | None,
        location: Location,
        time: float,
        *,
        among: Collection[int] | None = None,
        besides: Collection[int] = (),
    ) -> int | None:
        """The person whom a face resembles most, or None when it resembles nobody.

        Args:
          vector: identity vector of the face, if there is one.
          location: where it is.
          time: when, seconds.
          among: the numbers that come into question; all by default.
          besides: numbers that do not.
        """
        numbers = set(self._people if among is None else among) - set(besides)
        scores = {
            number: self._people[number].resemblance(vector, location, time)
            for number in sorted(numbers)
        }
        best = max(scores, key=lambda number: scores[number], default=None)
        return best if best is not None and scores[best] >= SAME_PERSON else None

    def add(self) -> int:
        """A new person's number."""
        number = len(self._people)
        self._people[number] = Person()
        return number

    def state(self) -> list[dict[str, Any]]:
        """Everything as JSON values and arrays, none of which changes later."""
        return [
            {
                'vector': None if person.vector is None else np.copy(person.vector),
                'centre': [person.centre.real, person.centre.imag],
                'velocity': [person.velocity.real, person.velocity.imag],
                'size': person.size,
                'time': person.time,
            }
            for person in self._people.values()
        ]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Puts back what `state` gave."""
        self._people = {
            number: Person(
                vector=values['vector'],
                centre=complex(*values['centre']),
                velocity=complex(*values['velocity']),
                size=values['size'],
                time=values['time'],
            )
            for number, values in enumerate(state)
        }
