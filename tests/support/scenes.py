"""Clips of 1280×720 with portraits at known places, for whoever follows or swaps faces."""

import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from support.faces import head

RATE = 25.0
HEIGHT, WIDTH = 720, 1280
# Of `faces.head`: the face's width and its middle.
_FACE_WIDTH, _FACE_CENTRE = 90.0, (109.0, 122.0)


@dataclasses.dataclass(frozen=True)
class Frame:
    rgb: np.ndarray
    time: float
    number: int


def empty(level: int = 90) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def add_face(
    canvas: np.ndarray,
    centre: tuple[float, float],
    width: float,
    picture: np.ndarray | None = None,
    *,
    roll: float = 0.0,
) -> np.ndarray:
    """Draws a head (by default `faces.head`) whose face is `width` px wide, roll in degrees."""
    picture = head() if picture is None else picture
    affine = cv2.getRotationMatrix2D(_FACE_CENTRE, roll, width / _FACE_WIDTH)
    affine[:, 2] += np.subtract(centre, _FACE_CENTRE)
    flags = cv2.INTER_AREA if width < _FACE_WIDTH else cv2.INTER_CUBIC
    if width < 0.6 * _FACE_WIDTH:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 * _FACE_WIDTH / width)
        flags = cv2.INTER_LINEAR
    return cv2.warpAffine(picture, affine, (WIDTH, HEIGHT), canvas, flags, cv2.BORDER_TRANSPARENT)


def clip(pictures: Sequence[np.ndarray], *, noise: float = 2.0, start: int = 0) -> Iterator[Frame]:
    """The pictures with camera noise of this standard deviation, made when they are asked for."""
    rng = np.random.default_rng(start)
    for number, picture in enumerate(pictures, start):
        grain = np.zeros(picture.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 30)))
        cv2.randn(grain, 0, noise)
        rgb = np.clip(picture + grain, 0, 255).astype(np.uint8)
        yield Frame(rgb, number / RATE, number)
