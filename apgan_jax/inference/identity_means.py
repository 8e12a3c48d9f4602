"""Who the people of a clip are themselves: mean identities, and how to get away from them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from apgan_jax.models.identity import IdentityEmbedding

# Crops, RGB uint8 (n, size, size, 3) → their identities, leading axis n.
EmbedCrops = Callable[[np.ndarray], IdentityEmbedding]


class IdentityMeans:
    """The mean identity of each person of a clip, over a few of their frames.

    Args:
      embed: of crops.
      every: appearances between two that count; the first two always do.
    """

    def __init__(self, embed: EmbedCrops, *, every: int = 50) -> None:
        self._embed = embed
        self._every = every
        self._seen: dict[int, int] = {}
        self._sums: dict[int, IdentityEmbedding] = {}
        self._counts: dict[int, int] = {}
        # Made from the above when they are asked for.
        self._embeddings: dict[int, IdentityEmbedding] = {}

    def observe(self, person: int, crop: np.ndarray) -> None:
        """Takes note of somebody in the next frame.

        Args:
          person: who it is.
          crop: of the face, RGB uint8 (size, size, 3).
        """
        seen = self._seen.get(person, 0)
        self._seen[person] = seen + 1
        if seen < 2 or seen % self._every == 0:
            self._add(person, self._embed(crop[None]))

    def _add(self, person: int, embedding: IdentityEmbedding) -> None:
        embedding = jax.tree.map(np.asarray, embedding)
        if person in self._sums:
            embedding = jax.tree.map(np.add, self._sums[person], embedding)
        self._sums[person] = embedding
        self._counts[person] = self._counts.get(person, 0) + 1
        self._embeddings.pop(person, None)

    def vector(self, person: int) -> np.ndarray:
        """Unit vector (d,) of somebody who was observed."""
        total = np.asarray(self._sums[person].vector)[0]
        return total / max(float(np.linalg.norm(total)), 1e-6)

    def embedding(self, person: int) -> IdentityEmbedding:
        """Of somebody who was observed, leading axis 1; the vector at unit length.

        Until the mean changes it is the same object.
        """
        if person not in self._embeddings:
            self._embeddings[person] = self._mean(person)
        return self._embeddings[person]

    def _mean(self, person: int) -> IdentityEmbedding:
        count = self._counts[person]
        features = {stage: each / count for stage, each in self._sums[person].features.items()}
        # NumPy's arrays serve as well, and cost no dispatch for every face.
        vector: Any = self.vector(person)[None]
        return IdentityEmbedding(vector, features)

    def state(self) -> dict[str, Any]:
        """See `Remembering`."""
        return {
            str(person): {
                'seen': self._seen[person],
                'count': self._counts[person],
                'vector': np.copy(total.vector),
                'features': {stage: np.copy(each) for stage, each in total.features.items()},
            }
            for person, total in self._sums.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Remembering`."""
        self._embeddings = {}
        people = {int(person): each for person, each in state.items()}
        self._seen = {person: each['seen'] for person, each in people.items()}
        self._counts = {person: each['count'] for person, each in people.items()}
        self._sums = {
            person: IdentityEmbedding(each['vector'], dict(each['features']))
            for person, each in people.items()
        }


def extrapolate(
    source: IdentityEmbedding, target: IdentityEmbedding, strength: float
) -> IdentityEmbedding:
    """The source's identity, moved on the line through the target's.

    A generator leaves a part of the target's identity in what it makes. Asking for the source and
    as much again of what tells it from the target takes that part away.

    Args:
      source: leading axis 1.
      target: the same.
      strength: 0: the target's; 1: the source's own; above, farther away from the target.

    Returns:
      Leading axis 1, NumPy arrays, the vector at unit length.
    """
    moved: IdentityEmbedding = jax.tree.map(
        lambda a, b: np.float32(strength) * np.asarray(a) + np.float32(1 - strength) * b,
        source,
        target,
    )
    vector = moved.vector / max(float(np.linalg.norm(moved.vector)), 1e-6)
    return dataclasses.replace(moved, vector=vector)
