"""Nested JSON values with arrays among them, taken apart for a file that keeps both."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_ARRAY = '$array'


def split(tree: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A document without arrays, and the arrays by number.

    Args:
      tree: objects (their keys strings), lists, numbers, texts, None, and arrays anywhere.
    """
    arrays: dict[str, np.ndarray] = {}

    def without_arrays(node: Any) -> Any:
        if isinstance(node, np.ndarray):
            name = str(len(arrays))
            arrays[name] = node
            return {_ARRAY: name}
        if isinstance(node, Mapping):
            return {key: without_arrays(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [without_arrays(value) for value in node]
        return node

    return without_arrays(tree), arrays


def join(document: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The tree that `split` took apart; its tuples are lists now."""
    if isinstance(document, Mapping):
        if set(document) == {_ARRAY}:
            return arrays[document[_ARRAY]]
        return {key: join(value, arrays) for key, value in document.items()}
    if isinstance(document, list):
        return [join(value, arrays) for value in document]
    return document
