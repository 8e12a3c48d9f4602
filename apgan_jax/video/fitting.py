"""Frames that differ from the first one of their video, made like it.

Transport streams and joined recordings change the size, the format, the colours or the rotation on
their way; a file that is written has one of each. The first frame's hold, because nobody knows
those of the others before they are decoded. A picture of another shape is shown whole, with black
beside it.
"""

from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from apgan_jax.video.decoded import ACCURATE, SWSCALE_MATRIX, Orientation, display_matrix, views

# Of range, matrix, primaries and transfer.
_NOT_SAID = (0, 2, 2, 2)
_ATTRIBUTES = ('color_range', 'colorspace', 'color_primaries', 'color_trc')
_ARGUMENTS = ('dst_color_range', 'dst_colorspace', 'dst_color_primaries', 'dst_color_trc')


_Matrix = tuple[int, ...]


class _Look(NamedTuple):
    """What may change on the way.

    Attributes:
      height: pixels, stored.
      width: likewise.
      format_name: FFmpeg's.
      rotation: degrees. Asking each frame for its matrix would keep all of them: PyAV's side data
        and their frame hold each other.
      colours: range, matrix, primaries and transfer, ITU-T H.273 codes; None for what is not said.
    """

    height: int
    width: int
    format_name: str
    rotation: int
    colours: tuple[int | None, ...]

    def is_like(self, other: '_Look') -> bool:
        """Whether nothing has to be changed; colours that are not said may be any."""
        pairs = zip(self.colours, other.colours, strict=True)
        return self[:-1] == other[:-1] and all(a == b or None in (a, b) for a, b in pairs)


class FrameFitter:
    """Makes frames like the first one that it is given.

    Attributes:
      fitted: frames that had to be changed so far.
    """

    def __init__(self) -> None:
        self._first: _Look | None = None
        self._matrix: _Matrix | None = None
        self.fitted = 0

    def __call__(self, frame: Any) -> Any:
        """Returns a frame like the first one; the same one if it is."""
        look = _look(frame)
        if self._first is None:
            self._first, self._matrix = look, display_matrix(frame)
        if look.is_like(self._first):
            return frame
        self.fitted += 1
        matrix = self._matrix
        if look.rotation != self._first.rotation:
            matrix = display_matrix(frame)
        return _fitted(frame, look, self._first, (matrix, self._matrix))


def _look(frame: Any) -> _Look:
    values = (getattr(frame, name) for name in _ATTRIBUTES)
    colours = (
        None if value == unsaid else int(value)
        for value, unsaid in zip(values, _NOT_SAID, strict=True)
    )
    return _Look(frame.height, frame.width, frame.format.name, frame.rotation, tuple(colours))


def _fitted(
    frame: Any, look: _Look, first: _Look, matrices: tuple[_Matrix | None, _Matrix | None]
) -> Any:
    """By way of planes of one size, in which turning and scaling are the same for all.

    `matrices` are the frame's display matrix and the first one's.
    """
    own, wanted = (Orientation.from_display_matrix(matrix) for matrix in matrices)
    is_deep = max(component.bits for component in frame.format.components) > 8
    name = 'yuv444p10le' if is_deep else 'yuv444p'
    full: Any = frame.reformat(format=name, **_colours(look, first), **ACCURATE)
    stored = wanted.stored(own.upright(np.stack(views(full), axis=-1)))
    black = np.array([0 if full.color_range == ColorRange.JPEG else 16, 128, 128], stored.dtype)
    picture = _on_canvas(stored, black * (4 if is_deep else 1), (first.height, first.width))
    canvas: Any = av.VideoFrame(first.width, first.height, name)
    for target, source in zip(views(canvas), cv2.split(picture), strict=True):
        target[:] = source
    for attribute in _ATTRIBUTES:
        setattr(canvas, attribute, getattr(full, attribute))
    result: Any = canvas.reformat(format=first.format_name, **ACCURATE)
    for attribute, value in zip(_ATTRIBUTES, first.colours, strict=True):
        if value is not None:
            setattr(result, attribute, value)  # swscale has one code for several
    result.pts, result.time_base, result.duration = frame.pts, frame.time_base, frame.duration
    return result


def _colours(look: _Look, first: _Look) -> dict[str, int]:
    """Arguments for swscale, of what both say and say differently."""
    colours: dict[str, int] = {}
    for name, old, new in zip(_ARGUMENTS, look.colours, first.colours, strict=True):
        if old is not None and new is not None and old != new:
            is_matrix = name == 'dst_colorspace'
            colours[name] = SWSCALE_MATRIX.get(new, Colorspace.ITU601) if is_matrix else new
    return colours


def _on_canvas(picture: np.ndarray, colour: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """All of a picture (h, w, 3), as large as it fits, in the middle of one of another shape."""
    scale = min(shape[0] / picture.shape[0], shape[1] / picture.shape[1])
    height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    canvas = np.tile(colour, (*shape, 1))
    canvas[top : top + height, left : left + width] = cv2.resize(
        picture, (width, height), interpolation=method
    )
    return canvas
