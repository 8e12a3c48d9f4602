"""What a metric is: a function of a pair of faces, and what a table prints beside its number."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np

from apgan_jax.face.landmarks import Face
from apgan_jax.networks.network import NetworkInfo


@dataclasses.dataclass(frozen=True)
class SeenFace:
    """A face, aligned.

    Attributes:
      crop: head crop (`CropSpec`'s default template), RGB uint8 (size, size, 3).
      landmarks: float32 (478, 2), crop pixels.
      face: as MediaPipe found it, in pixels of the picture that the crop comes from, with pose
        matrix and blendshapes; None where the face was placed and not looked for.
    """

    crop: np.ndarray
    landmarks: np.ndarray
    face: Face | None = None


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


@dataclasses.dataclass(frozen=True)
class Description:
    """What a table prints beside a number.

    Attributes:
      key: its name in JSON: 'pose_3ddfa'.
      title: its name for people: 'pose distance'.
      definition: what was computed, one line, without a full stop.
      better: which way is better.
      unit: 'degrees'; empty where there is none.
      network: that it needs; None if it needs none.
      warning: what to beware of when reading it.
    """

    key: str
    title: str
    definition: str
    better: Literal['higher', 'lower', 'neither']
    unit: str = ''
    network: NetworkInfo | None = None
    warning: str = ''


@dataclasses.dataclass(frozen=True)
class Metric(Description):
    """One row of a table: the mean of a function over pairs of faces.

    Attributes:
      measure: of one pair; None leaves the pair out.
      every: of a clip's frames, which differ little, one in so many is measured.
    """

    measure: Callable[[FacePair], float | None] = dataclasses.field(kw_only=True)
    every: int = 1
