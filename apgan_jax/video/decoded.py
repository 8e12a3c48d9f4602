"""Decoded frames: their samples, how they are shown, and what swscale needs to convert them."""

from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any

import numpy as np
from av.video.reformatter import Colorspace, Interpolation

# For what is encoded: swscale's fast paths darken by 1 to 2
# levels. One thread: waking more costs as much as they save at these sizes.
ACCURATE: dict[str, Any] = {
    'interpolation': Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP,
    'threads': 1,
}
# ITU-T H.273 code to swscale's. The others are, or by FFmpeg's custom are taken for, BT.601.
SWSCALE_MATRIX = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}


@dataclass(frozen=True)
class Orientation:
    """How stored frames are shown: transposed first, then mirrored."""

    is_transposed: bool = False
    is_mirrored_x: bool = False
    is_mirrored_y: bool = False

    @classmethod
    def from_display_matrix(cls, matrix: tuple[int, ...] | None) -> 'Orientation':
        """Reads FFmpeg's display matrix: (x, y) is shown at (a·x + c·y, b·x + d·y)."""
        if matrix is None:
            return cls()
        a, b, _, c, d, *_ = matrix
        if abs(a) >= abs(b):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def upright(self, stored: np.ndarray) -> np.ndarray:
        """Turns a stored frame (h, w, 3) into the one that a viewer sees, C-contiguous."""
        turned = stored.swapaxes(0, 1) if self.is_transposed else stored
        step_y, step_x = (-1 if self.is_mirrored_y else 1), (-1 if self.is_mirrored_x else 1)
        return np.ascontiguousarray(turned[::step_y, ::step_x])

    def stored(self, upright: np.ndarray) -> np.ndarray:
        """The reverse of `upright`."""
        step_y, step_x = (-1 if self.is_mirrored_y else 1), (-1 if self.is_mirrored_x else 1)
        turned = upright[::step_y, ::step_x]
        return np.ascontiguousarray(turned.swapaxes(0, 1) if self.is_transposed else turned)

    def upright_from_stored(self, height: int, width: int) -> np.ndarray:
        """The same for pixels.

        Args:
          height: of the stored frame, pixels.
          width: likewise.

        Returns:
          float64 (2, 3), stored pixels to upright ones.
        """
        if self.is_transposed:
            height, width = width, height
        x, y = ((0.0, 1.0), (1.0, 0.0)) if self.is_transposed else ((1.0, 0.0), (0.0, 1.0))
        row_x = (-x[0], -x[1], width - 1.0) if self.is_mirrored_x else (*x, 0.0)
        row_y = (-y[0], -y[1], height - 1.0) if self.is_mirrored_y else (*y, 0.0)
        return np.array([row_x, row_y])


def views(frame: Any) -> list[np.ndarray]:
    """The samples of each plane, (h, w) uint8 or, of more than 8 bits, uint16; without a copy."""
    kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    return [
        np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]


def display_matrix(frame: Any) -> tuple[int, ...] | None:
    """FFmpeg's nine integers of how a frame is to be shown; None for as it is stored."""
    data = side_data(frame, 'DISPLAYMATRIX')
    if data is not None:
        return tuple(int(v) for v in np.frombuffer(data, np.int32))
    return _turned_matrix(frame.rotation)


def _turned_matrix(degrees: int) -> tuple[int, ...] | None:
    """The display matrix of a rotation, counter-clockwise; None for none."""
    if not degrees:
        return None
    c, s = round(cos(radians(degrees))) << 16, round(sin(radians(degrees))) << 16
    return (c, -s, 0, s, c, 0, 0, 0, 1 << 30)


def side_data(frame: Any, name: str) -> Any:
    """What is kept beside a frame under PyAV's name; None without."""
    try:
        return frame.side_data.get(name)
    # PyAV gives none of it where there is some that it has no name for, such as EXIF.
    except ValueError:
        return None
