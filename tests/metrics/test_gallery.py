"""Identity retrieval with planted neighbours."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.metrics import gallery as gallery_module
from apgan_jax.metrics.gallery import Gallery, identity_retrieval
from support.recognisers import MeanColour, face, pair


@pytest.fixture
def people() -> Gallery:
    gallery = Gallery()
    gallery.add([[1, 0, 0], [0.9, 0.1, 0]], 'red')
    gallery.add([[0, 1, 0]], 'green')
    gallery.add([0, 0.9, 0.2], 'green')
    return gallery


def test_entries_are_numbered_and_counted(people):
    assert people.add([[0, 0, 5]], 'blue') == range(4, 5)
    assert len(people) == 5
    assert people.identities == ['red', 'green', 'blue']
    assert people.count_of('red') == 2
    assert people.count_of('red', excluded_entries=[1, 4]) == 1
    assert people.count_of('nobody') == 0


def test_the_planted_neighbour_is_found_and_exclusions_hold(people):
    assert people.nearest([0.9, 0.3, 0]) == 'red'
    assert people.nearest([0.9, 0.3, 0], excluded_entries=[1]) == 'red'
    assert people.nearest([0.9, 0.3, 0], excluded_entries=[0, 1]) == 'green'
    assert people.nearest([0.9, 0.3, 0], excluded_identities=['red', 'nobody']) == 'green'


def test_length_of_vectors_does_not_matter():
    gallery = Gallery()
    gallery.add([[100, 90]], 'long')
    gallery.add([[0.001, 0]], 'near')
    assert gallery.nearest([7, 0.1]) == 'near'


def test_of_equals_the_first_counts():
    gallery = Gallery()
    for name in ('b', 'a', 'c'):
        gallery.add([[0, 1]], name)
    assert gallery.nearest([0, 1]) == 'b'
    assert gallery.nearest([0, 1], excluded_entries=[0]) == 'a'


def test_chunks_growth_and_ties_agree_with_one_matrix(monkeypatch):
    monkeypatch.setattr(gallery_module, '_CHUNK', 64)
    rng = np.random.default_rng(0)
    vectors = rng.integers(-1, 2, (2500, 6)).astype(np.float32)
    vectors[:, 0] += 0.5
    names = np.array([str(number % 50) for number in range(2500)])
    gallery = Gallery()
    for start in range(0, 2500, 7):
        for vector, name in zip(vectors[start : start + 7], names[start : start + 7], strict=True):
            gallery.add(vector, name)
    queries = vectors[rng.integers(0, 2500, 40)]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    # Equal vectors must tie whatever the order of summation: rounded, the first of them is found.
    best = np.round(queries @ units.T, 4).argmax(axis=1)
    same = [np.flatnonzero((vectors == vectors[entry]).all(axis=1))[0] for entry in best]
    assert gallery.nearest_many(queries) == names[same].tolist()


def test_nothing_left_to_find_is_an_error(people):
    with pytest.raises(UserError, match='gallery of 0 faces'):
        Gallery().nearest([1, 0])
    with pytest.raises(UserError, match='none is left to be found'):
        people.nearest([1, 0, 0], excluded_identities=['red', 'green'])


def test_vectors_of_another_network_are_refused(people):
    with pytest.raises(ValueError, match='4 numbers in a gallery of 3'):
        people.add([[1, 0, 0, 0]], 'x')
    with pytest.raises(ValueError, match='2 numbers in a gallery of 3'):
        people.nearest([1, 0])


@pytest.mark.parametrize('vector', [[0.0, 0, 0], [np.nan, 0, 0], [np.inf, 1, 1]])
def test_vectors_without_direction_are_refused(people, vector):
    with pytest.raises(ValueError, match='has no direction'):
        people.add([vector], 'x')
    with pytest.raises(ValueError, match='has no direction'):
        people.nearest(vector)


def test_retrieval_is_one_zero_or_left_out(people):
    metric = identity_retrieval(MeanColour(), people, 'red')
    assert metric.key == 'identity_retrieval_colour'
    assert metric.network is not None and metric.network.name == 'mean colour'
    assert '4 gallery faces of 2 identities' in metric.definition
    assert metric.measure(pair(face(200, 20, 0))) == 1.0
    assert metric.measure(pair(face(20, 200, 0))) == 0.0
    assert metric.measure(pair(None)) is None


def test_retrieval_does_not_find_the_sources_own_photos(people):
    metric = identity_retrieval(MeanColour(), people, 'red', excluded_entries=[1])
    assert metric.measure(pair(face(200, 20, 0))) == 1.0
    with pytest.raises(UserError, match="'red': no face of it in the gallery"):
        identity_retrieval(MeanColour(), people, 'red', excluded_entries=[0, 1])
