"""Numbers that are not finite: in which step, which loss term, which part of the state."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from clu import metrics

Pending = Sequence[tuple[int, metrics.Collection]]


def first_nonfinite(pending: Pending) -> tuple[int, dict[str, float]] | None:
    """The first step whose metrics are not all finite, and those: (step, {term: value}) or None.

    Args:
      pending: (step, metrics) of each step, on the host.
    """
    for step, collection in pending:
        if all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(collection)):
            continue
        values = {name: float(value) for name, value in collection.compute().items()}
        terms = {name: value for name, value in values.items() if not np.isfinite(value)}
        # The sum of the terms says nothing that they do not say.
        return step, {k: v for k, v in terms.items() if k != 'generator'} or terms
    return None


@jax.jit
def _finite_parts(parts: Any) -> Any:
    def finite(tree: Any) -> jax.Array:
        leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves] or [jnp.array(True)]))

    return {name: finite(tree) for name, tree in parts.items()}


def nonfinite_parts(state: Any) -> list[str]:
    """The fields of a state (a flax dataclass) that hold a number that is not finite."""
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    finite = jax.device_get(_finite_parts(fields))
    return sorted(name for name, good in finite.items() if not good)
