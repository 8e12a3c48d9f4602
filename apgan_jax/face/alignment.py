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

# ArcFace's crop shows the face alone; the paper synthesises the whole head. Scaled by 0.72 about
# (0.5, 0.6) and moved to (0.5, 0.56), head and hair fit.
_HEAD_SCALE, _HEAD_CENTRE, _HEAD_POSITION = 0.72, (0.5, 0.6), (0.5, 0.56)
HEAD_V1_TEMPLATE = (ARCFACE_TEMPLATE - _HEAD_CENTRE) * _HEAD_SCALE + _HEAD_POSITION

# The inverse of the above: ArcFace's crop as a window (left, top, right, bottom) of the head crop.
ARCFACE_WINDOW = (
    _HEAD_POSITION[0] - _HEAD_SCALE * _HEAD_CENTRE[0],
    _HEAD_POSITION[1] - _HEAD_SCALE * _HEAD_CENTRE[1],
    _HEAD_POSITION[0] + _HEAD_SCALE * (1 - _HEAD_CENTRE[0]),
    _HEAD_POSITION[1] + _HEAD_SCALE * (1 - _HEAD_CENTRE[1]),
)


@dataclasses.dataclass(frozen=True)
class CropSpec:
    """What a crop is. It travels with data set, checkpoint and bundle, so that they cannot differ.

    Attributes:
      name: of the template.
      template: normalised five points, in the order of `landmarks.five_points`.
      size: height and width, pixels.
      interpolation: 'area-linear': frames larger than the crop are first reduced by area.
      boundary_style: how boundary maps are drawn, see `boundary.STYLE`.
      version: raised when the meaning of any field changes.
    """

    size: int
    name: str = 'head-v1'
    template: tuple[tuple[float, float], ...] = tuple(
        (round(float(x), 8), round(float(y), 8)) for x, y in HEAD_V1_TEMPLATE
    )
    interpolation: str = 'area-linear'
    boundary_style: str = boundary.STYLE
    version: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return dataclasses.asdict(self) | {'template': [list(point) for point in self.template]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Builds a CropSpec from `to_dict`'s values, JSON round trip included.

        Raises:
          UserError: a field is missing or unknown.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if set(fields) != known:
            raise UserError(
                f'crop_spec with the fields {sorted(fields)}: this version reads {sorted(known)}; '
                'build the data or export the bundle again'
            )
        template = tuple((float(x), float(y)) for x, y in fields['template'])
        return cls(**{**fields, 'template': template})

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
