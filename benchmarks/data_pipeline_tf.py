"""tf.data's side of benchmarks.data_pipeline: the same pairs as near as tf.data comes to them.

TFRecords are read in order, so the order is that of a shuffle buffer, and so is the choice of the
source: a second reader in another order, beside the targets'. Where both are the same photo the
pair is one of one photo. Two photos of one person stay together where we draw another source,
which would cost tf.data more. Features are parsed only where they are needed, pictures decoded
only where they are used.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.timing import NUM_THREADS
from benchmarks.usage import PREFETCH, Turn, take_turn

# Pairs made at a time, and whether tf.data tunes that.
VARIANTS = {
    'autotune': (tf.data.AUTOTUNE, True),
    'as many threads as cores': (NUM_THREADS, False),
    'one thread': (1, False),
}
_SAME_IMAGE_SHARE = 0.2
# OpenCV's; tf.data's default is off by up to 11 of 255, and no faster.
_DCT = 'INTEGER_ACCURATE'
_TEXT = tf.io.FixedLenFeature([], tf.string)
_SOURCE = {'image': _TEXT, 'file_name': _TEXT}
_TARGET = {**_SOURCE, 'boundary_map': _TEXT}

Tensors = dict[str, tf.Tensor]


class Side:
    """Batches as tf.data makes them."""

    def __init__(self, data_dir: str, batch_size: int, buffer: int, variant: str) -> None:
        self._files = sorted(map(str, Path(data_dir).glob('*.tfrecord-*')))
        parallel, tune = VARIANTS[variant]
        streams = tuple(
            tf.data.TFRecordDataset(self._files).shuffle(buffer, seed=seed).repeat()
            for seed in (0, 1)
        )
        options = tf.data.Options()
        options.autotune.enabled = tune
        options.threading.private_threadpool_size = NUM_THREADS
        batches = (
            tf.data.Dataset.zip(streams)
            .map(_make_pair, num_parallel_calls=parallel)
            .batch(batch_size, drop_remainder=True)
            # As many pairs held ready as our default.
            .prefetch(max(PREFETCH // batch_size, 1))
            .with_options(options)
        )
        self._batches = iter(batches)

    def first_record(self) -> tuple[np.ndarray, np.ndarray]:
        record = next(iter(tf.data.TFRecordDataset(self._files)))
        features = tf.io.parse_single_example(record, _TARGET)
        image = tf.io.decode_jpeg(features['image'], channels=3, dct_method=_DCT)
        return image.numpy(), tf.io.decode_png(features['boundary_map'], channels=3).numpy()

    def batch(self) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in next(self._batches).items()}

    def turn(self, count: int) -> Turn:
        return take_turn(self._batches, count)


def _make_pair(target_data: tf.Tensor, source_data: tf.Tensor) -> Tensors:
    target = tf.io.parse_single_example(target_data, _TARGET)
    source = tf.io.parse_single_example(source_data, _SOURCE)
    kind, mirror_target, mirror_source = tf.unstack(tf.random.uniform([3]))
    same_image = (kind < _SAME_IMAGE_SHARE) | (target['file_name'] == source['file_name'])
    image = tf.io.decode_jpeg(target['image'], channels=3, dct_method=_DCT)
    boundary_map = tf.io.decode_png(target['boundary_map'], channels=3)
    image, boundary_map = tf.cond(
        mirror_target < 0.5,
        # Mirroring exchanges a map's red and blue: apgan_jax/face/boundary.py.
        lambda: (tf.reverse(image, [1]), tf.reverse(boundary_map, [1, 2])),
        lambda: (image, boundary_map),
    )

    def other_photo() -> tf.Tensor:
        photo = tf.io.decode_jpeg(source['image'], channels=3, dct_method=_DCT)
        return tf.cond(mirror_source < 0.5, lambda: tf.reverse(photo, [1]), lambda: photo)

    return {
        'source': tf.cond(same_image, lambda: image, other_photo),
        'target': image,
        'boundary_map': boundary_map,
        'same_image': same_image,
    }
