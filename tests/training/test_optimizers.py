import jax.numpy as jnp
import numpy as np
import optax
import pytest

from apgan_jax.training import optimizers


@pytest.mark.parametrize(
    'step, expected',
    [(0, 0.0), (5, 0.5), (10, 1.0), (50, 1.0), (80, 1.0), (90, 0.5), (100, 0.0), (150, 0.0)],
)
def test_warmup_constant_and_cosine(step, expected):
    schedule = optimizers.learning_rate_schedule(
        1.0, num_steps=100, warmup_steps=10, decay_steps=20
    )
    assert float(schedule(step)) == pytest.approx(expected, abs=1e-6)


def test_the_cosine_is_a_cosine():
    schedule = optimizers.learning_rate_schedule(2.0, num_steps=100, decay_steps=100)
    assert float(schedule(25)) == pytest.approx(1 + np.cos(np.pi / 4), rel=1e-6)


def test_without_warmup_and_decay_the_rate_is_constant():
    schedule = optimizers.learning_rate_schedule(3e-4, num_steps=10)
    assert [float(schedule(step)) for step in (0, 5, 10, 1000)] == pytest.approx([3e-4] * 4)


def update(gradient, *, beta1=0.0, beta2, steps=1, rate=0.1):
    tx = optimizers.adam(optax.constant_schedule(rate), beta1=beta1, beta2=beta2)
    state = tx.init(gradient)
    for _ in range(steps):
        updates, state = tx.update(gradient, state, gradient)
    return updates


def test_beta2_of_0_is_a_sign_method():
    gradient = jnp.array([1e-3, -5.0, 100.0])
    np.testing.assert_allclose(update(gradient, beta2=0.0), [-0.1, 0.1, -0.1], rtol=1e-4)


def test_beta1_of_0_follows_the_gradient_at_once():
    tx = optimizers.adam(optax.constant_schedule(0.1), beta1=0.0, beta2=0.999)
    gradient = jnp.array([2.0])
    _, state = tx.update(gradient, tx.init(gradient))
    updates, _ = tx.update(-gradient, state)
    # The mean square is 4 after both; no momentum remains of the first.
    np.testing.assert_allclose(updates, [0.1], rtol=1e-4)


def test_the_rate_follows_the_schedule():
    schedule = optimizers.learning_rate_schedule(1.0, num_steps=10, warmup_steps=2)
    tx = optimizers.adam(schedule, beta1=0.0, beta2=0.999)
    gradient = jnp.array([3.0])
    state, sizes = tx.init(gradient), []
    for _ in range(4):
        updates, state = tx.update(gradient, state)
        sizes.append(-float(updates[0]))
    np.testing.assert_allclose(sizes, [0.0, 0.5, 1.0, 1.0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    'step, kept', [(0, 0.1), (10, 0.55), (90, 0.91), (8_980, 8981 / 8990), (100_000, 0.999)]
)
def test_the_average_warms_up(step, kept):
    ema = optimizers.update_ema(
        {'a': jnp.array(1.0)}, {'a': jnp.array(0.0)}, step=jnp.array(step), decay=0.999
    )
    assert float(ema['a']) == pytest.approx(min(kept, 0.999), abs=1e-6)


def test_the_average_of_a_constant_is_the_constant():
    params = {'a': jnp.array([2.0, -3.0])}
    ema = optimizers.update_ema(params, params, step=jnp.array(7), decay=0.999)
    np.testing.assert_allclose(ema['a'], params['a'], rtol=1e-6)


def test_clip_rho_clips_rho_alone():
    values = jnp.array([-0.5, 0.3, 1.5])
    params = {'norm_0': {'rho': values}, 'conv': {'kernel': values}, 'rhododendron': {'b': values}}
    clipped = optimizers.clip_rho(params)
    np.testing.assert_allclose(clipped['norm_0']['rho'], [0.0, 0.3, 1.0])
    np.testing.assert_array_equal(clipped['conv']['kernel'], values)
    np.testing.assert_array_equal(clipped['rhododendron']['b'], values)


def test_a_course_stands_for_the_constant_part():
    course = ((0, 4.0), (10, 4.0), (20, 2.0))
    rate = optimizers.learning_rate_schedule(
        1.0, num_steps=100, warmup_steps=4, decay_steps=20, course=course
    )
    expected = {0: 0.0, 2: 2.0, 4: 4.0, 15: 3.0, 50: 2.0, 90: 1.0, 100: 0.0}
    found = {step: float(rate(step)) for step in expected}
    assert found == pytest.approx(expected, abs=1e-6)
