"""Nested mappings as flat ones, and whether named tensors are those that a network needs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from apgan_jax.errors import UserError

Shape = tuple[int, ...]

# Tensors that a message names: of another network all may be wrong, hundreds.
_LISTED = 10


def flatten(tree: Mapping[str, Any], separator: str = '/') -> dict[str, Any]:
    """The leaves of nested mappings by the names that lead to them.

    Args:
      tree: a network's parameters, or the fields of a JSON document.
      separator: between the names; 'down_64/conv/kernel' by default.
    """
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            below = flatten(value, separator)
            flat |= {f'{name}{separator}{rest}': leaf for rest, leaf in below.items()}
        else:
            flat[name] = value
    return flat


def shapes_of(params: Mapping[str, Any]) -> dict[str, Shape]:
    """The shapes of a network's parameters by their flat names.

    Args:
      params: nested mappings of arrays, or of what `jax.eval_shape` says of them.
    """
    return {name: tuple(leaf.shape) for name, leaf in flatten(params).items()}


def shape_problems(found: Mapping[str, Any], wanted: Mapping[str, Shape]) -> list[str]:
    """What is missing, surplus or of another shape, one text each.

    Args:
      found: arrays by name.
      wanted: shapes by name.
    """
    problems = [f'missing {name}' for name in sorted(wanted.keys() - found.keys())]
    problems += [f'surplus {name}' for name in sorted(found.keys() - wanted.keys())]
    problems += [
        f'{name} is {found[name].shape}, not {shape}'
        for name, shape in sorted(wanted.items())
        if name in found and found[name].shape != shape
    ]
    return problems


def finite_float32(found: Mapping[str, Any], *, where: str, remedy: str) -> dict[str, np.ndarray]:
    """Weights as networks compute with them.

    Args:
      found: arrays by name.
      where: the file that they come from, for the message.
      remedy: what the user is to do.

    Returns:
      The same as float32.

    Raises:
      UserError: one has no floating-point numbers, or some that are not finite in float32.
    """
    return {name: _finite(name, array, where, remedy) for name, array in found.items()}


def _finite(name: str, array: Any, where: str, remedy: str) -> np.ndarray:
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f'{where}: {name} is {array.dtype}, not float32; {remedy}')
    with np.errstate(over='ignore'):
        values = np.asarray(array, np.float32)
    if not np.isfinite(values).all():
        raise UserError(f'{where}: {name} has values that are no finite numbers; {remedy}')
    return values


def require_shapes(
    found: Mapping[str, Any], wanted: Mapping[str, Shape], *, where: str, what: str, remedy: str
) -> None:
    """Refuses tensors that are not those of a network.

    Args:
      found: arrays by name.
      wanted: shapes by name.
      where: the file that the tensors come from, for the message.
      what: the network is, for the message.
      remedy: what the user is to do.

    Raises:
      UserError: lists missing, surplus and wrongly shaped tensors, the first ten.
    """
    if problems := shape_problems(found, wanted):
        listed = '; '.join(problems[:_LISTED]) + ('; …' if len(problems) > _LISTED else '')
        raise UserError(f'{where}: does not fit {what} ({listed}); {remedy}')
