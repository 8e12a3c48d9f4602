"""Identity embeddings of sources, kept: photos come again, and their encoder is frozen.

Of the time of lite128's step on a CPU the encoder takes an eighth for the sources alone. A photo
and its mirror image are two pictures; those that `data.source_jitter` changes never come again.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from apgan_jax.training.train_step import SOURCE_EMBEDDINGS


class SourceCache:
    """Adds embeddings to batches, of each picture made once.

    Args:
      embed: uint8 (n, size, size, 3) → a tree of arrays with leading axis n, in each row the bits
        that the same picture has in every other row.
      most: pictures whose embeddings are kept, the oldest ones go first; lite128 needs 7 KB each.
    """

    def __init__(self, embed: Callable[[np.ndarray], Any], most: int) -> None:
        self._embed = embed
        self._most = most
        self._kept: dict[bytes, Any] = {}

    def add(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch, with what `embed` makes of its `source`, uint8 (n, size, size, 3)."""
        pictures = batch['source']
        keys = [hashlib.blake2b(picture, digest_size=16).digest() for picture in pictures]
        rows = {key: self._kept[key] for key in keys if key in self._kept}
        rows |= self._made({key: row for row, key in enumerate(keys) if key not in rows}, pictures)
        embeddings = jax.tree.map(lambda *each: np.stack(each), *[rows[key] for key in keys])
        return batch | {SOURCE_EMBEDDINGS: embeddings}

    def _made(self, missing: dict[bytes, int], pictures: np.ndarray) -> dict[bytes, Any]:
        """Embeds the pictures of the rows that are missing, and keeps what it makes."""
        if not missing:
            return {}
        # As many as in every batch: another number would be compiled anew.
        chosen = pictures[np.resize(list(missing.values()), len(pictures))]
        made = jax.device_get(self._embed(chosen))
        # Copies, or a row would keep what the batch was filled up with.
        new = {key: _row(made, row) for row, key in enumerate(missing)}
        self._kept |= new
        for key in list(self._kept)[: max(0, len(self._kept) - self._most)]:
            del self._kept[key]
        return new


def _row(tree: Any, row: int) -> Any:
    return jax.tree.map(lambda array: array[row].copy(), tree)
