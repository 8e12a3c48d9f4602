"""Reads the layers of a network from a PyTorch state dict with `arcface_torch`'s names."""

from collections.abc import Mapping, Sequence

import numpy as np

from apgan_jax.files.tensors import shape_problems
from data_prep.port.layers import (
    ADD,
    DENSE,
    NORM,
    ExpectedLayer,
    Layer,
    Norm,
    batch_norm,
    norm_layer,
)

_EPSILON = 1e-5  # of arcface_torch's batch normalisations
_NORM_PARTS = ('weight', 'bias', 'running_mean', 'running_var')
_WRAPPER = 'module.'  # what DistributedDataParallel writes before every name
_COUNTER = '.num_batches_tracked'  # of training only


def clean(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A state dict without the prefix of distributed training and without its counters."""
    return {
        name.removeprefix(_WRAPPER): array
        for name, array in state.items()
        if not name.endswith(_COUNTER)
    }


def tensor_differences(
    state: Mapping[str, np.ndarray], expected: Sequence[ExpectedLayer]
) -> list[str]:
    """The names that a cleaned state dict lacks or has too many, and the wrong shapes."""
    return shape_problems(state, _shapes(expected))


def read_state(state: Mapping[str, np.ndarray], expected: Sequence[ExpectedLayer]) -> list[Layer]:
    """The layers of a cleaned state dict that has the expected names and shapes."""
    state = {name: state[name].astype(np.float32) for name in _shapes(expected)}
    return [_layer(state, wanted) for wanted in expected]


def _shapes(expected: Sequence[ExpectedLayer]) -> dict[str, tuple[int, ...]]:
    """The arrays of a state dict."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in expected:
        operation, shape = layer.signature.operation, layer.signature.shape
        if operation == ADD:
            continue
        width = shape[:1]
        norm = layer.weight if operation == NORM else layer.norm
        shapes |= {f'{norm}.{part}': width for part in _NORM_PARTS}
        if operation != NORM:
            shapes[f'{layer.weight}.weight'] = shape
        if operation == DENSE:  # the convolutions have no bias
            shapes[f'{layer.weight}.bias'] = width
        if layer.slope:
            shapes[f'{layer.slope}.weight'] = width
    return shapes


def _layer(state: Mapping[str, np.ndarray], wanted: ExpectedLayer) -> Layer:
    signature = wanted.signature
    if signature.operation == ADD:
        return Layer(ADD)
    if signature.operation == NORM:
        return norm_layer(_norm(state, wanted.weight))
    weight = state[f'{wanted.weight}.weight']
    zeros = np.zeros(len(weight), np.float32)
    layer = Layer(
        signature.operation,
        weight,
        state.get(f'{wanted.weight}.bias', zeros),
        state.get(f'{wanted.slope}.weight'),
        signature.strides,
        signature.pads,
        signature.groups,
    )
    layer.fold(_norm(state, wanted.norm))
    return layer


def _norm(state: Mapping[str, np.ndarray], name: str) -> Norm:
    return batch_norm([state[f'{name}.{part}'] for part in _NORM_PARTS], _EPSILON)
