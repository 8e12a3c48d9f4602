"""What a run's log lines say of it: the failures that users report most, with their remedy."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """When a run is called a failure.

    Attributes:
      learning_steps: no verdict on identity before; the shipped recipe reached a cosine of 0.6 in
        600 steps of 16 pairs (docs/training-notes.md), slow recipes 0.2 in 1,400.
      window: log lines that identity's means are over: one batch has only some ten faces.
      copy_margin: by how much the target's cosine exceeds the source's where the output copies its
        target; runs that learn slowly were close to even (0.41 / 0.39).
      learnt_cosine: below it no identity is seen: different people have 0.02 ± 0.1 by MobileFaceNet
        and 0.14 by SFace, the same person 0.8.
      won_loss: of the discriminators, summed over scales. Chance is 1.39 a scale; at 0.05 all of
        them are right 19 times in 20 or more, and the generator's gradient through them fades.
      won_logs: consecutive log lines below it; single batches come and go.
    """

    learning_steps: int = 3_000
    window: int = 5
    copy_margin: float = 0.1
    learnt_cosine: float = 0.2
    won_loss: float = 0.05
    won_logs: int = 10


@dataclasses.dataclass(frozen=True)
class RunWarning:
    """A failure that a log shows.

    Attributes:
      name: 'copies_target', 'identity_not_learnt' or 'discriminator_has_won'.
      text: one line: what was seen, what it means, the remedy.
    """

    name: str
    text: str


History = Sequence[tuple[int, Mapping[str, float]]]


def diagnose(history: History, thresholds: Thresholds = Thresholds()) -> list[RunWarning]:
    """The failures that users report most, found in the log lines.

    Args:
      history: (step, values) of the last log lines, oldest first, with `discriminator` and, but
        for lines without pairs of different pictures, `cos_source` and `cos_target` among them.
      thresholds: what counts as a failure.

    Returns:
      What is wrong at the last line; empty when nothing is.
    """
    return [*_identity_warnings(history, thresholds), *_discriminator_warnings(history, thresholds)]


def _identity_warnings(history: History, thresholds: Thresholds) -> Iterator[RunWarning]:
    recent = [line for line in history if 'cos_source' in line[1]][-thresholds.window :]
    if len(recent) < thresholds.window or recent[0][0] < thresholds.learning_steps:
        return
    step = recent[-1][0]
    source, target = (
        np.mean([values[name] for _, values in recent]) for name in ('cos_source', 'cos_target')
    )
    seen = f'step {step}: cosine to the source {source:.2f}, to the target {target:.2f}'
    if target > source + thresholds.copy_margin:
        yield RunWarning(
            'copies_target',
            f'{seen}: the output copies its target; raise config.loss.identity_weight, lower '
            'config.data.same_image_share or leave the finest of '
            'config.generator.skip_resolutions out',
        )
    elif source < thresholds.learnt_cosine:
        yield RunWarning(
            'identity_not_learnt',
            f'{seen}: no identity is learnt; raise config.loss.identity_weight or '
            'config.optimizer.generator_learning_rate, and look at the pictures: a source whose '
            'face is not in the middle was cropped wrongly (build the data set again)',
        )


def _discriminator_warnings(history: History, thresholds: Thresholds) -> Iterator[RunWarning]:
    recent = history[-thresholds.won_logs :]
    losses = [values['discriminator'] for _, values in recent]
    if len(recent) == thresholds.won_logs and max(losses) < thresholds.won_loss:
        yield RunWarning(
            'discriminator_has_won',
            f'step {recent[-1][0]}: the discriminator loss is {losses[-1]:.2g} and stays near 0: '
            'the generator learns nothing from it any more; lower '
            'config.optimizer.discriminator_learning_rate or config.discriminator.width, and go on '
            'from a checkpoint from before',
        )
