"""Places of faces in a picture: what detectors, landmarks and trackers have in common."""

from collections.abc import Iterable
from typing import NamedTuple, Self

# One face is not two: of its size, how far from another one's centre a face must be.
_DISTINCT = 0.4


class Location(NamedTuple):
    """Where a head is.

    Attributes:
      centre: of the face, x + iy, pixels.
      size: the larger of its width and height, pixels.
      roll: by how many degrees it is turned clockwise; 0 where nobody has looked.
    """

    centre: complex
    size: float
    roll: float = 0.0

    @classmethod
    def of_rectangle(cls, left: float, top: float, width: float, height: float) -> Self:
        """That of an upright rectangle about a face, pixels."""
        return cls(complex(left + width / 2, top + height / 2), float(max(width, height)))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of a square about it, pixels."""
        x, y, half = self.centre.real, self.centre.imag, self.size / 2
        return x - half, y - half, x + half, y + half

    def is_same(self, other: 'Location') -> bool:
        """Whether both are of one face, whatever its turn."""
        return abs(self.centre - other.centre) < _DISTINCT * max(self.size, other.size)

    def is_among(self, others: Iterable['Location']) -> bool:
        """Whether it is that of one of some faces."""
        return any(self.is_same(other) for other in others)
