"""Mean identities of people, and the way from them."""

import numpy as np
import pytest

from apgan_jax.inference.identity_means import IdentityMeans, extrapolate
from apgan_jax.models.identity import IdentityEmbedding
from support.embeddings import VECTORS, crop_of, embed_by_colour

NUMBERS = [1, 2, 3, 4, 5]


@pytest.fixture
def seen():
    means = IdentityMeans(embed_by_colour, every=3)
    for number in NUMBERS:
        means.observe(0, crop_of(number))
    return means


def test_identities_are_means_over_a_few_frames(seen):
    # The first two frames, and the fourth.
    expected = VECTORS[1] + VECTORS[2] + VECTORS[4]
    np.testing.assert_allclose(seen.vector(0), expected / np.linalg.norm(expected), rtol=1e-6)
    embedding = seen.embedding(0)
    np.testing.assert_array_equal(embedding.vector[0], seen.vector(0))
    np.testing.assert_allclose(embedding.features['7'], [[7 / 3, 7 / 3]], rtol=1e-6)


def test_what_was_restored_goes_on_as_before(seen):
    again = IdentityMeans(embed_by_colour, every=3)
    state = seen.state()
    for means in (seen, again):
        if means is again:
            again.restore(state)
        for number in (6, 7, 1):
            means.observe(0, crop_of(number))
    np.testing.assert_array_equal(again.vector(0), seen.vector(0))
    assert again.vector(0).dtype == np.float32


def test_a_state_does_not_change_with_what_comes_later(seen):
    state = seen.state()
    before = np.copy(state['0']['vector'])
    for _ in range(3):
        seen.observe(0, crop_of(7))
    np.testing.assert_array_equal(state['0']['vector'], before)


def test_an_embedding_is_made_anew_when_the_mean_changes(seen):
    embedding = seen.embedding(0)
    seen.observe(0, crop_of(6))  # The sixth: every third counts.
    assert seen.embedding(0) is embedding
    seen.observe(0, crop_of(7))
    assert not np.array_equal(seen.embedding(0).vector, embedding.vector)
    before = seen.state()
    other = IdentityMeans(embed_by_colour, every=3)
    other.observe(0, crop_of(1))
    other.embedding(0)
    other.restore(before)
    np.testing.assert_array_equal(other.embedding(0).vector, seen.embedding(0).vector)


def embedding(number, feature):
    return IdentityEmbedding(VECTORS[number][None], {'7': np.float32([[feature]])})


def test_strength_moves_on_the_line_through_both():
    source, target = embedding(0, 3.0), embedding(1, 1.0)
    same = extrapolate(source, target, 1.0)
    np.testing.assert_allclose(same.vector, source.vector)
    back = extrapolate(source, target, 0.0)
    np.testing.assert_allclose(back.vector, target.vector)
    beyond = extrapolate(source, target, 1.5)
    np.testing.assert_allclose(np.linalg.norm(beyond.vector), 1, rtol=1e-6)
    np.testing.assert_allclose(beyond.vector[0, 1] / beyond.vector[0, 0], -0.5 / 1.5, rtol=1e-6)
    np.testing.assert_allclose(beyond.features['7'], [[1.5 * 3 - 0.5 * 1]], rtol=1e-6)


def test_the_targets_own_identity_stays_itself():
    own = embedding(2, 5.0)
    moved = extrapolate(own, own, 1.7)
    np.testing.assert_allclose(moved.vector, own.vector, atol=1e-6)
    np.testing.assert_allclose(moved.features['7'], own.features['7'], rtol=1e-6)
