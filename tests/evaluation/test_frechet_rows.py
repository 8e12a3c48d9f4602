"""Distances of crops whose features are their mean colours."""

import numpy as np
import pytest

from apgan_jax.evaluation.frechet_rows import FrechetRows, describe, frechet_key
from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.networks.network import NetworkInfo


class MeanColours:
    """The mean colour as three features."""

    def __init__(self, name='mean'):
        self.info = NetworkInfo(name, '', '')

    def features(self, crops, arcface_window):
        return crops.mean(axis=(1, 2))


def pairs(count, shift):
    """Faces of random colours, and the same ones moved by a colour."""
    colours = np.random.default_rng(0).integers(0, 200, (count, 3))
    for colour in colours:
        before, after = (np.full((4, 4, 3), c, np.uint8) for c in (colour, colour + shift))
        yield FacePair(SeenFace(before, np.zeros((478, 2), np.float32)), after, None)


def distances(networks, count, shift):
    rows = FrechetRows(networks)
    for pair in pairs(count, shift):
        rows.add(pair)
    return rows.values()


@pytest.mark.parametrize('count', [31, 32, 70])
def test_moved_colours_are_as_far_as_they_were_moved(count):
    values = distances([MeanColours(), MeanColours('other')], count, [3, 0, 4])
    assert values.keys() == {'frechet_mean', 'frechet_other'}
    for value in values.values():
        assert value.mean == pytest.approx(3**2 + 4**2)
        assert (value.count, value.reason) == (count, '')


def test_few_faces_are_a_warning_and_one_is_no_distance():
    few = distances([MeanColours()], 3, [0, 0, 0])['frechet_mean']
    assert few.mean == pytest.approx(0)
    assert few.reason.startswith('no more faces than features: biased')
    (one,) = distances([MeanColours()], 1, [0, 0, 0]).values()
    assert (one.mean, one.reason) == (None, 'fewer than two faces')
    (none,) = distances([MeanColours()], 0, [0, 0, 0]).values()
    assert none == one


def test_sums_may_be_asked_for_in_between():
    rows = FrechetRows([MeanColours()])
    counts = []
    for pair in pairs(5, [1, 1, 1]):
        rows.add(pair)
        counts.append(rows.values()['frechet_mean'].count)
    assert counts == [0, 2, 3, 4, 5]


def test_without_a_network_there_is_no_row():
    assert distances([], 40, [1, 1, 1]) == {}


def test_a_distance_goes_by_its_networks_name():
    network = MeanColours()
    row = describe(network)
    assert (row.key, row.title) == (frechet_key(network), 'Fréchet distance')
    assert (row.better, row.network) == ('lower', network.info)
