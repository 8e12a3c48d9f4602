"""Reads the layers of a network from an ONNX file by walking its graph in execution order.

Names play no part: exporters rename what they fold. PyTorch's folds a batch normalisation into the
convolution before it and numbers the result; other files keep the two apart.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from apgan_jax.errors import UserError
from apgan_jax.models.images import ARCFACE_SIZE
from data_prep.port.layers import ADD, CONV, DENSE, Layer, Norm, batch_norm, norm_layer


def load_onnx(source: Path) -> onnx.ModelProto:
    """Opens an ONNX file of a network for aligned faces.

    Raises:
      UserError: the file is missing, unreadable or takes another input than 3×112×112.
    """
    try:
        model = onnx.load(source)
        onnx.checker.check_model(model)
    except (OSError, DecodeError, ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).partition('\n')[0]
        raise UserError(f'{source} is not a readable ONNX file ({reason}): get it anew.') from error
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    shapes = [[d.dim_value for d in value.type.tensor_type.shape.dim] for value in inputs]
    if [shape[1:] for shape in shapes] != [[3, ARCFACE_SIZE, ARCFACE_SIZE]]:
        raise UserError(
            f'{source} takes inputs of shapes {shapes}, not one of [n, 3, 112, 112]: '
            'pass a face recogniser for aligned 112 px crops.'
        )
    return model


def read_graph(model: onnx.ModelProto) -> tuple[list[Layer], list[str]]:
    """Walks a graph.

    Returns:
      The layers that could be read, in execution order, and a text for each node that could not.
    """
    walk = _Walk(model)
    for node in model.graph.node:
        try:
            walk.visit(node)
        except _UnknownNodeError as error:
            name = node.name or node.output[0]
            walk.unknown.append(f'unknown {node.op_type} {name!r} ({error})')
    return walk.layers, walk.unknown


class _UnknownNodeError(Exception):
    """A node that none of the networks has."""


class _Walk:
    """What a walk has seen: constants, layers, the layer that made each tensor, unknown nodes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.layers: list[Layer] = []
        self.unknown: list[str] = []
        self._constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self._makers: dict[str, Layer] = {}
        self._readers: dict[str, Callable[[onnx.NodeProto], None]] = {
            CONV: self._conv,
            DENSE: self._dense,
            ADD: self._add,
            'BatchNormalization': self._norm,
            'Constant': self._constant,
            'PRelu': self._prelu,
            'Sub': self._scalar,
            'Mul': self._scalar,
        }
        # At inference these pass their input on: its numbers and their order.
        reshaping = ('Dropout', 'Flatten', 'Identity', 'Reshape', 'Unsqueeze')
        self._readers |= dict.fromkeys(reshaping, self._pass_on)

    def visit(self, node: onnx.NodeProto) -> None:
        """Reads one node."""
        if node.op_type not in self._readers:
            raise _UnknownNodeError('no layer of such a network')
        self._readers[node.op_type](node)

    def _conv(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        if attributes.get('auto_pad', b'NOTSET') != b'NOTSET':
            raise _UnknownNodeError('automatic padding')
        if set(attributes.get('dilations', [1])) != {1}:
            raise _UnknownNodeError('dilated')
        layer = self._weighted(node, self._array(node.input[1]))
        layer.strides = tuple(attributes.get('strides', (1, 1)))
        layer.pads = tuple(attributes.get('pads', (0, 0, 0, 0)))
        layer.groups = attributes.get('group', 1)
        self._append(node, layer)

    def _dense(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        if any(attributes.get(name, value) != value for name, value in _PLAIN_GEMM.items()):
            raise _UnknownNodeError(f'only {_PLAIN_GEMM} is known')
        weight = self._array(node.input[1])
        weight = weight if attributes.get('transB', 0) else weight.T
        self._append(node, self._weighted(node, weight))

    def _add(self, node: onnx.NodeProto) -> None:
        self._append(node, Layer(ADD))

    def _norm(self, node: onnx.NodeProto) -> None:
        epsilon = _attributes(node).get('epsilon', 1e-5)
        maker = self._makers.get(node.input[0])
        if maker is None or maker.operation not in (CONV, DENSE) or maker.slope is not None:
            width = self._array(node.input[1]).size
            self._append(node, norm_layer(self._read_norm(node, width, epsilon)))
        else:
            maker.fold(self._read_norm(node, maker.width, epsilon))
            self._makers[node.output[0]] = maker

    def _read_norm(self, node: onnx.NodeProto, width: int, epsilon: float) -> Norm:
        return batch_norm([self._vector(name, width) for name in node.input[1:]], epsilon)

    def _prelu(self, node: onnx.NodeProto) -> None:
        maker = self._makers.get(node.input[0])
        if maker is None or maker.operation != CONV or maker.slope is not None:
            raise _UnknownNodeError('not after a convolution')
        maker.slope = self._vector(node.input[1], maker.width)
        self._makers[node.output[0]] = maker

    def _scalar(self, node: onnx.NodeProto) -> None:
        constant = self._array(node.input[1])
        if constant.size != 1:
            raise _UnknownNodeError('not by a single number')
        self._append(node, Layer(f'{node.op_type} {constant.item():g}'))

    def _constant(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        if 'value' not in attributes:
            raise _UnknownNodeError('no tensor')
        self._constants[node.output[0]] = numpy_helper.to_array(attributes['value'])

    def _pass_on(self, node: onnx.NodeProto) -> None:
        if node.input[0] in self._makers:
            self._makers[node.output[0]] = self._makers[node.input[0]]
        elif node.input[0] in self._constants:
            self._constants[node.output[0]] = self._constants[node.input[0]]

    def _append(self, node: onnx.NodeProto, layer: Layer) -> None:
        self.layers.append(layer)
        self._makers[node.output[0]] = layer

    def _weighted(self, node: onnx.NodeProto, weight: np.ndarray) -> Layer:
        """A convolution or dense layer with the node's bias, or zeros where it has none."""
        bias = np.zeros(len(weight), np.float32)
        if len(node.input) > 2:
            bias = self._vector(node.input[2], len(weight))
        return Layer(node.op_type, weight, bias)

    def _vector(self, name: str, size: int) -> np.ndarray:
        """A constant that has one number for each channel."""
        array = self._array(name)
        if array.size != size:
            raise _UnknownNodeError(f'{name!r} is {array.shape}, not ({size},)')
        return array.reshape(-1)

    def _array(self, name: str) -> np.ndarray:
        if name not in self._constants:
            raise _UnknownNodeError(f'{name!r} is no constant')
        return self._constants[name].astype(np.float32)


_PLAIN_GEMM = {'alpha': 1.0, 'beta': 1.0, 'transA': 0}


def _attributes(node: onnx.NodeProto) -> dict:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
