"""What a metric is: a function of a pair of faces, and what a table prints beside its number."""

import dataclasses
from collections.abc import Callable
from typing import Literal

from apgan_jax.face.face_pair import FacePair
from apgan_jax.networks.network import NetworkInfo


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
