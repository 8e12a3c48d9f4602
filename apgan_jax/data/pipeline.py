"""Training batches by Grain: pairs of records, uint8, without TensorFlow.

A batch is a dict of NumPy arrays: uint8 (n, size, size, 3) `source`, `target` and `boundary_map`
(of the target), bool (n,) `same_image`.
"""

import dataclasses
from pathlib import Path

import grain
import numpy as np

from apgan_jax.data.records import FaceRecord, RecordDataset
from apgan_jax.face import boundary

Pair = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class PairOptions:
    """How sources and targets are paired.

    Attributes:
      same_image_share: part of the pairs whose source is the target itself (eq. 7's first case).
      mirror: whether source and target are mirrored at random, independently.
    """

    same_image_share: float = 0.2
    mirror: bool = True


def training_batches(
    dataset: RecordDataset,
    *,
    batch_size: int,
    seed: int,
    options: PairOptions,
    num_threads: int = 2,
    prefetch: int = 64,
    shard: tuple[int, int] = (0, 1),
) -> grain.DatasetIterator:
    """An endless iterator of batches; its state can be checkpointed.

    Every record is a target once an epoch, in an order that the seed decides.

    Args:
      dataset: what to read.
      batch_size: of this process.
      seed: decides order, pairing and mirroring.
      options: of pairing.
      num_threads: that read and decode.
      prefetch: pairs held ready.
      shard: (index, count) of this process; the processes' targets do not overlap.

    Returns:
      Grain's iterator.
    """
    index, count = shard
    pairs = (
        grain.MapDataset.range(len(dataset))
        .seed(seed)
        .shuffle()
        .repeat()[index::count]
        .random_map(PairSampler(dataset, options))
        .to_iter_dataset(grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch))
    )
    return iter(pairs.batch(batch_size))


class PairSampler(grain.transforms.RandomMap):
    """A target's number → one training pair."""

    def __init__(self, dataset: RecordDataset, options: PairOptions) -> None:
        self._dataset = dataset
        self._options = options

    def random_map(self, element: int, rng: np.random.Generator) -> Pair:
        """Picks the source, decodes and mirrors; all chance comes from `rng`."""
        target = FaceRecord.parse(self._dataset[element])
        wants_same = rng.random() < self._options.same_image_share
        source = target if wants_same else self._different(target, rng)
        same_image = source is target
        image, boundary_map = target.decode_image(), target.decode_boundary_map()
        if self._options.mirror and rng.random() < 0.5:
            image, boundary_map = (
                np.ascontiguousarray(image[:, ::-1]),
                boundary.mirror(boundary_map),
            )
        if same_image:
            source_image = image
        else:
            source_image = source.decode_image()
            if self._options.mirror and rng.random() < 0.5:
                source_image = np.ascontiguousarray(source_image[:, ::-1])
        return {
            'source': source_image,
            'target': image,
            'boundary_map': boundary_map,
            'same_image': np.asarray(same_image),
        }

    def _different(self, target: FaceRecord, rng: np.random.Generator) -> FaceRecord:
        """A record of somebody else, unlabelled ones all being different people.

        In a data set of one person there is nobody else: the target itself after a few draws.
        """
        for _ in range(16):
            source = FaceRecord.parse(self._dataset[int(rng.integers(len(self._dataset)))])
            if source.file_name != target.file_name and (
                not target.identity or source.identity != target.identity
            ):
                return source
        return target


def open_dataset(data_dir: Path) -> RecordDataset:
    """The training split of a data set."""
    return RecordDataset(data_dir, 'train')
