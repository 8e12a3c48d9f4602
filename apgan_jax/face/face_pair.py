"""A face as it was seen, and a target's face beside what became of it: what metrics compare."""

import dataclasses

import numpy as np

from apgan_jax.face.alignment import HEAD_V1_WINDOW, Window
from apgan_jax.face.landmarks import Face


@dataclasses.dataclass(frozen=True)
class SeenFace:
    """A face, aligned.

    Attributes:
      crop: RGB uint8 (size, size, 3).
      landmarks: float32 (478, 2), crop pixels.
      face: as MediaPipe found it, in pixels of the picture that the crop comes from, with pose
        matrix and blendshapes; None where the face was placed and not looked for.
      arcface_window: of the crop's CropSpec.
    """

    crop: np.ndarray
    landmarks: np.ndarray
    face: Face | None = None
    arcface_window: Window = HEAD_V1_WINDOW


@dataclasses.dataclass(frozen=True)
class FacePair:
    """A target's face and what became of it.

    Attributes:
      target: the original.
      in_place: what lies where the target's crop was, RGB uint8 (size, size, 3): the same pixels
        of the swapped picture, to be compared one by one.
      swapped: the swapped face, aligned by landmarks of its own; None where none was found.
    """

    target: SeenFace
    in_place: np.ndarray
    swapped: SeenFace | None
