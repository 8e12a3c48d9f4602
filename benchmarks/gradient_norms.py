"""Which of the generator's terms pull, and what the discriminators see, at a checkpoint.

`python -m benchmarks.gradient_norms --workdir DIR` swaps batches of the run's own data with its
latest weights and prints a JSON object last:

  gradient: norm of the gradient with respect to the swapped pictures of a batch, a term with its
    weight (eq. 11); mean over the batches.
  discriminator: one entry a scale, finest first. `auc`: share of pairs of a real and a swapped
    patch of which the real one has the higher logit; 0.5 tells nothing. `features`: standard
    deviation of what the stages give for swapped pictures.

What a run was trained with can be changed to see what would pull: `--weight style=1500`,
`--activation_gain 3`.
"""

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from ml_collections import ConfigDict
from tqdm import tqdm

from apgan_jax import checkpointing, experiment
from apgan_jax.data.pipeline import open_dataset, training_batches
from apgan_jax.errors import UserError
from apgan_jax.images import arcface_window, normalise_boundary_map, normalise_image
from apgan_jax.models import spectral_norm
from apgan_jax.models.generator import generate
from apgan_jax.train_step import (
    Batch,
    Judgement,
    TrainingModel,
    adversarial_terms,
    content_terms,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--workdir', type=Path, required=True, help='of the run')
    parser.add_argument('--batches', type=int, default=4, help='how many to look at')
    parser.add_argument(
        '--weight', action='append', default=[], metavar='TERM=WEIGHT', help="instead of the run's"
    )
    parser.add_argument('--activation_gain', type=float, help="instead of the run's")
    options = parser.parse_args(arguments)
    try:
        state, _, fields, step = checkpointing.restore_for_export(options.workdir)
        config = _changed(ConfigDict(fields), options.weight, options.activation_gain)
        model = experiment.build_model(config)
        batches = training_batches(
            open_dataset(Path(config.data_dir)),
            batch_size=config.batch_size,
            seed=config.seed,
            options=experiment.pair_options(config),
        )
        rows = _measure(model, state, itertools.islice(batches, options.batches))
    except UserError as error:
        print(f'benchmarks.gradient_norms: {error}', file=sys.stderr)
        return 1
    print(json.dumps({'step': step, 'batches': len(rows), **summary(rows)}))
    return 0


def _changed(config: ConfigDict, weights: list[str], activation_gain: float | None) -> ConfigDict:
    for assignment in weights:
        name, _, value = assignment.partition('=')
        field = f'{name}_weight'
        try:
            config.loss[field] = type(config.loss[field])(value)
        except (KeyError, ValueError):
            known = ', '.join(
                sorted(x.removesuffix('_weight') for x in config.loss if 'weight' in x)
            )
            raise UserError(
                f'--weight {assignment}: must be a number for one of {known}, such as style=3'
            ) from None
    if activation_gain is not None:
        config.discriminator.activation_gain = activation_gain
    return config


def _measure(model: TrainingModel, state: Any, batches: Any) -> list[Any]:
    measure = jax.jit(functools.partial(look, model))
    generator_params = spectral_norm.fold(state['generator_params'])
    discriminator_params = spectral_norm.fold(state['discriminator_params'])
    encoder_params = model.identity_encoder.params
    return [
        jax.device_get(measure(generator_params, discriminator_params, encoder_params, batch))
        for batch in tqdm(batches, unit='batch', disable=None)
    ]


def look(
    model: TrainingModel,
    generator_params: Any,
    discriminator_params: Any,
    encoder_params: Any,
    batch: Batch,
) -> tuple[dict[str, jax.Array], Judgement]:
    """Swaps a batch and differentiates each term by the swapped pictures.

    Args:
      model: fixed parts.
      generator_params: spectrally normalised.
      discriminator_params: the same.
      encoder_params: of the identity encoder.
      batch: as in `train_step`.

    Returns:
      (norm of each term's weighted gradient, what the discriminators say).
    """
    embed = functools.partial(model.identity_encoder.embed, encoder_params)
    source, target = normalise_image(batch['source']), normalise_image(batch['target'])
    boundary_map = normalise_boundary_map(batch['boundary_map'])
    identity = embed(arcface_window(source))
    swapped = generate(model.generator, generator_params, target, boundary_map, identity)

    def judge(image: jax.Array) -> Judgement:
        def discriminate(image: jax.Array) -> Any:
            return model.discriminator.apply({'params': discriminator_params}, image, boundary_map)

        return Judgement(discriminate(target), discriminate(image))

    def terms(image: jax.Array) -> dict[str, jax.Array]:
        vector = embed(arcface_window(image)).vector
        _, judged = adversarial_terms(model, judge(image))
        _, compared = content_terms(model, image, target, vector, identity, batch['same_image'])
        return {
            name: getattr(model.weights, name) * value
            for name, value in (judged | compared).items()
        }

    values, pull = jax.vjp(terms, swapped)
    norms = {}
    for name in values:
        only = {other: jnp.float32(other == name) for other in values}
        norms[name] = jnp.linalg.norm(pull(only)[0])
    return norms, judge(swapped)


def summary(rows: list[tuple[dict[str, np.ndarray], Judgement]]) -> dict[str, Any]:
    """See the module; `rows` are what `look` gave, a row a batch."""
    judgements = [judgement for _, judgement in rows]
    return {
        'gradient': {
            name: float(f'{np.mean([norms[name] for norms, _ in rows]):.3g}') for name in rows[0][0]
        },
        'discriminator': [
            {
                'auc': round(
                    auc(
                        np.concatenate([j.real[scale].logits.ravel() for j in judgements]),
                        np.concatenate([j.fake[scale].logits.ravel() for j in judgements]),
                    ),
                    3,
                ),
                'features': [
                    round(float(np.mean([j.fake[scale].features[i].std() for j in judgements])), 4)
                    for i in range(len(judgements[0].fake[scale].features))
                ],
            }
            for scale in range(len(judgements[0].fake))
        ],
    }


def auc(real: np.ndarray, fake: np.ndarray) -> float:
    """Share of pairs of which the real one is higher, equal ones by half; both of shape (n,)."""
    return float(scipy.stats.mannwhitneyu(real, fake).statistic / (len(real) * len(fake)))


if __name__ == '__main__':
    sys.exit(main())
