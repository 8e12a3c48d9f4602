"""Vectors of unit length, and their mean over several photos."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apgan_jax.models.identity.embedding import (
    IdentityEmbedding,
    mean_embedding,
    unit_length,
)


def test_mean_embedding_of_two_orthogonal_vectors():
    embeddings = IdentityEmbedding(jnp.eye(2), {'7': jnp.array([[1.0, 5.0], [3.0, 7.0]])})
    mean = mean_embedding(embeddings)
    np.testing.assert_allclose(mean.vector, [[0.5**0.5, 0.5**0.5]], rtol=1e-6)
    np.testing.assert_allclose(mean.features['7'], [[2.0, 6.0]])


def test_the_mean_of_one_photo_is_that_photo():
    one = IdentityEmbedding(jnp.array([[0.6, 0.8]]), {'7': jnp.array([[1.0, 5.0]])})
    for ours, theirs in zip(
        jax.tree.leaves(mean_embedding(one)), jax.tree.leaves(one), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize('length', [1e-3, 1.0, 1e6])
def test_directions_stay_and_lengths_become_1(length):
    vector = length * jnp.array([[3.0, 4.0], [-1.0, 0.0]])
    np.testing.assert_allclose(unit_length(vector), [[0.6, 0.8], [-1.0, 0.0]], rtol=1e-5)


def test_a_vector_of_nothing_stays_nothing_and_has_a_finite_gradient():
    value, gradient = jax.value_and_grad(lambda x: unit_length(x).sum())(jnp.zeros(3))
    assert value == 0
    assert jnp.isfinite(gradient).all()
