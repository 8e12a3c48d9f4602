"""IResNets with random weights, in the files in which insightface and PyTorch hand them out.

Written from insightface's `arcface_torch/backbones/iresnet.py`, not from the package.
"""

import itertools
import struct
import zipfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WIDTHS = (64, 128, 256, 512)
# Depths of the smallest network: one block a stage.
SMALL = (1, 1, 1, 1)


def random_state(depths, seed=0):
    """A state dict (name → array) whose activations neither vanish nor explode."""
    rng = np.random.default_rng(seed)
    state = {}

    def weight(name, *shape):
        state[f'{name}.weight'] = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)

    def norm(name, width, gamma=1.0):
        state[f'{name}.weight'] = gamma * rng.uniform(0.8, 1.2, width)
        state[f'{name}.bias'] = rng.normal(0, 0.1, width)
        state[f'{name}.running_mean'] = rng.normal(0, 0.1, width)
        state[f'{name}.running_var'] = rng.uniform(0.8, 1.2, width)
        state[f'{name}.num_batches_tracked'] = np.int64(7)

    def prelu(name, width):
        state[f'{name}.weight'] = rng.uniform(0.1, 0.4, width)

    weight('conv1', 64, 3, 3, 3)
    norm('bn1', 64)
    prelu('prelu', 64)
    before = 64
    for stage, (depth, width) in enumerate(zip(depths, WIDTHS, strict=True), start=1):
        for block in range(depth):
            name = f'layer{stage}.{block}'
            norm(f'{name}.bn1', before)
            weight(f'{name}.conv1', width, before, 3, 3)
            norm(f'{name}.bn2', width)
            prelu(f'{name}.prelu', width)
            weight(f'{name}.conv2', width, width, 3, 3)
            norm(f'{name}.bn3', width, gamma=0.5)
            if block == 0:
                weight(f'{name}.downsample.0', width, before, 1, 1)
                norm(f'{name}.downsample.1', width)
            before = width
    norm('bn2', 512)
    weight('fc', 512, 512 * 7 * 7)
    state['fc.bias'] = rng.normal(0, 0.1, 512)
    norm('features', 512)
    state['features.weight'] = np.ones(512)
    return {
        name: np.asarray(array, np.int64 if name.endswith('tracked') else np.float32)
        for name, array in state.items()
    }


def iresnet_onnx(depths, state, fused):
    """The network as ONNX, its stages' outputs named stage1 to stage4.

    Args:
      depths: blocks in each stage.
      state: its weights.
      fused: as PyTorch exports it, batch normalisation folded into the convolution before it and
        both renamed; else node by node, under the names of the state dict.
    """
    graph = _Graph(state, fused)
    x = graph.prelu(graph.conv('data', 'conv1', 'bn1', 1), 'prelu')
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            name, strides = f'layer{stage}.{block}', 1 if block else 2
            y = graph.norm(x, f'{name}.bn1')
            y = graph.prelu(graph.conv(y, f'{name}.conv1', f'{name}.bn2', 1), f'{name}.prelu')
            y = graph.conv(y, f'{name}.conv2', f'{name}.bn3', strides)
            if block == 0:
                x = graph.conv(x, f'{name}.downsample.0', f'{name}.downsample.1', strides)
            last = block == depth - 1
            x = graph.node('Add', y, x, output=f'stage{stage}' if last else None)
    x = graph.node('Flatten', graph.norm(x, 'bn2'), axis=1)
    x = graph.node('Gemm', x, graph.constant('fc.weight'), graph.constant('fc.bias'), transB=1)
    return graph.model(graph.norm(x, 'features'))


class _Graph:
    def __init__(self, state, fused):
        self.nodes, self.constants = [], []
        self._state, self._fused = state, fused
        self._numbers = itertools.count(600)

    def node(self, operation, *inputs, output=None, **attributes):
        output = output or str(next(self._numbers))
        self.nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def constant(self, name, array=None):
        array = self._state[name] if array is None else array
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def norm(self, x, name):
        parts = ('weight', 'bias', 'running_mean', 'running_var')
        constants = [self.constant(f'{name}.{part}') for part in parts]
        return self.node('BatchNormalization', x, *constants, epsilon=1e-5)

    def prelu(self, x, name):
        slope = self._state[f'{name}.weight'].reshape(-1, 1, 1)
        return self.node('PRelu', x, self.constant(f'{name}.weight', slope))

    def conv(self, x, name, norm, strides):
        weight = self._state[f'{name}.weight']
        size = weight.shape[-1]
        attributes = {
            'dilations': [1, 1],
            'group': 1,
            'kernel_shape': [size] * 2,
            'pads': [size // 2] * 4,
            'strides': [strides] * 2,
        }
        if not self._fused:
            y = self.node('Conv', x, self.constant(f'{name}.weight'), **attributes)
            return self.norm(y, norm)
        gamma, beta, mean, variance = (
            self._state[f'{norm}.{part}'].astype(np.float64)
            for part in ('weight', 'bias', 'running_mean', 'running_var')
        )
        factor = gamma / np.sqrt(variance + 1e-5)
        folded = (weight * factor[:, None, None, None]).astype(np.float32)
        bias = (beta - mean * factor).astype(np.float32)
        names = [f'onnx::Conv_{next(self._numbers)}' for _ in range(2)]
        constants = map(self.constant, names, (folded, bias))
        return self.node('Conv', x, *constants, **attributes)

    def model(self, output):
        graph = helper.make_graph(
            self.nodes,
            'iresnet',
            [helper.make_tensor_value_info('data', TensorProto.FLOAT, ['n', 3, 112, 112])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ['n', 512])],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 14)], ir_version=8)


def run_onnx(model, names, planes):
    """The tensors of these names for planes (n, 3, 112, 112), one image at a time, and the output.

    Returns:
      [of each name (n, …), …, first output (n, d)]
    """
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    for name in names:
        exposed.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        exposed.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    wanted = [*names, model.graph.output[0].name]
    given = session.get_inputs()[0].name
    rows = [session.run(wanted, {given: np.ascontiguousarray(face[None])}) for face in planes]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def assert_embeds_as(embedding, vectors, maps):
    """Compares an IdentityEmbedding with original vectors (n, d) and maps {stage: (n, c, h, w)}."""
    vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(embedding.vector, vectors, rtol=0, atol=1e-4)
    assert embedding.features.keys() == maps.keys()
    for stage, theirs in maps.items():
        assert theirs.shape[2:] == (int(stage),) * 2
        pooled = theirs.mean(axis=(2, 3))
        for ours, row in zip(embedding.features[stage], pooled, strict=True):
            np.testing.assert_allclose(ours, row, rtol=0, atol=1e-4 * np.abs(row).max())


def torch_archive(path, pickled, storages, compression=zipfile.ZIP_STORED):
    """The zip file that torch.save writes around a pickle."""
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr('archive/data.pkl', pickled)
        archive.writestr('archive/byteorder', 'little')
        for key, data in storages.items():
            archive.writestr(f'archive/data/{key}', data)
        archive.writestr('archive/version', '3\n')


def torch_tensor(key, shape, count, kind='FloatStorage', strides=None, offset=0):
    """The pickle opcodes of a tensor in storage `key` of so many numbers, contiguous by default."""
    strides = strides or [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    storage = _text('storage') + f'ctorch\n{kind}\n'.encode() + _text(key) + _text('cpu')
    return (
        b'ctorch._utils\n_rebuild_tensor_v2\n(('
        + (storage + _integer(count) + b'tQ')
        + (_integer(offset) + _integers(shape) + _integers(strides))
        + b'\x89ccollections\nOrderedDict\n)RtR'
    )


def torch_pickle(values):
    """The pickle of an OrderedDict of name → opcodes."""
    items = b''.join(_text(name) + value + b's' for name, value in values.items())
    return b'\x80\x02ccollections\nOrderedDict\n)R' + items + b'.'


def torch_file(path, state):
    """Writes a state dict as torch.save does."""
    values, storages = {}, {}
    for key, (name, array) in enumerate(state.items()):
        kind = 'LongStorage' if array.dtype == np.int64 else 'FloatStorage'
        values[name] = torch_tensor(str(key), array.shape, array.size, kind)
        storages[str(key)] = array.tobytes()
    torch_archive(path, torch_pickle(values), storages)


def _text(text):
    return b'X' + struct.pack('<I', len(text.encode())) + text.encode()


def _integer(number):
    return b'J' + struct.pack('<i', number)


def _integers(numbers):
    return b'(' + b''.join(map(_integer, numbers)) + b't'
