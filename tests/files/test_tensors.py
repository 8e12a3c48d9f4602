import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from apgan_jax.errors import UserError
from apgan_jax.files.tensors import (
    finite_float32,
    flatten,
    require_shapes,
    shape_problems,
    shapes_of,
)

PARAMS = {'a': {'b': {'kernel': np.zeros((2, 3))}, 'bias': np.zeros(3)}, 'c': np.zeros(())}


def test_leaves_are_named_as_flax_names_them():
    assert list(flatten(PARAMS)) == list(flatten_dict(PARAMS, sep='/'))
    assert flatten({'a': {'b': [1, {'c': 2}]}, 'd': None}, '.') == {'a.b': [1, {'c': 2}], 'd': None}


def test_shapes_are_by_flat_names():
    assert shapes_of(PARAMS) == {'a/b/kernel': (2, 3), 'a/bias': (3,), 'c': ()}


def test_what_does_not_fit_is_listed_by_kind():
    found = {'a/b/kernel': np.zeros((3, 2)), 'a/bias': np.zeros(3), 'd': np.zeros(1)}
    assert shape_problems(found, shapes_of(PARAMS)) == [
        'missing c',
        'surplus d',
        'a/b/kernel is (3, 2), not (2, 3)',
    ]


def test_tensors_of_a_network_pass_and_others_are_refused_in_one_line():
    wanted = shapes_of(PARAMS)
    require_shapes(flatten(PARAMS), wanted, where='f', what='the net', remedy='mend it')
    with pytest.raises(UserError, match=r'^f: does not fit the net \(missing c\); mend it$'):
        require_shapes(
            flatten({'a': PARAMS['a']}), wanted, where='f', what='the net', remedy='mend it'
        )
    many = {f'{number}': np.zeros(1) for number in range(30)}
    with pytest.raises(UserError, match=r'surplus 0; .*; …\)') as caught:
        require_shapes(many, {}, where='f', what='the net', remedy='mend it')
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize('kind', [np.float16, np.float32, np.float64])
def test_weights_become_float32(kind):
    array = np.array([0.5, -2], kind)
    (sound,) = finite_float32({'a': array}, where='f', remedy='mend it').values()
    assert sound.dtype == np.float32
    np.testing.assert_array_equal(sound, array)


@pytest.mark.parametrize(
    ('array', 'problem'),
    [
        (np.array([0, np.nan], np.float32), 'a has values that are no finite numbers'),
        (np.array([np.inf], np.float16), 'a has values that are no finite numbers'),
        (np.array([1e300]), 'a has values that are no finite numbers'),
        (np.array([1]), 'a is int64, not float32'),
        (np.array([1j]), 'a is complex128, not float32'),
    ],
)
def test_what_is_no_finite_number_is_named(array, problem):
    with pytest.raises(UserError, match=f'^f: {problem}; mend it$'):
        finite_float32({'a': array}, where='f', remedy='mend it')
