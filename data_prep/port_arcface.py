"""Ports an ArcFace network from its original file to the package's safetensors format.

    python -m data_prep.port_arcface FILE.tflite --output NAME.safetensors

So far: MobileFaceNet as a float32 TensorFlow Lite file (github.com/sirius-ai/MobileFaceNet_TF). The
output is written only if LiteRT and Flax agree on the embeddings.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from safetensors.numpy import save

from apgan_jax.errors import UserError
from apgan_jax.models.identity import params_from_flat
from apgan_jax.models.identity.mobilefacenet import BLOCKS, IMAGE_SIZE, MobileFaceNet

LICENCE = 'Apache-2.0'
MAX_DIFFERENCE = 1e-4  # of any entry of the normalised embedding


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
    if shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
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


def probe_images() -> np.ndarray:
    """Four deterministic images (4, 112, 112, 3) float32 in [-1, 1]: two smooth, two of noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE][..., None] / IMAGE_SIZE
    smooth = [np.sin(x * rng.normal(0, 9, 3) + y * rng.normal(0, 9, 3)) for _ in range(2)]
    noise = [rng.uniform(-1, 1, (IMAGE_SIZE, IMAGE_SIZE, 3)) for _ in range(2)]
    return np.stack(smooth + noise).astype(np.float32)


def port(source: Path, output: Path) -> float:
    """Writes `output` and returns the largest difference between LiteRT's and Flax's embeddings.

    Raises:
      UserError: `source` is missing, unreadable or another network, the embeddings differ by more
        than `MAX_DIFFERENCE`, or `output` cannot be written.
    """
    interpreter = open_interpreter(source)
    tensors = read_tensors(interpreter)
    module = MobileFaceNet()
    params = params_from_flat(module, tensors, str(source))
    difference = parity(interpreter, module, params)
    if not difference <= MAX_DIFFERENCE:
        raise UserError(
            f'{source}: the embeddings differ by {difference:.1e} from LiteRT, more than '
            f'{MAX_DIFFERENCE:.0e}: the file is not the float32 MobileFaceNet of sirius-ai.'
        )
    _write(output, tensors, hashlib.sha256(source.read_bytes()).hexdigest())
    return difference


def parity(interpreter: Interpreter, module: MobileFaceNet, params: dict[str, Any]) -> float:
    """LiteRT's normalised embeddings of `probe_images` against Flax's: the largest difference."""
    images = probe_images()
    theirs = reference_embeddings(interpreter, images)
    theirs /= np.linalg.norm(theirs, axis=-1, keepdims=True)
    ours = jax.jit(module.apply)({'params': params}, images).vector
    return float(np.max(np.abs(ours - theirs)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', type=Path, help='the .tflite file')
    parser.add_argument('--output', type=Path, required=True, help='the .safetensors file to write')
    options = parser.parse_args(arguments)
    try:
        difference = port(options.source, options.output)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    sha256 = hashlib.sha256(options.output.read_bytes()).hexdigest()
    print(f'{options.output}: sha256 {sha256}, largest difference from LiteRT {difference:.1e}')
    return 0


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


def _write(output: Path, tensors: dict[str, np.ndarray], source_sha256: str) -> None:
    """Writes beside `output` and renames, so that the final name never holds half a file."""
    description = {
        'kind': 'mobilefacenet',
        'licence': LICENCE,
        'source': 'github.com/sirius-ai/MobileFaceNet_TF',
        'source_sha256': source_sha256,
    }
    # One entry only: safetensors writes several in random order, and the file's sha256 with them.
    metadata = {'identity_encoder': json.dumps(description, sort_keys=True)}
    partial = output.with_name(f'{output.name}.partial')
    try:
        partial.write_bytes(save(tensors, metadata))
        os.replace(partial, output)
    except OSError as error:
        raise UserError(
            f'Cannot write {output} ({error.strerror}): choose another place.'
        ) from error


if __name__ == '__main__':
    sys.exit(main())
