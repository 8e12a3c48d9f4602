"""The optax chains of both networks, their schedules, and the generator's moving average."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax


def learning_rate_schedule(
    peak: float,
    *,
    num_steps: int,
    warmup_steps: int = 0,
    decay_steps: int = 0,
    course: Sequence[tuple[float, float]] = (),
) -> optax.Schedule:
    """Linear warm-up, constant, then a cosine to 0 over the last `decay_steps`.

    Args:
      peak: the constant part.
      num_steps: of the whole run.
      warmup_steps: from 0 to the peak.
      decay_steps: at the end; 0 keeps the rate constant.
      course: (step, rate) in rising order, instead of the peak: linear between them; warm-up and
        decay are factors of it.
    """
    if course:
        steps, rates = map(jnp.array, zip(*course, strict=True))
        factor = learning_rate_schedule(
            1.0, num_steps=num_steps, warmup_steps=warmup_steps, decay_steps=decay_steps
        )
        return lambda step: factor(step) * jnp.interp(step, steps, rates)
    pieces = [optax.constant_schedule(peak)]
    boundaries = []
    if warmup_steps:
        pieces.insert(0, optax.linear_schedule(0.0, peak, warmup_steps))
        boundaries.append(warmup_steps)
    if decay_steps:
        pieces.append(optax.cosine_decay_schedule(peak, decay_steps))
        boundaries.append(num_steps - decay_steps)
    return optax.join_schedules(pieces, boundaries)


def adam(schedule: optax.Schedule, *, beta1: float, beta2: float) -> optax.GradientTransformation:
    """Adam as the paper uses it (beta1 = 0).

    beta2 = 0 is what the paper prints; it divides each gradient by its own size, a sign method.
    """
    return optax.adam(schedule, b1=beta1, b2=beta2)


def update_ema(ema: Any, params: Any, *, step: jax.Array, decay: float) -> Any:
    """Exponential moving average with warm-up: min(decay, (1 + step) / (10 + step)).

    Without the warm-up the average shows the initial weights for thousands of steps.
    """
    step = jnp.asarray(step, jnp.float32)
    rate = 1.0 - jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return optax.incremental_update(params, ema, rate)


def clip_rho(params: Any) -> Any:
    """Brings AdaLIN's mixing factors back into [0, 1] after an update (paper III-A)."""

    def clip(path: tuple[Any, ...], value: jax.Array) -> jax.Array:
        return jnp.clip(value, 0.0, 1.0) if path[-1].key == 'rho' else value

    return jax.tree_util.tree_map_with_path(clip, params)
