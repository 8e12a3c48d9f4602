"""What a run's steps and log lines say, and a clock to time them by."""

import jax.numpy as jnp

from apgan_jax.training.train_step import train_metrics

TERMS = ('generator', 'discriminator', 'adversarial', 'identity', 'reconstruction')
TERMS = (*TERMS, 'occlusion', 'style')
GOOD = {'cos_source': 0.6, 'cos_target': 0.2, 'discriminator': 1.5}


class Clock:
    """Seconds that pass only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def after(self, seconds, value=None):
        self.now += seconds
        return value


def history(count=10, start=3_000, **changes):
    return [(start + 50 * number, GOOD | changes) for number in range(count)]


def names(warnings):
    return [warning.name for warning in warnings]


def step_metrics(**changes):
    values = dict.fromkeys(TERMS, 1.0) | changes
    return train_metrics({k: jnp.float32(v) for k, v in values.items()})
