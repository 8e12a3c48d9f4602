"""A few frames of a video, by seeking."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.video.reader import VideoReader, probe


class Sample(NamedTuple):
    """A frame of a video.

    Attributes:
      rgb: upright, uint8 (h, w, 3).
      time: seconds.
    """

    rgb: np.ndarray
    time: float


def sample_frames(
    path: Path, count: int, *, start: float | None = None, end: float | None = None
) -> Iterator[Sample]:
    """Yields at most `count` evenly spaced frames, from the first one on.

    A video whose container does not tell its duration gives its first frame.

    Args:
      path: of the video.
      count: of the frames.
      start: of the part that they come from, seconds; None: the beginning.
      end: likewise.

    Raises:
      UserError: the file cannot be read as a video.
    """
    first, duration = start or 0.0, probe(path).duration_seconds or 0.0
    last = duration if end is None else min(end, duration)
    seen = 0
    for number in range(count if duration else 1):
        time = first + number / count * (last - first)
        try:
            with VideoReader(path, start=time) as reader:
                yield Sample(next(iter(reader)).rgb, time)
                seen += 1
        except UserError:
            # Cut short: the header promises more than there is.
            if not seen:
                raise
            return
