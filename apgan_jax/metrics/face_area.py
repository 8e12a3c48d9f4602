"""The part of a video in which its face is followed (paper IV-C, temporal continuity).

A place is (left, top, width, height) in pixels of the frame, an upright rectangle about a face.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np

from apgan_jax.errors import UserError

# Section IV-C: "we enlarge the face box detected in the first frame by 1.2 times as the fixed area
# and track the face in this area until the IOU … is less than 0.25".
ENLARGEMENT = 1.2
MIN_IOU = 0.25


@dataclasses.dataclass(frozen=True)
class FaceArea:
    """A fixed area of the frame: columns left … right - 1 and rows top … bottom - 1."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, place: Sequence[float] | np.ndarray, size: tuple[int, int]) -> Self | None:
        """The place, each side 1.2 times as long about its centre, clipped to the frame.

        Edges go to the nearest pixel.

        Args:
          place: of the face.
          size: of the frame, (height, width).

        Returns:
          The area; None where the place lies outside the frame.
        """
        height, width = size
        x, y, w, h = (float(value) for value in place)
        more_x, more_y = (ENLARGEMENT - 1) / 2 * w, (ENLARGEMENT - 1) / 2 * h
        left, right = max(round(x - more_x), 0), min(round(x + w + more_x), width)
        top, bottom = max(round(y - more_y), 0), min(round(y + h + more_y), height)
        return cls(left, top, right, bottom) if left < right and top < bottom else None

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """This area of a frame (h, w, ...): a view."""
        return frame[self.top : self.bottom, self.left : self.right]

    def iou(self, place: Sequence[float] | np.ndarray) -> float:
        """Intersection over union with a place, in [0, 1]; what is outside the frame counts."""
        x, y, w, h = (float(value) for value in place)
        common_width = min(x + w, self.right) - max(x, self.left)
        common_height = min(y + h, self.bottom) - max(y, self.top)
        common = max(common_width, 0.0) * max(common_height, 0.0)
        own = (self.right - self.left) * (self.bottom - self.top)
        return common / (own + w * h - common)


class FaceSequence:
    """Cuts one video and another of the same frames to the area of the first one's face.

    The sequence begins with the first frame that shows a face, which fixes the area, and ends
    before the first frame whose face has an intersection over union with the area below 0.25. A
    frame without a face has one of 0: it ends the sequence too, though the face may come back. What
    comes later would be another sequence; the paper measures one per video.

    Attributes:
      area: None as long as there was no face.
      ended: whether the sequence is over.
    """

    def __init__(self) -> None:
        self.area: FaceArea | None = None
        self.ended = False
        self._size: tuple[int, ...] = ()

    def add(
        self, frame: np.ndarray, other: np.ndarray, place: Sequence[float] | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Cuts the next frame of both videos.

        Args:
          frame: of the original, RGB uint8 (h, w, 3).
          other: the same frame of the other video.
          place: of the face in `frame`; None if there is none.

        Returns:
          The area in both, views; None before and after the sequence.

        Raises:
          UserError: frames differ in size.
        """
        self._check(frame, other)
        if self.area is None and place is not None:
            self.area = FaceArea.around(place, (frame.shape[0], frame.shape[1]))
        if self.area is None or self.ended:
            return None
        self.ended = place is None or self.area.iou(place) < MIN_IOU
        return None if self.ended else (self.area.cut(frame), self.area.cut(other))

    def _check(self, frame: np.ndarray, other: np.ndarray) -> None:
        self._size = self._size or frame.shape
        for shape in (frame.shape, other.shape):
            if shape != self._size:
                raise UserError(
                    f'a frame of {_text(shape)} in videos of {_text(self._size)}: both must have'
                    ' one size; give the swapped video in the size of its original'
                )


def place_of(landmarks: np.ndarray) -> np.ndarray:
    """The face mesh's bounding box: landmarks (478, 2) or (468, 2), pixels → a place (4,)."""
    points = landmarks[:468]
    low = points.min(axis=0)
    return np.concatenate([low, points.max(axis=0) - low])


def _text(shape: tuple[int, ...]) -> str:
    return f'{shape[1]}x{shape[0]}'
