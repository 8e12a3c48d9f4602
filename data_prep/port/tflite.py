"""Reads MobileFaceNet from its original TensorFlow Lite file (sirius-ai/MobileFaceNet_TF)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from apgan_jax.errors import UserError
from apgan_jax.models.identity.mobilefacenet import BLOCKS
from apgan_jax.models.images import ARCFACE_SIZE


def layer_names() -> list[str]:
    """The layers of `MobileFaceNet` in the order in which the network runs them."""
    return [
        'stem',
        'stage56_depthwise',
        'stage56_project',
        *(f'{b.name}/{part}' for b in BLOCKS for part in ('expand', 'depthwise', 'project')),
        'stage7_expand',
        'global_depthwise',
        'dense',
        'embedding',
    ]


def open_interpreter(source: Path, keep_all: bool = False) -> Interpreter:
    """Opens a .tflite file for faces; `keep_all` keeps every intermediate tensor readable.

    Raises:
      UserError: the file is missing, unreadable or takes another input than 112×112 RGB.
    """
    if not source.is_file():
        raise UserError(f'{source} does not exist: pass the .tflite file of MobileFaceNet.')
    try:
        interpreter = Interpreter(
            str(source),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=keep_all,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f'{source} is not a TensorFlow Lite file ({reason}): get it anew.'
        ) from error
    shape = tuple(interpreter.get_input_details()[0]['shape'][1:].tolist())
    if shape != (ARCFACE_SIZE, ARCFACE_SIZE, 3):
        raise UserError(
            f'{source} takes inputs of shape {shape}, not (112, 112, 3): '
            'pass the float32 MobileFaceNet of sirius-ai.'
        )
    return interpreter


def read_tensors(interpreter: Interpreter) -> dict[str, np.ndarray]:
    """The weights of an opened MobileFaceNet by their flat Flax names, float32.

    Raises:
      UserError: the weights are not stored as MobileFaceNet's, or are of another number of layers.
    """
    try:
        layers = list(_layers(interpreter))
    except (ValueError, IndexError) as error:
        raise UserError(
            f'The file has a convolution without constant float32 weights ({error}): '
            'pass the float32 MobileFaceNet of sirius-ai.'
        ) from error
    names = layer_names()
    if len(layers) != len(names):
        raise UserError(
            f'The file has {len(layers)} convolutions, MobileFaceNet {len(names)}: '
            'pass the float32 MobileFaceNet of sirius-ai.'
        )
    return {
        f'{name}/{part}': np.ascontiguousarray(array, np.float32)
        for name, layer in zip(names, layers, strict=True)
        for part, array in layer.items()
    }


def reference_embeddings(interpreter: Interpreter, images: np.ndarray) -> np.ndarray:
    """LiteRT's embeddings (n, 192), not normalised, of images (n, 112, 112, 3) in [-1, 1]."""
    given, returned = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    batch = given['shape'][0]
    rows = []
    for image in images * np.float32(127.5 / 128):
        interpreter.set_tensor(given['index'], np.repeat(image[None], batch, axis=0))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(returned['index'])[0].copy())
    return np.stack(rows)


def _layers(interpreter: Interpreter) -> Iterator[dict[str, np.ndarray]]:
    """Yields kernel, bias and, where a PReLU follows, slope of each convolution, as Flax has them.

    The converter wrote PReLU as relu(x) + m (x - |x|): x - |x| is 2 min(x, 0), so the slope is 2m.
    """
    layer: dict[str, np.ndarray] = {}
    for operation in interpreter._get_ops_details():
        inputs = operation['inputs']
        if operation['op_name'] in ('CONV_2D', 'DEPTHWISE_CONV_2D'):
            if layer:
                yield layer
            depthwise = operation['op_name'] == 'DEPTHWISE_CONV_2D'
            kernel = interpreter.get_tensor(inputs[1])
            layer = {'kernel': _flax_kernel(kernel, depthwise)}
            layer['bias'] = interpreter.get_tensor(inputs[2])
        elif operation['op_name'] == 'MUL' and layer:
            layer['slope'] = 2 * interpreter.get_tensor(inputs[0])
    if layer:
        yield layer


def _flax_kernel(kernel: np.ndarray, depthwise: bool) -> np.ndarray:
    """TensorFlow Lite's (out, h, w, in) or (1, h, w, channels) to (h, w, in, out) or (in, out)."""
    if depthwise:
        return kernel.transpose(1, 2, 0, 3)
    kernel = kernel.transpose(1, 2, 3, 0)
    return kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel
