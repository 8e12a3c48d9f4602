"""A network as a sequence of layers in execution order: the one found and the one expected.

A layer is a convolution or dense layer with the batch normalisation that follows folded in and its
PReLU, or a batch normalisation that follows neither, or an operation without weights. Weights have
PyTorch's and ONNX's layout, (out, in / groups, h, w) and (out, in); every array is float32.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np

CONV, DENSE, NORM, ADD = 'Conv', 'Gemm', 'BatchNormalization', 'Add'


class Signature(NamedTuple):
    """What two layers must share to be the same but for their numbers."""

    operation: str
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    groups: int = 1
    prelu: bool = False

    def __str__(self) -> str:
        parts = [self.operation, '×'.join(map(str, self.shape))]
        parts += [f'stride {_short(self.strides)} pad {_short(self.pads)}'] if self.strides else []
        parts += [f'groups {self.groups}'] if self.groups > 1 else []
        parts += ['PRelu'] if self.prelu else []
        return ' '.join(part for part in parts if part)


def _short(numbers: tuple[int, ...]) -> str:
    return ','.join(map(str, numbers if len(set(numbers)) > 1 else numbers[:1]))


class ExpectedLayer(NamedTuple):
    """A layer that an architecture needs.

    `name` is its flat Flax name. The others are its prefixes in a PyTorch state dict: of its
    weight, of the normalisation folded in, of the slopes; '' where it has none.
    """

    name: str
    signature: Signature
    weight: str = ''
    norm: str = ''
    slope: str = ''


class Norm(NamedTuple):
    """A batch normalisation's scale and offset, (c,) float64 each."""

    scale: np.ndarray
    offset: np.ndarray


@dataclass
class Layer:
    """A layer that a file has; a batch normalisation's scale is its weight, its offset its bias.

    One without weights has empty arrays.
    """

    operation: str
    weight: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    slope: np.ndarray | None = None
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    groups: int = 1

    @property
    def signature(self) -> Signature:
        """To compare with an expected one."""
        shape = self.weight.shape if self.weight.size else ()
        prelu = self.slope is not None
        return Signature(self.operation, shape, self.strides, self.pads, self.groups, prelu)

    @property
    def width(self) -> int:
        """Channels of the output."""
        return len(self.weight)

    def fold(self, norm: Norm) -> None:
        """Takes in the batch normalisation of this layer's output: w ← w s, b ← b s + o."""
        scale = norm.scale.reshape(-1, *[1] * (self.weight.ndim - 1))
        self.weight = (self.weight * scale).astype(np.float32)
        self.bias = (self.bias * norm.scale + norm.offset).astype(np.float32)


def batch_norm(parts: Sequence[np.ndarray], epsilon: float) -> Norm:
    """Batch normalisation at inference, w (x - mean) / √(variance + epsilon) + b, as an affine map.

    Args:
      parts: w, b, mean and variance, (c,) each.
      epsilon: as in the formula.
    """
    gamma, beta, mean, variance = (part.astype(np.float64) for part in parts)
    scale = gamma / np.sqrt(variance + epsilon)
    return Norm(scale, beta - mean * scale)


def norm_layer(norm: Norm) -> Layer:
    """A batch normalisation that nothing takes in."""
    return Layer(NORM, norm.scale.astype(np.float32), norm.offset.astype(np.float32))


def layer_differences(found: Sequence[Layer], expected: Sequence[ExpectedLayer]) -> list[str]:
    """The layers that are missing, surplus or other than expected, one text each."""
    ours = [layer.signature for layer in expected]
    theirs = [layer.signature for layer in found]
    problems = []
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for tag, start, stop, found_start, found_stop in matcher.get_opcodes():
        if tag == 'equal':
            continue
        pairs = itertools.zip_longest(expected[start:stop], theirs[found_start:found_stop])
        for number, (wanted, signature) in enumerate(pairs, start=found_start):
            if wanted is None:
                problems.append(f'surplus {signature} (layer {number} of the file)')
            elif signature is None:
                problems.append(f'missing {wanted.signature} ({wanted.name})')
            else:
                problems.append(f'{wanted.name} is {signature}, not {wanted.signature}')
    return problems


def flax_tensors(
    layers: Sequence[Layer], expected: Sequence[ExpectedLayer]
) -> dict[str, np.ndarray]:
    """The tensors of layers that have the expected signatures, by their flat Flax names.

    The last two are a batch normalisation and the dense layer over its flattened output.
    """
    tensors: dict[str, np.ndarray] = {}
    for layer, (name, *_) in zip(layers[:-2], expected[:-2], strict=True):
        if layer.operation == NORM:
            tensors |= {f'{name}/scale': layer.weight, f'{name}/offset': layer.bias}
        elif layer.operation == CONV:
            tensors |= {f'{name}/kernel': flax_kernel(layer.weight), f'{name}/bias': layer.bias}
        if layer.slope is not None:
            tensors[f'{name}/slope'] = layer.slope
    tensors |= _embedding(expected[-1].name, layers[-2], layers[-1])
    return {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}


def flax_kernel(weight: np.ndarray) -> np.ndarray:
    """(out, in / groups, h, w) to (h, w, in / groups, out), or to (in, out) where 1×1."""
    kernel = weight.transpose(2, 3, 1, 0)
    return kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel


def _embedding(name: str, norm: Layer, dense: Layer) -> dict[str, np.ndarray]:
    """The dense layer with the normalisation before it folded in, for images that end in channels.

    W (s x + o) + b = (W s) x + (W o + b), exactly: unlike a convolution it pads nothing.
    """
    by_channel = dense.weight.reshape(len(dense.weight), len(norm.weight), -1)
    kernel = by_channel * norm.weight[:, None]
    bias = dense.bias + by_channel.sum(axis=2, dtype=np.float64) @ norm.bias
    kernel = kernel.transpose(2, 1, 0).reshape(-1, len(dense.weight))
    return {f'{name}/kernel': kernel, f'{name}/bias': bias}
