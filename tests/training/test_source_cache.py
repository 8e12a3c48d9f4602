"""What is kept of sources, and that a step does not see the difference."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from apgan_jax.training.source_cache import SourceCache
from apgan_jax.training.train_step import SOURCE_EMBEDDINGS, embed_sources, train_step
from support.faces import random_state
from support.small_step import random_batch, small_model


def pictures(*numbers):
    return np.stack([np.full((2, 2, 3), number, np.uint8) for number in numbers])


class Counting:
    """Embeds a picture as its first value, and remembers what it was given."""

    def __init__(self):
        self.given = []

    def __call__(self, sources):
        self.given.append(sources[:, 0, 0, 0].tolist())
        return {'value': np.float32(sources[:, 0, 0, 0]), 'twice': 2.0 * sources[:, 0, 0]}


def values(cache, *numbers):
    batch = cache.add({'source': pictures(*numbers), 'target': 'as it was'})
    assert batch['target'] == 'as it was'
    found = batch[SOURCE_EMBEDDINGS]
    assert (found['twice'] == 2 * found['value'][:, None]).all()
    return found['value'].tolist()


def test_each_picture_is_embedded_once():
    embed = Counting()
    cache = SourceCache(embed, most=10)
    assert values(cache, 3, 5, 3) == [3, 5, 3]
    assert values(cache, 5, 3, 5) == [5, 3, 5]
    assert values(cache, 5, 7, 3) == [5, 7, 3]
    # Always as many, so that one program is compiled.
    assert embed.given == [[3, 5, 3], [7, 7, 7]]


def test_the_oldest_go_first():
    embed = Counting()
    cache = SourceCache(embed, most=2)
    for numbers in ((1, 2), (3, 2), (2, 3), (1, 3)):
        assert values(cache, *numbers) == [*numbers]
    assert embed.given == [[1, 2], [3, 3], [1, 1]]


@pytest.mark.parametrize('view', [(0, 0), (30, 10)])
def test_a_step_from_kept_embeddings_is_the_same_step(view):
    model = small_model()
    model = dataclasses.replace(model, identity_view=view)
    params, batch = model.identity_encoder.params, random_batch()
    embed = functools.partial(jax.jit(functools.partial(embed_sources, model)), params)
    step = jax.jit(functools.partial(train_step, model))
    cache = SourceCache(embed, most=100)
    made, kept = (
        {
            name: float(value)
            for name, value in step(random_state(model), params, each)[1].compute().items()
        }
        for each in (batch, cache.add(batch))
    )
    assert kept == pytest.approx(made, rel=1e-5)
    # At another place in the batch, and from the cache: the same bits.
    turned = {name: array[::-1].copy() for name, array in batch.items()}
    fresh = SourceCache(embed, most=100).add(turned)[SOURCE_EMBEDDINGS]
    again = cache.add(turned)[SOURCE_EMBEDDINGS]
    for one, other in zip(jax.tree.leaves(fresh), jax.tree.leaves(again), strict=True):
        assert (one == other).all()
