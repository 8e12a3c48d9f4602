"""tf.train.Example without TensorFlow: its very bytes, there and back."""

import numpy as np
import pytest

from apgan_jax.data.example import parse_example, serialise_example
from apgan_jax.data.tfrecord import CorruptRecordError

FEATURES = {'points': np.array([1.0, -0.5]), 'name': b'ann'}
# What tf.train.Example of these two features serialises to, deterministically.
TENSORFLOWS = bytes.fromhex(
    '0a290a0f0a046e616d6512070a050a03616e6e0a160a06706f696e7473120c120a0a080000803f000000bf'
)


def test_the_bytes_are_those_that_tensorflow_writes():
    assert serialise_example(FEATURES) == TENSORFLOWS


def test_the_order_of_the_features_does_not_matter():
    backwards = dict(reversed(FEATURES.items()))
    assert serialise_example(backwards) == serialise_example(FEATURES)


def test_features_come_back_by_name_and_arrays_flat():
    points = np.arange(6, dtype=np.float32).reshape(3, 2) / 7
    features = parse_example(serialise_example({'points': points, 'picture': b'\x00\xff'}))
    assert features.keys() == {'points', 'picture'}
    assert list(features['picture'].bytes_list.value) == [b'\x00\xff']
    # float32 is what the format holds: nothing is lost.
    np.testing.assert_array_equal(features['points'].float_list.value, points.ravel())


def test_nothing_is_an_example_without_features():
    assert len(parse_example(serialise_example({}))) == 0


def test_other_bytes_are_corrupt():
    with pytest.raises(CorruptRecordError, match=r'^no tf\.train\.Example'):
        parse_example(TENSORFLOWS[:-1])
