"""Numbers that are not finite, found by step, term and part of the state."""

import jax
import numpy as np

from apgan_jax.training.finite import first_nonfinite, nonfinite_parts
from support.log_lines import step_metrics


def test_the_first_step_and_its_terms_are_named():
    nan, inf = float('nan'), float('inf')
    pending = [
        (7, step_metrics()),
        (8, step_metrics(style=nan, generator=nan)),
        (9, step_metrics(identity=inf)),
    ]
    step, terms = first_nonfinite(jax.device_get(pending))
    assert step == 8
    assert list(terms) == ['style']
    assert first_nonfinite(jax.device_get(pending[:1])) is None
    assert first_nonfinite(jax.device_get(pending[2:])) == (9, {'identity': inf})


def test_the_spoilt_part_of_a_state_is_named(tiny_state):
    assert nonfinite_parts(tiny_state) == []
    flat, tree = jax.tree.flatten(tiny_state.generator_ema_params)
    flat[3] = np.full_like(flat[3], np.inf)
    spoilt = tiny_state.replace(generator_ema_params=jax.tree.unflatten(tree, flat))
    assert nonfinite_parts(spoilt) == ['generator_ema_params']
