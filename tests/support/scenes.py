"""Clips of 1280×720 with portraits at known places, for whoever follows or swaps faces."""

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import cv2
import numpy as np

from support.faces import head
from support.video_clips import write_tone

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


def write_clip(path, pictures, *, rotation=None, pts=None, sound_seconds=0.0):
    """25 frames/s, H.264 4:2:0, good quality."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': '12'})
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, 'yuv420p'
        context.time_base = stream.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        track = container.add_stream('aac', rate=44_100, layout='mono') if sound_seconds else None
        times = [40 * number for number in range(len(pictures))] if pts is None else pts
        for picture, when in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(format='yuv420p')
            frame.pts, frame.time_base = when, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track:
            write_tone(container, track, 'mono', sound_seconds)
    return path
