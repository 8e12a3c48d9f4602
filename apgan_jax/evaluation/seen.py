"""What a viewer sees of swaps, and recognisers do not: rows of raw pictures and of pasted ones.

Beside the swap of a pair there are swaps whose right answer is known: of a target with its own
photo, or with another one of the same person, which should change nothing, and of a target with
something in front of its face, which should stay.
"""

import dataclasses
import functools
from collections import defaultdict

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.evaluation.occluders import Occluded
from apgan_jax.evaluation.table import Value
from apgan_jax.face.areas import inner_face
from apgan_jax.face.face_pair import FacePair
from apgan_jax.metrics.forehead_smear import forehead_smear
from apgan_jax.metrics.metric import Description
from apgan_jax.metrics.occluder_error import occluder_error
from apgan_jax.metrics.sharpness import relative_sharpness
from apgan_jax.metrics.skin_difference import skin_difference
from apgan_jax.metrics.ssim import ssim_within
from apgan_jax.networks.vgg import Lpips, find_lpips

_PERCENTILE = 90
_SHARPNESS = "mean |Laplacian| of luma in the inner face, over the target's; 1 is as sharp"
_LPIPS = 'Zhang et al. by the shift-tolerant VGG16, whole head'
_SKIN = 'CIE76, of the mean colours of the skin of swapped and target'
_ROWS = (
    Description('sharpness', 'sharpness', _SHARPNESS, 'higher'),
    Description(
        'sharpness_portraits', 'sharpness of portraits', f'{_SHARPNESS}, photos of 256 px', 'higher'
    ),
    Description(
        'sharpness_clips', 'sharpness of clips', f'{_SHARPNESS}, frames of clips', 'higher'
    ),
    Description('skin_de', 'skin ΔE', _SKIN, 'lower'),
    Description('skin_de_p90', 'skin ΔE, 90th percentile', _SKIN, 'lower'),
    Description('self_lpips', 'LPIPS of a self-swap', f'source = target; {_LPIPS}', 'lower'),
    Description('self_ssim', 'SSIM of a self-swap', 'source = target; inner face', 'higher'),
    Description(
        'same_person_lpips',
        'LPIPS of the same person',
        f"source = another photo of the target's person; {_LPIPS}",
        'lower',
    ),
    Description(
        'smear',
        'smeared foreheads',
        'share of swaps in which over a fifth of the band above the brows differs by more than 30 '
        "levels beyond the skin's shift",
        'lower',
    ),
    Description(
        'occluder_error',
        'error in occluders',
        'mean absolute difference inside things drawn in front of the target before swapping',
        'lower',
        'levels',
    ),
)


class SeenRows:
    """Gathers pairs, and gives rows of them. Without the weights of LPIPS its rows stay empty."""

    def __init__(self) -> None:
        self._lpips, self._warning = _find_network()
        self._series: dict[str, list[float]] = defaultdict(list)

    def add_swap(self, pair: FacePair, group: str = '') -> None:
        """Takes a swap between two people.

        Args:
          pair: at the pixels that sharpness is measured at.
          group: whose sharpness has a row of its own: 'portraits' or 'clips'.
        """
        measured = {
            function: function(pair.in_place, pair.target.crop, pair.target.landmarks)
            for function in (relative_sharpness, skin_difference, forehead_smear)
        }
        self._add('sharpness', measured[relative_sharpness])
        if group:
            self._add(f'sharpness_{group}', measured[relative_sharpness])
        self._add('skin_de', measured[skin_difference])
        self._add('smear', measured[forehead_smear])

    def add_self(self, pair: FacePair, head: FacePair | None = None) -> None:
        """Takes a swap whose source was the target's own photo.

        Args:
          pair: at the pixels that SSIM is measured at.
          head: the same as head crops of one size, for LPIPS; None: as `pair`.
        """
        face = inner_face(pair.target.landmarks, pair.in_place.shape[:2])
        self._add('self_lpips', self._distance(head or pair))
        self._add('self_ssim', ssim_within(pair.target.crop, pair.in_place, face))

    def add_same_person(self, pair: FacePair) -> None:
        """Takes a swap whose source was another photo of the target's person."""
        self._add('same_person_lpips', self._distance(pair))

    def add_occluded(self, output: np.ndarray, occluded: Occluded) -> None:
        """Takes a swap of a target with an occluder, RGB uint8 (h, w, 3)."""
        self._add('occluder_error', occluder_error(output, occluded.picture, occluded.mask))

    def values(self) -> dict[str, Value]:
        """Means by key, and one percentile."""
        found = {key: Value(float(np.mean(of)), len(of)) for key, of in self._series.items()}
        if differences := self._series.get('skin_de'):
            percentile = float(np.percentile(differences, _PERCENTILE))
            found['skin_de_p90'] = Value(percentile, len(differences))
        return found

    def descriptions(self) -> list[Description]:
        """The rows in the order of a table, some of which may have no value."""
        network = self._lpips.info if self._lpips else None
        return [
            dataclasses.replace(row, network=network, warning=self._warning)
            if row.key.endswith('_lpips')
            else row
            for row in _ROWS
        ]

    def _distance(self, pair: FacePair) -> float | None:
        if self._lpips is None:
            return None
        return float(self._lpips.distance(pair.target.crop[None], pair.in_place[None])[0])

    def _add(self, key: str, value: float | None) -> None:
        if value is not None:
            self._series[key].append(value)


def _find_network() -> tuple[Lpips | None, str]:
    """LPIPS, or why there is none."""
    try:
        return _lpips(find_lpips()), ''
    except UserError as error:
        return None, f'left out: {error}'


# Reading it takes a while: once a process, however many columns there are.
_lpips = functools.cache(Lpips)
