"""Identity retrieval (paper IV-C): whose frame, of all frames of a data set, is nearest."""

from collections.abc import Collection

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.face_pair import FacePair
from apgan_jax.metrics.metric import Metric
from apgan_jax.networks.recognisers import Recogniser

_CHUNK = 16384  # entries compared at a time: 64 MiB of cosines for 1,024 queries


class Gallery:
    """Identity vectors and whose they are, for a million frames and more.

    It grows as vectors are added; 512-d vectors take 2 GB a million. A search goes through it in
    chunks, so that no matrix of all queries by all entries is ever made. Of equally near entries
    the one added first counts.
    """

    def __init__(self) -> None:
        self._vectors = np.empty((0, 0), np.float32)
        self._identity_of = np.empty(0, np.int64)
        self._names: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def identities(self) -> list[str]:
        """Whose vectors there are, in the order of their first."""
        return list(self._names)

    def add(self, vectors: np.ndarray, identity: str) -> range:
        """Adds vectors of one identity.

        Args:
          vectors: (n, d) or one (d,); brought to unit length.
          identity: a person, or a video of one.

        Returns:
          The numbers of the new entries.

        Raises:
          ValueError: d is not that of the vectors before, or a vector has no direction.
        """
        units = _unit(vectors)
        if self._count and units.shape[1] != self._vectors.shape[1]:
            raise ValueError(
                f'vectors of {units.shape[1]} numbers in a gallery of {self._vectors.shape[1]}'
            )
        added = range(self._count, self._count + len(units))
        self._reserve(added.stop, units.shape[1])
        self._vectors[added.start : added.stop] = units
        self._identity_of[added.start : added.stop] = self._names.setdefault(
            identity, len(self._names)
        )
        self._count = added.stop
        return added

    def nearest(
        self,
        query: np.ndarray,
        *,
        excluded_identities: Collection[str] = (),
        excluded_entries: Collection[int] = (),
    ) -> str:
        """Whose entry is nearest to a vector (d,); as `nearest_many`."""
        return self.nearest_many(
            np.asarray(query)[None],
            excluded_identities=excluded_identities,
            excluded_entries=excluded_entries,
        )[0]

    def nearest_many(
        self,
        queries: np.ndarray,
        *,
        excluded_identities: Collection[str] = (),
        excluded_entries: Collection[int] = (),
    ) -> list[str]:
        """Whose entry is nearest, by cosine, to each of several vectors.

        Args:
          queries: (n, d).
          excluded_identities: whose entries do not count.
          excluded_entries: numbers of entries that do not count: the source's own photos above all.

        Returns:
          n identities.

        Raises:
          UserError: no entry is left to be found.
          ValueError: d is not the gallery's, or a vector has no direction.
        """
        excluded = self._excluded(excluded_identities, excluded_entries)
        if excluded.all():
            raise UserError(
                f'a gallery of {self._count} faces, {int(excluded.sum())} of them excluded: none '
                'is left to be found; give frames that are not among the source photos'
            )
        units = _unit(queries)
        if units.shape[1] != self._vectors.shape[1]:
            raise ValueError(
                f'a query of {units.shape[1]} numbers in a gallery of {self._vectors.shape[1]}'
            )
        names = self.identities
        return [names[self._identity_of[entry]] for entry in self._search(units, excluded)]

    def count_of(self, identity: str, *, excluded_entries: Collection[int] = ()) -> int:
        """How many entries of an identity there are, but for the excluded ones."""
        own = self._identity_of[: self._count] == self._names.get(identity, -1)
        own[list(excluded_entries)] = False
        return int(own.sum())

    def _search(self, units: np.ndarray, excluded: np.ndarray) -> np.ndarray:
        best = np.full(len(units), -np.inf, np.float32)
        entry = np.zeros(len(units), np.int64)
        for start in range(0, self._count, _CHUNK):
            stop = min(start + _CHUNK, self._count)
            cosines = units @ self._vectors[start:stop].T
            cosines[:, excluded[start:stop]] = -np.inf
            place = cosines.argmax(axis=1)
            found = np.take_along_axis(cosines, place[:, None], axis=1)[:, 0]
            # Strictly nearer: of equals the first stays.
            nearer = found > best
            best[nearer], entry[nearer] = found[nearer], start + place[nearer]
        return entry

    def _excluded(self, identities: Collection[str], entries: Collection[int]) -> np.ndarray:
        numbers = [self._names[name] for name in identities if name in self._names]
        excluded = np.isin(self._identity_of[: self._count], numbers)
        excluded[list(entries)] = True
        return excluded

    def _reserve(self, count: int, dimension: int) -> None:
        """Makes room; doubling keeps the copies linear in what is added."""
        if count <= len(self._vectors):
            return
        room = max(count, 2 * len(self._vectors), 1024)
        vectors = np.empty((room, dimension), np.float32)
        identity_of = np.empty(room, np.int64)
        if self._count:
            vectors[: self._count] = self._vectors[: self._count]
            identity_of[: self._count] = self._identity_of[: self._count]
        self._vectors, self._identity_of = vectors, identity_of


def identity_retrieval(
    recogniser: Recogniser,
    gallery: Gallery,
    source_identity: str,
    *,
    excluded_entries: Collection[int] = (),
) -> Metric:
    """Whether a swapped face is nearest to a frame of its source (paper IV-C: id).

    1.0 or 0.0 a face; the mean is the accuracy. The paper searches all frames of the data set, the
    target's own among them: so does this, except for what the caller excludes. Which frames the
    source gives to k-shot inference the paper does not say; leave those out of the gallery, or a
    hit may be the very photo that was embedded.

    Args:
      recogniser: other than the generator was trained with.
      gallery: filled by the same recogniser.
      source_identity: as it was added.
      excluded_entries: that must not be found.

    Raises:
      UserError: the gallery has no entry of the source that may be found.
    """
    findable = gallery.count_of(source_identity, excluded_entries=excluded_entries)
    if not findable:
        raise UserError(
            f'{source_identity!r}: no face of it in the gallery of {len(gallery)}; add frames of '
            'the source other than those given to the model'
        )

    def measure(pair: FacePair) -> float | None:
        if pair.swapped is None:
            return None
        found = gallery.nearest(recogniser.vector(pair.swapped), excluded_entries=excluded_entries)
        return float(found == source_identity)

    return Metric(
        key=f'identity_retrieval_{recogniser.key}',
        title='identity retrieval',
        definition=(
            f'share of swapped faces whose nearest (cosine) of {len(gallery)} gallery faces of '
            f'{len(gallery.identities)} identities is of the source'
        ),
        better='higher',
        measure=measure,
        network=recogniser.info,
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of unit length, float32 (n, d)."""
    rows = np.atleast_2d(np.asarray(vectors, np.float32))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ValueError('a vector of zeros, or one that is not finite, has no direction')
    return rows / lengths
