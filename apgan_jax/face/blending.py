"""Putting the generated face back: the mirrored-sigmoid mask and the inverse warp (paper III-D).

The paper blends all of the crop, eq. 12. A generator of 128 px is softer than most frames, so
around the face, where it only repeats what is there, that shows as a haze about head and collar:
`face_mask` ends eq. 12 with the face.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from apgan_jax.face import drawing
from apgan_jax.face.alignment import compose, invert, scale_of, transform_points

ALPHA_AT_256 = 0.08
GAMMA = 0.7
# Of crops that end where the face does, eq. 12 would cut the chin off: it ends nearer to the edge,
# and more steeply. By name of the crop; (alpha at 256 px, gamma).
_EDGES = {'face-v1': (0.32, 0.9)}
# Parts of the crop's size: how far the face's area goes beyond its landmarks, and above the
# highest of them, which are below the hairline; standard deviation of its soft edge. Recognisers
# see no more of the target than with all of the crop (docs/evaluation.md).
_MARGIN = 0.03
_FOREHEAD = 0.08
_EDGE = 0.02


@dataclass(frozen=True)
class Patch:
    """A picture that is to be blended into a frame.

    Attributes:
      picture: RGB uint8 (h, w, 3).
      mask: float32 (h, w) in [0, 1], 0 at the edges.
      picture_from_frame: float64 (2, 3), pixels of the upright frame to pixels of the picture.
      covered: what of the frame the picture is blended over, as soft as the picture, RGB uint8
        (h, w, 3); None where no detail is wanted.
      detail: float32 (h, w) in [0, 1], how much of the frame's own detail, which is what the frame
        has beyond `covered`, is added to the picture.
    """

    picture: np.ndarray
    mask: np.ndarray
    picture_from_frame: np.ndarray
    covered: np.ndarray | None = None
    detail: np.ndarray | None = None


def mirrored_sigmoid_mask(
    size: int, *, alpha: float | None = None, gamma: float = GAMMA
) -> np.ndarray:
    """Eq. 12: 1 in the middle of the crop, falling towards its edges.

    Args:
      size: height and width, pixels.
      alpha: slope per pixel; the paper's 0.08 belongs to 256 px and is scaled by default.
      gamma: inflection, as a part of half the size.

    Returns:
      float32 (size, size) in (0, 1). `mid` is size / 2 and pixel centres are at i + 0.5, so that
      the mask is symmetric.
    """
    alpha = ALPHA_AT_256 * 256 / size if alpha is None else alpha
    mid = size / 2
    distance = np.abs(np.arange(size) + 0.5 - mid)
    farther = np.maximum(distance[:, None], distance[None, :])
    return (1 / (1 + np.exp(alpha * (farther - gamma * mid)))).astype(np.float32)


@functools.cache
def blending_mask(size: int, crop: str = 'head-v1') -> np.ndarray:
    """Eq. 12 brought to exactly 0 at the edge, where it leaves about 0.09 (a faint square).

    Args:
      size: height and width, pixels.
      crop: name of the crop.

    Returns:
      float32 (size, size) in [0, 1].
    """
    alpha_at_256, gamma = _EDGES.get(crop, (ALPHA_AT_256, GAMMA))
    mask = mirrored_sigmoid_mask(size, alpha=alpha_at_256 * 256 / size, gamma=gamma)
    edge = mask[0, 0]
    return (mask - edge) / (mask.max() - edge)


def face_mask(landmarks: np.ndarray, size: int, crop: str = 'head-v1') -> np.ndarray:
    """`blending_mask`, no farther than the face: half a little outside of its landmarks.

    Args:
      landmarks: (478, 2), crop pixels.
      size: of the crop, pixels.
      crop: its name.

    Returns:
      float32 (size, size) in [0, 1].
    """
    return np.minimum(outline_mask(landmarks, size), blending_mask(size, crop))


def outline_mask(landmarks: np.ndarray, size: int) -> np.ndarray:
    """The area within `face_outline`, with a soft edge.

    Args:
      landmarks: (478, 2), crop pixels.
      size: of the crop, pixels.

    Returns:
      float32 (size, size) in [0, 1].
    """
    outline = drawing.fixed_point(drawing.to_fine(face_outline(landmarks, size)))
    canvas = drawing.fine_canvas(size)
    cv2.fillConvexPoly(canvas, outline, 255, shift=drawing.FRACTION_BITS)
    area = drawing.reduce(canvas, size)
    return cv2.GaussianBlur(area.astype(np.float32) / 255, (0, 0), _EDGE * size)


def face_outline(landmarks: np.ndarray, size: int) -> np.ndarray:
    """A convex polygon about the landmarks, with a margin and all of the forehead.

    Args:
      landmarks: (478, 2), crop pixels.
      size: of the crop, pixels.

    Returns:
      float32 (n, 1, 2), crop pixels.
    """
    landmarks = np.asarray(landmarks, np.float32)
    away = landmarks - landmarks.mean(axis=0)
    length = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    above = np.maximum(-away[:, 1], 0)
    grown = landmarks + _MARGIN * size * away / length
    grown[:, 1] -= _FOREHEAD * size * above / max(above.max(), 1e-6)
    return cv2.convexHull(grown)


def face_patch(
    crop: np.ndarray,
    crop_from_frame: np.ndarray,
    landmarks: np.ndarray | None = None,
    *,
    name: str = 'head-v1',
) -> Patch:
    """A generated face and its mask.

    Args:
      crop: RGB uint8 (size, size, 3).
      crop_from_frame: (2, 3).
      landmarks: (478, 2), crop pixels, for `face_mask`; None: eq. 12 alone.
      name: of the crop.
    """
    size = crop.shape[0]
    mask = blending_mask(size, name) if landmarks is None else face_mask(landmarks, size, name)
    return Patch(crop, mask, np.asarray(crop_from_frame, np.float64))


def paste(frame: np.ndarray, patch: Patch) -> None:
    """Blends a patch into a frame in place, eq. 13 in the frame's own pixels.

    The paper blends in the crop and warps the result back; warping crop and mask and blending there
    is the same where the mask is 1 and leaves the frame's own detail where it is not. Pixels at
    which the warped mask is 0, such as all outside the picture, keep their values.

    Args:
      frame: RGB uint8 (h, w, 3), changed.
      patch: what to blend in.
    """
    picture = with_room_for_detail(patch.picture, patch.covered, patch.detail)
    blend([frame], [picture], patch.mask, patch.picture_from_frame, detail=patch.detail)


def with_patches(picture: np.ndarray, patches: Iterable[Patch]) -> np.ndarray:
    """A copy of an RGB uint8 picture (h, w, 3) with patches blended in."""
    changed = picture.copy()
    for patch in patches:
        paste(changed, patch)
    return changed


def with_room_for_detail(
    picture: np.ndarray, covered: np.ndarray | None, detail: np.ndarray | None
) -> np.ndarray:
    """What `blend` adds its part `detail` of the frame to: the picture less as much of `covered`.

    picture + detail * (frame - covered) = (picture - detail * covered) + detail * frame.

    Args:
      picture: (h, w) or (h, w, channels).
      covered: the same, in the same colours; None: the picture as it is.
      detail: float32 (h, w) in [0, 1].
    """
    if covered is None or detail is None:
        return picture
    part = detail if picture.ndim == 2 else detail[..., None]
    return picture - part * covered


def blend(
    targets: Sequence[np.ndarray],
    pictures: Sequence[np.ndarray],
    mask: np.ndarray,
    picture_from_target: np.ndarray,
    *,
    detail: np.ndarray | None = None,
    highest: int = 255,
) -> None:
    """Blends pictures into targets of one geometry, in place.

    Args:
      targets: uint8 or uint16 (h, w) or (h, w, channels), all of the same height and width.
      pictures: one for each target, of its type or float32, in its range of values; with `detail`,
        of `with_room_for_detail`.
      mask: float32 (picture height, picture width) in [0, 1].
      picture_from_target: (2, 3), pixels of the targets to those of the pictures.
      detail: like `mask`: how much of the target is added to the picture; None: nothing.
      highest: value of the targets.
    """
    height, width = targets[0].shape[:2]
    left, top, right, bottom = _rectangle(picture_from_target, mask, (height, width))
    if right <= left or bottom <= top:
        return
    shape = (right - left, bottom - top)
    picture_from_part = compose(picture_from_target, _shift(left, top))
    # Outside the picture the mask is 0, its border value.
    weight = _warp(mask, picture_from_part, shape, cv2.BORDER_CONSTANT)
    kept = 1 - weight
    if detail is not None:
        kept += weight * _warp(detail, picture_from_part, shape, cv2.BORDER_REPLICATE)
    for target, picture in zip(targets, pictures, strict=True):
        part = target[top:bottom, left:right]
        new = _warp(picture, picture_from_part, shape, cv2.BORDER_REPLICATE)
        share, rest = (w if new.ndim == 2 else cv2.merge([w] * 3) for w in (weight, kept))
        ours = cv2.multiply(new, share, dtype=cv2.CV_32F)
        theirs = cv2.multiply(part, rest, dtype=cv2.CV_32F)
        # Rounds, and keeps what detail has brought beyond black and white within them.
        depth = cv2.CV_8U if part.dtype == np.uint8 else cv2.CV_16U
        part[:] = np.minimum(cv2.add(ours, theirs, dtype=depth), highest)


def _warp(
    picture: np.ndarray, picture_from_part: np.ndarray, shape: tuple[int, int], border: int
) -> np.ndarray:
    """Float32 samples of the picture at the pixels of a part of (width, height)."""
    picture, picture_from_part = _reduced(picture.astype(np.float32), picture_from_part)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, picture_from_part, shape, flags=flags, borderMode=border)


def _reduced(picture: np.ndarray, picture_from_part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shrinks by area what would be shown at half its size or less: bilinear sampling skips."""
    factor = int(scale_of(picture_from_part) + 0.01)
    height, width = picture.shape[:2]
    if factor < 2 or min(height, width) < 2 * factor:
        return picture, picture_from_part
    small = cv2.resize(picture, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    x_scale, y_scale = small.shape[1] / width, small.shape[0] / height
    small_from_picture = np.array(
        [[x_scale, 0, x_scale / 2 - 0.5], [0, y_scale, y_scale / 2 - 0.5]]
    )
    return small, compose(small_from_picture, picture_from_part)


def _rectangle(
    picture_from_target: np.ndarray, mask: np.ndarray, shape: tuple[int, int]
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the target that holds all that the mask shows, clipped."""
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    # A pixel is spread over its neighbours when the mask is sampled, or first reduced.
    spread = 2 * max(1, int(scale_of(picture_from_target) + 0.01))
    first, last = np.array([x, y]) - spread, np.array([x + width, y + height]) + spread
    first, last = np.maximum(first, 0), np.minimum(last, mask.shape[::-1])
    corners = np.array([first, (last[0], first[1]), last, (first[0], last[1])]) - 0.5
    points = transform_points(invert(picture_from_target), corners)
    left, top = np.floor(points.min(axis=0)).astype(int)
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + 1
    return max(0, left), max(0, top), min(shape[1], right), min(shape[0], bottom)


def _shift(x: int, y: int) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
