"""Small real ONNX files, and adapters for them."""

from pathlib import Path

import pytest

from apgan_jax.networks.adapters import Adapter

onnx = pytest.importorskip('onnx')
helper = onnx.helper


def write_network(
    path: Path, shape, *nodes, outputs=('y',), element=onnx.TensorProto.FLOAT
) -> Path:
    """An ONNX file with the input 'x' of a shape and outputs of any; no nodes: it passes x on."""
    graph = helper.make_graph(
        nodes or (helper.make_node('Identity', ['x'], ['y']),),
        'graph',
        [helper.make_tensor_value_info('x', element, shape)],
        [helper.make_tensor_value_info(name, element, None) for name in outputs],
    )
    opset = [helper.make_opsetid('', 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def adapter(folder: Path, **fields) -> Adapter:
    fields = {'kind': 'features', 'size': [8, 6], 'mean': 0, 'scale': 1} | fields
    return Adapter.from_dict({'file': 'net.onnx', **fields}, folder / 'net.toml')
