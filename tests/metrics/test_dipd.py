"""DIPD: what instance normalisation ignores, what it does not, and the scale of the distance."""

import numpy as np
import pytest

from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.face.model_files import files_in_package
from apgan_jax.metrics.dipd import dipd, dipd_metric, instance_normalise
from apgan_jax.networks.vgg import SHIFT_TOLERANT, Vgg16


def maps(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_instance_normalisation():
    features = np.array([[[1.0, 5.0], [3.0, 5.0]]])
    # The variance is 1: the epsilon shows. A constant channel becomes 0.
    expected = np.array([[[-1.0, 0.0], [1.0, 0.0]]]) / np.sqrt(1.0 + 1e-5)
    np.testing.assert_allclose(instance_normalise(features), expected, rtol=1e-12)


def test_same_features_and_what_is_normalised_away():
    features = maps(6, 6, 32)
    assert dipd(features, features) == 0.0
    scale, offset = np.linspace(0.5, 4.0, 32), np.linspace(-2.0, 2.0, 32)
    assert dipd(features, features * scale + offset) == pytest.approx(0.0, abs=1e-6)


def test_scale_of_the_distance():
    features, other = maps(2, 16, 16, 512)
    assert dipd(features, other) == pytest.approx(2.0, abs=0.02)
    assert dipd(features, -features) == pytest.approx(4.0, rel=1e-3)
    # Correlation 0.6 at every channel.
    first, second = instance_normalise(features), instance_normalise(other)
    mixed = 0.6 * first + 0.8 * second
    assert dipd(first, mixed) == pytest.approx(2.0 * (1.0 - 0.6), abs=0.02)


@pytest.fixture(scope='module')
def network():
    files = files_in_package('stlpips_pytorch', 'vgg_shift_tolerant.pth')
    if not files:
        pytest.skip('stlpips-pytorch is not installed: pip install apgan-jax[eval]')
    return Vgg16(files[0])


def pair(target, in_place):
    seen = SeenFace(target, np.zeros((478, 2), np.float32))
    return FacePair(target=seen, in_place=in_place, swapped=None)


def test_the_metric(network):
    metric = dipd_metric(network)
    assert (metric.key, metric.better, metric.network) == ('dipd', 'lower', network.info)
    assert network.info.name == SHIFT_TOLERANT
    coarse = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    target, other, third = coarse.repeat(8, axis=1).repeat(8, axis=2)
    assert metric.measure(pair(target, target)) == 0.0
    half = target.copy()
    half[:32] = other[:32]
    distances = [metric.measure(pair(target, changed)) for changed in (half, other, third)]
    # Symmetric, and a picture that shares nothing is farther than one that shares a half.
    assert distances[1] == pytest.approx(metric.measure(pair(other, target)), rel=1e-4)
    assert 0.1 < distances[0] < 0.9 * min(distances[1:])
    assert max(distances) < 2.5
    # Other brightness and contrast count less than other content.
    assert metric.measure(pair(target, target // 2 + 60)) < 0.5 * distances[1]
