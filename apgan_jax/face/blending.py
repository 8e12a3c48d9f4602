"""Putting the generated face back: the mirrored-sigmoid mask and the inverse warp (paper III-D)."""

import functools

import cv2
import numpy as np

from apgan_jax.face.alignment import crop_rectangle

ALPHA_AT_256 = 0.08
GAMMA = 0.7


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
def blending_mask(size: int) -> np.ndarray:
    """Eq. 12 brought to exactly 0 at the edge, where it leaves about 0.09 (a faint square).

    Returns:
      float32 (size, size) in [0, 1].
    """
    mask = mirrored_sigmoid_mask(size)
    edge = mask[0, 0]
    return (mask - edge) / (mask.max() - edge)


def paste(frame: np.ndarray, crop: np.ndarray, crop_from_frame: np.ndarray) -> None:
    """Blends a crop into a frame in place, eq. 13 in the frame's own pixels.

    The paper blends in the crop and warps the result back; warping crop and mask and blending there
    is the same where the mask is 1 and leaves the frame's own detail where it is not. Nothing
    outside the rectangle that holds the crop is written.

    Args:
      frame: RGB uint8 (h, w, 3), changed.
      crop: RGB uint8 (size, size, 3).
      crop_from_frame: (2, 3).
    """
    size = crop.shape[0]
    left, top, right, bottom = crop_rectangle(crop_from_frame, size, frame.shape[:2])
    if right <= left or bottom <= top:
        return
    # Points of the rectangle to points of the crop: shift by the corner first.
    crop_from_part = crop_from_frame.copy()
    crop_from_part[:, 2] += crop_from_frame[:, :2] @ (left, top)
    shape = (right - left, bottom - top)
    inverse_linear = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        crop, crop_from_part, shape, flags=inverse_linear, borderMode=cv2.BORDER_REPLICATE
    )
    # Outside the crop the mask is 0, its border value.
    mask = cv2.warpAffine(blending_mask(size), crop_from_part, shape, flags=inverse_linear)
    part = frame[top:bottom, left:right]
    blended = cv2.blendLinear(warped, np.ascontiguousarray(part), mask, 1 - mask)
    np.copyto(part, blended)
