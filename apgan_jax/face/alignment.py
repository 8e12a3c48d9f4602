"""Crops: where a face goes in a square picture, and the similarity that takes it there.

Affine maps are 2x3 float64 matrices that act on (x, y, 1), as `cv2.warpAffine` takes them, named by
their direction: `crop_from_frame` takes points of the frame to points of the crop. Pixel centres
are at integer coordinates, so a normalised coordinate u is the pixel u * size - 0.5.
"""

import dataclasses
from typing import Any, Self

import cv2
import numpy as np
from skimage.transform import SimilarityTransform

from apgan_jax.errors import UserError
from apgan_jax.face import boundary
from apgan_jax.files import documents

# ArcFace's five points for a 112-px crop, the field's common reference (paper IV-A: "common 5-point
# average landmarks").
ARCFACE_TEMPLATE = (
    np.array(
        [
            [38.2946, 51.6963],
            [73.5318, 51.5014],
            [56.0252, 71.7366],
            [41.5493, 92.3655],
            [70.7299, 92.2041],
        ]
    )
    + 0.5
) / 112.0

# Left, top, right and bottom, in parts of a picture's size.
Window = tuple[float, float, float, float]
Template = tuple[tuple[float, float], ...]

HEAD_V1, FACE_V1 = 'head-v1', 'face-v1'
# Where ArcFace's crop, which shows the face alone, lies in each crop. The paper synthesises the
# whole head: in head-v1 head and hair fit. face-v1 has the face, brow to chin, and a margin for
# blending: a seventh more pixels for it, and hair and background stay the frame's.
ARCFACE_WINDOWS: dict[str, Window] = {
    HEAD_V1: (0.14, 0.128, 0.86, 0.848),
    FACE_V1: (0.09, 0.05, 0.91, 0.87),
}
HEAD_V1_WINDOW = ARCFACE_WINDOWS[HEAD_V1]


def _template_of(window: Window) -> Template:
    """ArcFace's points in a crop in which ArcFace's crop is a window."""
    left, top, right, bottom = window
    points = ARCFACE_TEMPLATE * (right - left, bottom - top) + np.array([left, top])
    return tuple((round(float(x), 8), round(float(y), 8)) for x, y in points)


HEAD_V1_TEMPLATE = _template_of(HEAD_V1_WINDOW)


@dataclasses.dataclass(frozen=True)
class CropSpec:
    """What a crop is. It travels with data set, checkpoint and bundle, so that they cannot differ.

    Attributes:
      name: of the template.
      template: normalised five points, in the order of `landmarks.five_points`.
      arcface_window: ArcFace's crop as a part of this one, which identity encoders see.
      size: height and width, pixels.
      interpolation: 'area-linear': frames larger than the crop are first reduced by area.
      boundary_style: how boundary maps are drawn, see `boundary.STYLE`.
      version: raised when the meaning of any field changes.
    """

    size: int
    name: str = HEAD_V1
    template: Template = HEAD_V1_TEMPLATE
    interpolation: str = 'area-linear'
    boundary_style: str = boundary.STYLE
    version: int = 1
    arcface_window: Window = HEAD_V1_WINDOW

    @classmethod
    def named(cls, name: str, size: int) -> Self:
        """The crop of a name, one of `ARCFACE_WINDOWS`.

        Args:
          name: of the crop.
          size: height and width, pixels.

        Raises:
          UserError: there is none of that name.
        """
        if name not in ARCFACE_WINDOWS:
            raise UserError(f'crop {name!r}: must be one of {", ".join(ARCFACE_WINDOWS)}')
        window = ARCFACE_WINDOWS[name]
        return cls(size, name, _template_of(window), arcface_window=window)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return dataclasses.asdict(self) | {
            'template': [list(point) for point in self.template],
            'arcface_window': list(self.arcface_window),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any], *, where: str = 'crop_spec') -> Self:
        """Builds a CropSpec from `to_dict`'s values, JSON round trip included.

        Without `arcface_window`, as files had it while there was one crop, it is head-v1's.

        Args:
          fields: of a file.
          where: they come from, for the message.

        Raises:
          UserError: a field is missing, unknown, or nothing that can be cropped by.
        """
        remedy = 'build the data or export the bundle again'
        documents.check_fields(fields, _FIELD_RULES, where=where, remedy=remedy)
        fields = {'arcface_window': HEAD_V1_WINDOW, **fields}
        template = tuple((float(x), float(y)) for x, y in fields['template'])
        window = tuple(map(float, fields['arcface_window']))
        return cls(**{**fields, 'template': template, 'arcface_window': window})

    def require_equal(self, other: 'CropSpec', *, here: str, there: str) -> None:
        """Refuses to go on when two parts of the system crop differently.

        Args:
          other: the CropSpec found.
          here: what this CropSpec belongs to, for the message.
          there: what `other` belongs to.

        Raises:
          UserError: naming the first field that differs and both values.
        """
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs:
                raise UserError(
                    f'crop_spec.{field.name} is {mine!r} in {here} but {theirs!r} in {there}: both '
                    "must crop faces in the same way; rebuild one of them with the other's value"
                )


def _spans_a_face(template: Any) -> bool:
    """Whether five points lie apart in both directions, so that they define a crop."""
    return _POINTS.is_met(template) and float(np.ptp(template, axis=0).min()) >= _LEAST_SPAN


def _is_window(window: Any) -> bool:
    if not _WINDOW.is_met(window):
        return False
    left, top, right, bottom = window
    return min(right - left, bottom - top) >= _LEAST_SPAN


# In parts of a crop's size.
_LEAST_SPAN = 0.01
_POINTS = documents.list_of(documents.list_of(documents.number(-1, 2), 2, 2), 5, 5)
_WINDOW = documents.list_of(documents.number(0, 1), 4, 4)
_FIELD_RULES = {
    'size': documents.whole(8, 4096),
    'name': documents.text(),
    'template': documents.Rule(_spans_a_face, 'five points [x, y] apart from each other'),
    'interpolation': documents.text(),
    'boundary_style': documents.text(),
    'version': documents.whole(1, 1000),
    'arcface_window': documents.Rule(
        _is_window, 'left, top, right and bottom in parts of the size'
    ).or_missing(),
}


def in_other_crop(places: Any, window: Window, other: Window) -> Any:
    """Where places of one crop lie in another crop of the same face.

    Args:
      places: (…, 2), x and y in parts of the crop's size; an array of NumPy or JAX.
      window: ArcFace's in the crop of the places.
      other: ArcFace's in the other crop.

    Returns:
      (…, 2), x and y in parts of the other crop's size; unchanged where the windows are equal.
    """
    here, there = np.reshape(window, (2, 2)), np.reshape(other, (2, 2))
    scale = np.ptp(there, axis=0) / np.ptp(here, axis=0)
    return places * scale + (there[0] - here[0] * scale)


def estimate_crop_from_frame(points: np.ndarray, spec: CropSpec) -> np.ndarray:
    """Least-squares similarity (rotation, scale, translation) from five points to the template.

    Args:
      points: (5, 2), frame pixels.
      spec: the crop.

    Returns:
      `crop_from_frame`, float64 (2, 3).

    Raises:
      ValueError: the points coincide or are not finite.
    """
    template = np.asarray(spec.template) * spec.size - 0.5
    if not np.isfinite(points).all() or np.ptp(points, axis=0).max() < 1e-6:
        raise ValueError('five points that coincide or are not finite define no crop')
    transform = SimilarityTransform.from_estimate(np.asarray(points, np.float64), template)
    return np.asarray(transform.params[:2])


def upright_window(centre: complex, side: float, roll: float, size: int) -> np.ndarray:
    """The map from a picture to a square window about a place, turned as a head is.

    Args:
      centre: x + iy, pixels.
      side: of the window, pixels of the picture.
      roll: by how many degrees the head is turned clockwise.
      size: of the window, its own pixels.

    Returns:
      float64 (2, 3), for `warp_to_crop`.
    """
    scale, angle = size / side, np.radians(roll)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cosine, sine], [-sine, cosine]])
    shift = (size - 1) / 2 - linear @ (centre.real, centre.imag)
    return np.column_stack([linear, shift])


def invert(affine: np.ndarray) -> np.ndarray:
    """Inverts a 2x3 affine map."""
    return cv2.invertAffineTransform(np.asarray(affine, np.float64))


def transform_points(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Applies a 2x3 affine map to points (n, 2); float32 (n, 2)."""
    return (points @ affine[:, :2].T + affine[:, 2]).astype(np.float32)


def scale_of(affine: np.ndarray) -> float:
    """By how much a similarity enlarges lengths."""
    return float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))


def warp_to_crop(frame: np.ndarray, crop_from_frame: np.ndarray, size: int) -> np.ndarray:
    """Cuts the crop out of a frame; what lies outside the frame repeats its edge.

    Args:
      frame: uint8 (h, w, 3).
      crop_from_frame: (2, 3).
      size: of the crop, pixels.

    Returns:
      uint8 (size, size, 3).
    """
    scale = scale_of(crop_from_frame)
    if scale < 1:
        # `warpAffine` takes four neighbours whatever the reduction: a large face would alias.
        frame, crop_from_frame = _reduce(frame, crop_from_frame, size, scale)
    return cv2.warpAffine(
        frame,
        crop_from_frame,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _reduce(
    frame: np.ndarray, crop_from_frame: np.ndarray, size: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Shrinks by area the part of the frame that the crop shows; the map from it to the crop."""
    left, top, right, bottom = crop_rectangle(crop_from_frame, size, frame.shape[:2], margin=2)
    if right - left < 2 or bottom - top < 2:
        return frame, crop_from_frame
    part = frame[top:bottom, left:right]
    width = max(1, round((right - left) * scale))
    height = max(1, round((bottom - top) * scale))
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    x_scale, y_scale = (right - left) / width, (bottom - top) / height
    frame_from_small = np.array(
        [[x_scale, 0, left + 0.5 * x_scale - 0.5], [0, y_scale, top + 0.5 * y_scale - 0.5]]
    )
    return small, compose(crop_from_frame, frame_from_small)


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The 2x3 affine map that applies `first`, then `second`."""
    return np.hstack([second[:, :2] @ first[:, :2], second @ np.append(first[:, 2], 1.0)[:, None]])


def inside_photo(crop_from_frame: np.ndarray, photo_size: tuple[int, int], size: int) -> np.ndarray:
    """Which pixels of a crop show the photo, and not its repeated edge; see `warp_to_crop`.

    Args:
      crop_from_frame: (2, 3), from the photo to the crop.
      photo_size: height and width of the photo, pixels.
      size: of the crop, pixels.

    Returns:
      float32 (size, size) in [0, 1]: between them where a pixel is interpolated across the edge.
    """
    rows, columns = np.mgrid[:size, :size]
    # Between the centres of neighbours, of the photo or of the crop, whichever are farther apart.
    steepness = min(scale_of(crop_from_frame), 1.0)
    inside = np.ones((size, size))
    for (x, y, shift), length in zip(invert(crop_from_frame), photo_size[::-1], strict=True):
        place = x * columns + y * rows + shift
        depth = np.minimum(place, length - 1 - place) + 0.5
        inside *= np.clip(depth * steepness + 0.5, 0, 1)
    return inside.astype(np.float32)


def crop_rectangle(
    crop_from_frame: np.ndarray, size: int, frame_shape: tuple[int, int], *, margin: int = 0
) -> tuple[int, int, int, int]:
    """The upright rectangle of the frame that holds the whole crop, clipped to the frame.

    Returns:
      (left, top, right, bottom), pixels, right and bottom exclusive; empty rectangles have
      right <= left or bottom <= top.
    """
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]]) - 0.5
    in_frame = transform_points(invert(crop_from_frame), corners)
    height, width = frame_shape
    left, top = np.floor(in_frame.min(axis=0)).astype(int) - margin
    right, bottom = np.ceil(in_frame.max(axis=0)).astype(int) + 1 + margin
    return max(0, left), max(0, top), min(width, right), min(height, bottom)
