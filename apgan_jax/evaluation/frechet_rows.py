"""Fréchet distances between the targets' crops and what became of them, by every network there is.

The two sets are gathered crop by crop, so that nothing but sums is kept of them.
"""

from collections.abc import Sequence

import numpy as np

from apgan_jax.evaluation.table import Value
from apgan_jax.face.face_pair import FacePair
from apgan_jax.metrics.frechet import FeatureNetwork, FeatureStatistics, frechet_distance
from apgan_jax.metrics.metric import Description
from apgan_jax.networks.inception import Inception

# A sum of outer products costs the same for one vector as for many.
_BATCH = 32


class FrechetRows:
    """Gathers features of pairs.

    Args:
      networks: that give features.
    """

    def __init__(self, networks: Sequence[FeatureNetwork]) -> None:
        self._networks = networks
        self._waiting: list[list[np.ndarray]] = [[] for _ in networks]
        self._statistics: list[tuple[FeatureStatistics, FeatureStatistics] | None] = [
            None for _ in networks
        ]

    def add(self, pair: FacePair) -> None:
        """Takes the target's crop and the same pixels of the swapped picture."""
        crops = np.stack([pair.target.crop, pair.in_place])
        for network, waiting in zip(self._networks, self._waiting, strict=True):
            waiting.append(network.features(crops, pair.target.arcface_window))
        if len(self._waiting[0] if self._waiting else ()) >= _BATCH:
            self._sum_up()

    def values(self) -> dict[str, Value]:
        """The distances by key, with what is wrong with them."""
        self._sum_up()
        both = zip(self._networks, self._statistics, strict=True)
        return {frechet_key(network): _value(statistics) for network, statistics in both}

    def _sum_up(self) -> None:
        for place, waiting in enumerate(self._waiting):
            if waiting:
                features = np.stack(waiting, axis=1)
                statistics = self._statistics[place] or _empty(features.shape[-1])
                for part, rows in zip(statistics, features, strict=True):
                    part.add(rows)
                self._statistics[place] = statistics
                waiting.clear()


def frechet_key(network: FeatureNetwork) -> str:
    """The key of a row; FID is the one on Inception's features alone."""
    if isinstance(network, Inception):
        return 'fid'
    return f'frechet_{network.info.key}'


def describe(network: FeatureNetwork) -> Description:
    """A row of the table."""
    return Description(
        frechet_key(network),
        'FID' if isinstance(network, Inception) else 'Fréchet distance',
        'between Gaussians fitted to the features of target and swapped crops',
        'lower',
        network=network.info,
    )


def _empty(dimension: int) -> tuple[FeatureStatistics, FeatureStatistics]:
    return FeatureStatistics(dimension), FeatureStatistics(dimension)


def _value(statistics: tuple[FeatureStatistics, FeatureStatistics] | None) -> Value:
    distance = frechet_distance(*statistics) if statistics else None
    if statistics is None or distance is None:
        return Value(None, reason='fewer than two faces')
    target, _ = statistics
    few = 'no more faces than features: biased, compare equal numbers of faces only'
    return Value(distance, target.count, few if target.is_rank_deficient else '')
