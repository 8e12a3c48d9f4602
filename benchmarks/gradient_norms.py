"""Which of the generator's terms pull, and what the discriminators see, at a checkpoint.

`python -m benchmarks.gradient_norms --workdir DIR` swaps batches of the run's own data with its
latest weights and prints a JSON object last:

  gradient: norm of the gradient with respect to the swapped pictures of a batch, a term with its
    weight (eq. 11); mean over the batches. Losses are means over a batch, so it falls with its
    size.
  discriminator: one entry a scale, finest first. `auc`: share of pairs of a real and a swapped
    patch of which the real one has the higher logit; 0.5 tells nothing. `features`: standard
    deviation of what the stages give for swapped pictures.

What a run was trained with can be changed to see what would pull: `--weight style=1500`,
`--activation_gain 3`. Kernels have norm 1 exactly, where training has an estimate.
"""

import argparse
import dataclasses
import functools
import itertools
import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from tqdm import tqdm

from apgan_jax.errors import UserError
from apgan_jax.models import spectral_norm
from apgan_jax.models.discriminator import ScaleOutput
from apgan_jax.training import checkpointing, experiment, train
from apgan_jax.training.losses import LossWeights
from apgan_jax.training.train_step import (
    Batch,
    Judgement,
    TrainingModel,
    adversarial_terms,
    content_terms,
    embed_sources,
    inputs_of,
    judge_pictures,
    swap_batch,
)
from configs import default


class Scale(NamedTuple):
    """What the discriminator of a scale makes of a batch.

    Attributes:
      real: logits of the targets, (n, h, w, 1).
      fake: of the swapped pictures, the same.
      features: standard deviation of each stage's features of the swapped pictures.
    """

    real: jax.Array
    fake: jax.Array
    features: list[jax.Array]


class Look(NamedTuple):
    """A batch's norms by the names of the terms, and a `Scale` a discriminator."""

    gradient: dict[str, jax.Array]
    scales: list[Scale]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--workdir', type=Path, required=True, help='of the run')
    parser.add_argument('--batches', type=int, default=4, help='how many to look at')
    parser.add_argument(
        '--weight', action='append', default=[], metavar='TERM=WEIGHT', help="not the run's"
    )
    parser.add_argument('--activation_gain', type=float, help="not the run's")
    options = parser.parse_args(arguments)
    try:
        if options.batches < 1:
            raise UserError(f'--batches {options.batches}: must be at least 1')
        state, _, fields, step = checkpointing.restore_for_export(options.workdir)
        # A run of before has fewer fields.
        config = default.get_config()
        with config.ignore_type():
            config.update(fields)
        if options.activation_gain is not None:
            config.discriminator.activation_gain = options.activation_gain
        model = experiment.build_model(config)
        model = dataclasses.replace(model, weights=_changed(model.weights, options.weight))
        batches = train.open_batches(config, experiment.open_training_data(config))
        looks = _look_at(model, state, itertools.islice(batches, options.batches))
    except UserError as error:
        print(f'benchmarks.gradient_norms: {error}', file=sys.stderr)
        return 1
    print(json.dumps({'step': step, 'batches': len(looks), **summary(looks)}))
    return 0


def _changed(weights: LossWeights, assignments: Sequence[str]) -> LossWeights:
    known = [field.name for field in dataclasses.fields(weights)]
    for assignment in assignments:
        name, _, number = assignment.partition('=')
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if name not in known or not math.isfinite(value):
            raise UserError(
                f'--weight {assignment}: must be a number for one of {", ".join(known)}, such as '
                'style=3'
            )
        weights = dataclasses.replace(weights, **{name: value})
    return weights


def _look_at(model: TrainingModel, state: Any, batches: Iterable[Batch]) -> list[Look]:
    measure = jax.jit(functools.partial(look, model))
    params = (
        spectral_norm.fold(state['generator_params']),
        spectral_norm.fold(state['discriminator_params']),
        model.identity_encoder.params,
    )
    return [
        jax.device_get(measure(*params, batch))
        for batch in tqdm(batches, unit='batch', disable=None)
    ]


def look(
    model: TrainingModel,
    generator_params: Any,
    discriminator_params: Any,
    encoder_params: Any,
    batch: Batch,
) -> Look:
    """Swaps a batch and differentiates each term by the swapped pictures.

    Args:
      model: fixed parts.
      generator_params: spectrally normalised.
      discriminator_params: the same.
      encoder_params: of the identity encoder.
      batch: as in `train_step`.
    """
    inputs = inputs_of(batch)
    sources = embed_sources(model, encoder_params, batch['source'])
    swap = swap_batch(model, generator_params, inputs, sources.identity)

    def terms(image: jax.Array) -> tuple[dict[str, jax.Array], Judgement]:
        judgement = judge_pictures(model, discriminator_params, encoder_params, inputs, image)
        _, judged = adversarial_terms(model, judgement)
        changed = swap._replace(picture=image)
        _, compared = content_terms(model, changed, inputs, encoder_params, sources)
        weighted = {
            name: getattr(model.weights, name) * value
            for name, value in (judged | compared).items()
        }
        return weighted, judgement

    values, pull, judgement = jax.vjp(terms, swap.picture, has_aux=True)
    gradient = {}
    for name in values:
        only = {other: jnp.float32(other == name) for other in values}
        gradient[name] = jnp.linalg.norm(pull(only)[0])
    return Look(gradient, [_scale(*outputs) for outputs in zip(*judgement, strict=True)])


def _scale(real: ScaleOutput, fake: ScaleOutput) -> Scale:
    spread = [jnp.std(features.astype(jnp.float32)) for features in fake.features]
    return Scale(real.logits.astype(jnp.float32), fake.logits.astype(jnp.float32), spread)


def summary(looks: Sequence[Look]) -> dict[str, Any]:
    """See the module."""
    return {
        'gradient': {
            name: float(f'{np.mean([each.gradient[name] for each in looks]):.3g}')
            for name in looks[0].gradient
        },
        'discriminator': [
            {
                'auc': round(
                    auc(_patches(s.real for s in scale), _patches(s.fake for s in scale)), 3
                ),
                'features': _stages(s.features for s in scale),
            }
            for scale in zip(*[each.scales for each in looks], strict=True)
        ],
    }


def _stages(features: Iterable[Sequence[np.ndarray]]) -> list[float]:
    return np.mean(list(features), axis=0, dtype=np.float64).round(4).tolist()


def _patches(logits: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([each.ravel() for each in logits])


def auc(real: np.ndarray, fake: np.ndarray) -> float:
    """Share of pairs of which the real one is higher, equal ones by half; both of shape (n,)."""
    return float(scipy.stats.mannwhitneyu(real, fake).statistic / (len(real) * len(fake)))


if __name__ == '__main__':
    sys.exit(main())
