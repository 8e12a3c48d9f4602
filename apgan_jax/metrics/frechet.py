"""Fréchet distance of two sets of pictures by the features of a network (Heusel et al., 2017).

With the pooled features of FID's own Inception-v3 it is the FID of the paper's tables VI and VII.
Any other network gives a number of the same kind that must go by that network's name: distances by
different networks cannot be compared.
"""

from typing import Protocol

import numpy as np
import scipy.linalg

from apgan_jax.face.alignment import Window
from apgan_jax.networks.network import NetworkInfo


class FeatureNetwork(Protocol):
    """A network that describes pictures by vectors."""

    info: NetworkInfo

    def features(self, crops: np.ndarray, arcface_window: Window) -> np.ndarray:
        """Describes crops.

        Args:
          crops: RGB uint8 (n, size, size, 3).
          arcface_window: of their CropSpec, for networks that see the face alone.

        Returns:
          Floating point (n, d).
        """


class FeatureStatistics:
    """Mean and covariance of feature vectors, gathered in one pass.

    Batches are merged by their means and scatters (Chan et al., 1979), in float64: sums of squares
    would lose the digits in which large features differ.

    Args:
      dimension: of the vectors.

    Attributes:
      count: vectors so far.
      mean: float64 (d,); 0 without any.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean = np.zeros(dimension)
        # Sum over vectors of the outer product of their difference from the mean with itself.
        self._scatter = np.zeros((dimension, dimension))

    @property
    def covariance(self) -> np.ndarray | None:
        """Unbiased, as in FID's reference code: float64 (d, d); None of fewer than 2 vectors."""
        return self._scatter / (self.count - 1) if self.count > 1 else None

    @property
    def is_rank_deficient(self) -> bool:
        """Whether there are no more vectors than dimensions.

        The covariance is singular then, and a distance from it depends on the number of vectors
        more than on what they show: a table has to say so beside the number.
        """
        return self.count <= len(self.mean)

    def add(self, features: np.ndarray) -> None:
        """Takes vectors in: (n, d), n may be 0."""
        if not len(features):
            return
        features = np.asarray(features, np.float64)
        mean = features.mean(axis=0)
        deviations = features - mean
        self._combine(len(features), mean, deviations.T @ deviations)

    def _combine(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        total = self.count + count
        difference = mean - self.mean
        between = np.outer(difference, difference) * (self.count * count / total)
        self._scatter = self._scatter + scatter + between
        self.mean = self.mean + difference * (count / total)
        self.count = total


def frechet_distance(statistics: FeatureStatistics, other: FeatureStatistics) -> float | None:
    """|m1 - m2|² + tr(C1) + tr(C2) - 2 tr((C1 C2)^½), the distance between two Gaussians, squared.

    With C = A Aᵀ the last trace is the sum of the singular values of A1ᵀ A2. The usual ways lose
    digits where there are few pictures and C is singular: `sqrtm` of C1 C2, which is not symmetric,
    turns complex, and the root of an eigenvalue turns an error of 1e-16 into one of 1e-8.

    Args:
      statistics: of one set, of the same dimension as the other; the order does not matter.
      other: of the other set.

    Returns:
      At least 0; None if either set has fewer than 2 vectors.
    """
    first, second = statistics.covariance, other.covariance
    if first is None or second is None:
        return None
    shift = np.sum((statistics.mean - other.mean) ** 2)
    product = _factor(first).T @ _factor(second)
    overlap = scipy.linalg.svdvals(product).sum()
    distance = shift + np.trace(first) + np.trace(second) - 2.0 * overlap
    return max(float(distance), 0.0)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """A with A Aᵀ = covariance (d, d): (d, rank)."""
    # Cholesky with pivots stops where the rest is rounding, and is far faster than eigenvectors.
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(covariance, lower=1)
    unpivoted = np.empty((len(factor), rank))
    unpivoted[pivots - 1] = np.tril(factor)[:, :rank]
    return unpivoted
