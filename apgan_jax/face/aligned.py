"""From a found face to what the model takes: the one path of training data and of use."""

import dataclasses

import numpy as np

from apgan_jax.face import alignment, boundary
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.landmarks import five_points


@dataclasses.dataclass(frozen=True)
class AlignedFace:
    """A face cut out of a frame.

    Attributes:
      crop: RGB uint8 (size, size, 3).
      boundary_map: RGB uint8 (size, size, 3).
      landmarks: float32 (478, 2), crop pixels.
      crop_from_frame: float64 (2, 3).
    """

    crop: np.ndarray
    boundary_map: np.ndarray
    landmarks: np.ndarray
    crop_from_frame: np.ndarray


def align_face(frame: np.ndarray, landmarks: np.ndarray, spec: CropSpec) -> AlignedFace:
    """Cuts a face out and draws its boundary map.

    Args:
      frame: RGB uint8 (h, w, 3).
      landmarks: (478, 2), frame pixels.
      spec: the crop.

    Returns:
      The aligned face.
    """
    crop_from_frame = alignment.estimate_crop_from_frame(five_points(landmarks), spec)
    in_crop = alignment.transform_points(crop_from_frame, landmarks)
    return AlignedFace(
        crop=alignment.warp_to_crop(frame, crop_from_frame, spec.size),
        boundary_map=boundary.draw_boundary_map(in_crop, spec.size),
        landmarks=in_crop,
        crop_from_frame=crop_from_frame,
    )
