"""The columns of a table that bundles fill: their names, what they are, what to beware of."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from apgan_jax.evaluation.table import Value, short_hash
from apgan_jax.inference.swapper import Swapper
from apgan_jax.metrics.metric import Metric


def bundle_names(swappers: Sequence[Swapper]) -> list[str]:
    """What the bundles are called; those of one name get a part of their hash beside it."""
    count = Counter(swapper.bundle.name for swapper in swappers)
    return [
        each.bundle.name
        if count[each.bundle.name] == 1
        else f'{each.bundle.name} {short_hash(each.bundle.sha256)}'
        for each in swappers
    ]


def bundle_lines(swappers: Sequence[Swapper]) -> list[str]:
    """What the bundles are, for the protocol."""
    return [_line(name, each) for name, each in zip(bundle_names(swappers), swappers, strict=True)]


def with_warnings(
    values: Mapping[str, Value], metrics: Iterable[Metric], trained_with: str
) -> dict[str, Value]:
    """A column's values; those by the recogniser that the model was trained with say so.

    Args:
      values: by key.
      metrics: the column's.
      trained_with: `IdentityEncoder.kind`.
    """
    warned = dict(values)
    for metric in metrics:
        if metric.key.endswith(f'_{trained_with}') and metric.key in warned:
            warned[metric.key] = dataclasses.replace(
                warned[metric.key],
                reason='trained with this recogniser, which it may have learnt to please',
            )
    return warned


def _line(name: str, swapper: Swapper) -> str:
    bundle = swapper.bundle
    steps = bundle.model_card.get('steps')
    parts = [
        f'crop {bundle.crop_spec.name}, {bundle.crop_spec.size} px',
        f'trained with {bundle.identity_encoder.kind}',
        *([f'{steps} steps'] if steps else []),
        f'sha256 {short_hash(bundle.sha256)}' if bundle.sha256 else 'not exported yet',
    ]
    return f'bundle {name}: {", ".join(parts)}'
