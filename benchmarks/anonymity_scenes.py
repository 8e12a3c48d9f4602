"""Pictures of people whose places are known, because they were put there.

A scene is photos of faces that move over a backdrop. Boxes are (left, top, right, bottom) and
points (x, y), frame pixels, centres at integers; angles are degrees, counterclockwise.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from apgan_jax.face.alignment import transform_points
from apgan_jax.files.image_files import write_image

RATE = 25
# So that nothing of what the judge finds lacking is the encoder's.
_CRF = '14'
# Of a head without its photo's background: half axes in widths and heights of the face.
_HEAD = (0.85, 0.78)
Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Portrait:
    """A photo of one person.

    Attributes:
      name: of the person.
      rgb: uint8 (h, w, 3).
      box: of the face.
    """

    name: str
    rgb: np.ndarray
    box: Box

    @property
    def centre(self) -> tuple[float, float]:
        """Of the face."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the face."""
        left, top, right, bottom = self.box
        return right - left, bottom - top


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where a face is in one frame.

    Attributes:
      x, y: of its centre.
      width: of the upright face.
      angle: of its roll.
      mirrored: left and right are exchanged.
    """

    x: float
    y: float
    width: float
    angle: float = 0.0
    mirrored: bool = False


@dataclasses.dataclass(frozen=True)
class Truth:
    """A face that is in a frame, if others do not hide it.

    Attributes:
      person: whose photo it is.
      pose: where.
      height: of the upright face.
    """

    person: str
    pose: Pose
    height: float

    def box(self, margin: float = 0.0) -> Box:
        """About the face as an ellipse; `margin` is added at each side, in parts of its size."""
        angle = np.deg2rad(self.pose.angle)
        a, b = self.pose.width / 2, self.height / 2
        half_x = np.hypot(a * np.cos(angle), b * np.sin(angle)) * (1 + 2 * margin)
        half_y = np.hypot(a * np.sin(angle), b * np.cos(angle)) * (1 + 2 * margin)
        x, y = self.pose.x, self.pose.y
        return float(x - half_x), float(y - half_y), float(x + half_x), float(y + half_y)


@dataclasses.dataclass(frozen=True)
class Sprite:
    """A photo on its way.

    Attributes:
      portrait: the photo.
      poses: by frame; None where it is away.
      whole: the photo's whole square is shown, not the head alone.
    """

    portrait: Portrait
    poses: Sequence[Pose | None]
    whole: bool = False


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a clip or, with one frame, a photo shows.

    Attributes:
      backdrop: RGB uint8 pictures of one size, taken in turn.
      sprites: painted in this order.
      frames: their number.
      effect: what becomes of the whole picture of a frame.
      background: faces of the backdrop's pictures, in the same turn.
      people: of the backdrop.
    """

    backdrop: Sequence[np.ndarray]
    sprites: Sequence[Sprite]
    frames: int
    effect: Callable[[np.ndarray, int], np.ndarray] = lambda picture, frame: picture
    background: Sequence[Sequence[Truth]] = ((),)
    people: Sequence[Portrait] = ()

    def truths(self, frame: int) -> list[Truth]:
        """The faces of a frame, those wholly out of the picture left out."""
        height, width = self.backdrop[0].shape[:2]
        found = list(self.background[frame % len(self.background)])
        for sprite in self.sprites:
            pose = sprite.poses[frame]
            if pose is not None:
                truth = Truth(sprite.portrait.name, pose, _height(sprite.portrait, pose))
                left, top, right, bottom = truth.box()
                if right > 0 and bottom > 0 and left < width and top < height:
                    found.append(truth)
        return found

    def render(self, frame: int) -> np.ndarray:
        """The picture, RGB uint8 (h, w, 3)."""
        picture = self.backdrop[frame % len(self.backdrop)].copy()
        for sprite in self.sprites:
            pose = sprite.poses[frame]
            if pose is not None:
                paint(picture, sprite.portrait, pose, whole=sprite.whole)
        return self.effect(picture, frame)

    def portraits(self) -> dict[str, Portrait]:
        """Everybody's photo by name."""
        shown = [*self.people, *(sprite.portrait for sprite in self.sprites)]
        return {portrait.name: portrait for portrait in shown}


def _height(portrait: Portrait, pose: Pose) -> float:
    width, height = portrait.size
    return pose.width * height / width


def frame_from_photo(portrait: Portrait, pose: Pose) -> np.ndarray:
    """The similarity, float64 (2, 3), that brings the photo's face to its place."""
    affine = cv2.getRotationMatrix2D(
        portrait.centre, pose.angle, pose.width / portrait.size[0]
    ) + np.array([[0, 0, pose.x - portrait.centre[0]], [0, 0, pose.y - portrait.centre[1]]])
    if pose.mirrored:
        affine = affine @ np.array([[-1, 0, 2 * portrait.centre[0]], [0, 1, 0], [0, 0, 1]])
    return affine


def paint(picture: np.ndarray, portrait: Portrait, pose: Pose, *, whole: bool) -> None:
    """Paints a photo, or its head alone, over a picture."""
    affine = frame_from_photo(portrait, pose)
    left, top, right, bottom = _shown_part(picture, portrait, affine)
    if right <= left or bottom <= top:
        return
    photo, mask, affine = _reduced(portrait, affine, whole)
    affine = affine - np.array([[0, 0, left], [0, 0, top]])
    size = right - left, bottom - top
    part = picture[top:bottom, left:right]
    colours = cv2.warpAffine(photo, affine, size, None, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, affine, size, None, cv2.INTER_LINEAR)[..., None]
    part[:] = np.rint(part + alpha * (colours.astype(np.float32) - part)).astype(np.uint8)


def _shown_part(
    picture: np.ndarray, portrait: Portrait, affine: np.ndarray
) -> tuple[int, int, int, int]:
    rows, columns = portrait.rgb.shape[:2]
    corners = transform_points(
        affine, np.array([[0, 0], [columns, 0], [0, rows], [columns, rows]], float)
    )
    height, width = picture.shape[:2]
    left, top = np.floor(corners.min(axis=0) - 1).clip(0, (width, height)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0) + 2).clip(0, (width, height)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _reduced(
    portrait: Portrait, affine: np.ndarray, whole: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photo, its mask and the map from it; `warpAffine` alone would alias."""
    photo, mask = portrait.rgb, _mask(portrait, whole)
    scale = float(np.hypot(*affine[:, 0]))
    if scale >= 1:
        return photo, mask, affine
    rows, columns = photo.shape[:2]
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    x, y = columns / size[0], rows / size[1]
    photo_from_small = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return small, cv2.resize(mask, size, interpolation=cv2.INTER_AREA), affine @ photo_from_small


def _mask(portrait: Portrait, whole: bool) -> np.ndarray:
    rows, columns = portrait.rgb.shape[:2]
    if whole:
        return np.ones((rows, columns), np.float32)
    y, x = np.mgrid[:rows, :columns]
    width, height = portrait.size
    radius = np.hypot(
        (x - portrait.centre[0]) / (_HEAD[0] * width),
        (y - portrait.centre[1]) / (_HEAD[1] * height),
    )
    return np.clip((1 - radius) / 0.08, 0, 1).astype(np.float32)


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A backdrop of soft spots and grain, in which a blur is seen; RGB uint8 (h, w, 3)."""
    picture = np.full((height, width, 3), 120.0, np.float32)
    for cell, depth in ((120, 30.0), (24, 20.0), (6, 14.0)):
        rows, columns = height // cell + 2, width // cell + 2
        # Hardly coloured, as walls and streets are.
        coarse = rng.normal(0, depth, (rows, columns, 1)) + rng.normal(0, 5, (rows, columns, 3))
        picture += cv2.resize(coarse.astype(np.float32), (width, height))
    return np.clip(picture, 0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Case:
    """A file and what is in it.

    Attributes:
      kind: of the scene.
      path: of the file.
      truths: faces by frame.
      people: their photos by name.
    """

    kind: str
    path: Path
    truths: Sequence[Sequence[Truth]]
    people: dict[str, Portrait]


def write_case(scene: Scene, kind: str, stem: Path) -> Case:
    """Writes a scene, `stem` with a suffix: JPEG where it has one frame, H.264 else."""
    numbers = range(scene.frames)
    path = stem.with_suffix('.jpg' if scene.frames == 1 else '.mp4')
    if scene.frames == 1:
        write_image(path, scene.render(0))
    else:
        _write_clip(path, (scene.render(number) for number in numbers))
    return Case(kind, path, [scene.truths(number) for number in numbers], scene.portraits())


def _write_clip(path: Path, frames: Iterator[np.ndarray]) -> None:
    with av.open(str(path), 'w') as container:
        options = {'crf': _CRF, 'preset': 'veryfast'}
        stream = container.add_stream('libx264', rate=RATE, options=options)
        stream.pix_fmt = 'yuv420p'
        for rgb in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = rgb.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format='rgb24')))
        container.mux(stream.encode(None))


def read_pictures(path: Path) -> Iterator[np.ndarray]:
    """A clip's frames or a photo's picture, RGB uint8 (h, w, 3), not by the product's reader."""
    if path.suffix == '.jpg':
        yield cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        return
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format='rgb24')
