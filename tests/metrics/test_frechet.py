"""The Fréchet distance against what is known of Gaussians, and its statistics in one pass."""

import numpy as np
import pytest
import scipy.linalg

from apgan_jax.metrics.frechet import FeatureStatistics, frechet_distance


def statistics_of(features):
    statistics = FeatureStatistics(features.shape[1])
    statistics.add(features)
    return statistics


def vectors(mean, covariance, count=200, seed=0):
    """Vectors whose sample mean and unbiased covariance are exactly these."""
    white = np.random.default_rng(seed).normal(size=(count, len(mean)))
    white -= white.mean(axis=0)
    white = white @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(white.T)))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def random_covariance(dimension, seed):
    half = np.random.default_rng(seed).normal(size=(dimension, dimension))
    return half @ half.T + 0.1 * np.eye(dimension)


def test_one_dimension():
    first, second = vectors([1.0], [[4.0]]), vectors([3.0], [[0.25]], seed=1)
    # (1 - 3)² + (2 - 0.5)²
    distance = frechet_distance(statistics_of(first), statistics_of(second))
    assert distance == pytest.approx(6.25, rel=1e-9)


def test_covariances_that_commute():
    first, second = np.array([1.0, 4.0, 9.0]), np.array([16.0, 1.0, 0.01])
    distance = frechet_distance(
        statistics_of(vectors(np.zeros(3), np.diag(first))),
        statistics_of(vectors(np.array([1.0, 2.0, 2.0]), np.diag(second), seed=1)),
    )
    expected = 9.0 + np.sum((np.sqrt(first) - np.sqrt(second)) ** 2)
    assert distance == pytest.approx(expected, rel=1e-9)


def test_covariances_that_do_not_commute():
    first, second = np.array([[4.0, 2.0], [2.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 9.0]])
    # C1 C2 = [[4, 18], [2, 18]]. In two dimensions (tr √M)² = tr M + 2 √det M = 22 + 2 √36.
    expected = 6.0 + 10.0 - 2.0 * np.sqrt(34.0)
    distance = frechet_distance(
        statistics_of(vectors(np.zeros(2), first)),
        statistics_of(vectors(np.zeros(2), second, seed=1)),
    )
    assert distance == pytest.approx(expected, rel=1e-9)


def test_against_scipy():
    first, second = random_covariance(32, 0), random_covariance(32, 1)
    mean = np.linspace(-1.0, 1.0, 32)
    root = scipy.linalg.sqrtm(first @ second)
    expected = np.sum(mean**2) + np.trace(first + second - 2.0 * root.real)
    distance = frechet_distance(
        statistics_of(vectors(mean, first)), statistics_of(vectors(np.zeros(32), second, seed=1))
    )
    assert distance == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('count', [2, 20, 400])
def test_identical_sets_and_translation(count):
    features = 100.0 + np.random.default_rng(0).normal(size=(count, 64))
    same, moved = statistics_of(features), statistics_of(features + 0.5)
    assert frechet_distance(same, statistics_of(features[::-1])) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(same, moved) == pytest.approx(64 * 0.25, rel=1e-9)
    assert frechet_distance(moved, same) == pytest.approx(64 * 0.25, rel=1e-9)
    assert same.is_rank_deficient == (count <= 64)


def test_streamed_and_at_once_are_the_same():
    # Far from 0, where sums of squares would lose the variance.
    features = 1e6 + np.random.default_rng(0).normal(size=(101, 8))
    streamed = FeatureStatistics(8)
    for batch in np.split(features, [1, 2, 30, 30]):
        streamed.add(batch)
    assert streamed.count == 101
    np.testing.assert_allclose(streamed.mean, features.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(streamed.covariance, np.cov(features.T), rtol=1e-9, atol=1e-9)


def test_fewer_than_two_vectors_have_no_distance():
    one, many = statistics_of(np.ones((1, 4))), statistics_of(np.eye(4))
    assert one.covariance is None
    assert frechet_distance(one, many) is None
    assert frechet_distance(many, FeatureStatistics(4)) is None


def test_vectors_that_do_not_vary():
    first, second = statistics_of(np.ones((5, 4))), statistics_of(np.zeros((3, 4)))
    assert frechet_distance(first, second) == pytest.approx(4.0)
