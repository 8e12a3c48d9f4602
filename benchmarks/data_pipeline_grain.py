"""Our side of benchmarks.data_pipeline."""

from pathlib import Path

import numpy as np

from apgan_jax.data.pipeline import PairOptions, open_dataset, training_batches
from apgan_jax.data.records import FaceRecord
from benchmarks.usage import PREFETCH, Turn, take_turn


class Side:
    """Batches as training gets them."""

    def __init__(self, data_dir: str, batch_size: int) -> None:
        self._dataset = open_dataset(Path(data_dir))
        self._batches = training_batches(
            self._dataset,
            batch_size=batch_size,
            seed=0,
            options=PairOptions(),
            num_threads=1,
            prefetch=PREFETCH,
        )

    def first_record(self) -> tuple[np.ndarray, np.ndarray]:
        record = FaceRecord.parse(self._dataset[0])
        return record.decode_image(), record.decode_boundary_map()

    def batch(self) -> dict[str, np.ndarray]:
        return next(self._batches)

    def turn(self, count: int) -> Turn:
        return take_turn(self._batches, count)
