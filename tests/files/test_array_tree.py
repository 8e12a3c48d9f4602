import json

import numpy as np
import pytest

from apgan_jax.files import array_tree


@pytest.mark.parametrize(
    'tree',
    [None, 3, [1, 'two', None], {'a': {'b': [True]}}, {}, []],
)
def test_a_tree_without_arrays_is_its_own_document(tree):
    assert array_tree.split(tree) == (tree, {})
    assert array_tree.join(tree, {}) == tree


def test_arrays_come_back_where_they_were():
    first, second = np.arange(3, dtype=np.float32), np.zeros((0, 2), np.uint8)
    tree = {'a': [first, {'b': (second, 1)}], 'c': np.array(0.1)}
    document, arrays = array_tree.split(tree)
    again = array_tree.join(json.loads(json.dumps(document)), arrays)
    assert again['a'][0] is first
    assert again['a'][1]['b'] == [second, 1] or again['a'][1]['b'][0] is second
    assert again['a'][1]['b'][1] == 1
    assert again['c'] is tree['c']
