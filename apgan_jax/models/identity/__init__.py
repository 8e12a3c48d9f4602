"""Identity encoders: frozen networks that turn aligned faces into an `IdentityEmbedding`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load

from apgan_jax.errors import UserError
from apgan_jax.models.identity import mobilefacenet
from apgan_jax.models.identity.embedding import IdentityEmbedding, mean_embedding

__all__ = [
    'IdentityEmbedding',
    'IdentityEncoder',
    'identity_encoder_from_tensors',
    'load_identity_encoder',
    'mean_embedding',
    'params_from_flat',
]

_MODULES: dict[str, type[nn.Module]] = {'mobilefacenet': mobilefacenet.MobileFaceNet}
_SHIPPED = {
    'mobilefacenet': (
        Path(__file__).parent / 'mobilefacenet_arcface.safetensors',
        'af672b950e7ecc7c5d36917c5c2464dc4376fe35189c17ba69c468ab95d4b34f',
    )
}


@dataclass(frozen=True)
class IdentityEncoder:
    """A network with its weights; `sha256` is that of the weight file, in hexadecimal."""

    kind: str
    sha256: str
    module: nn.Module
    params: dict[str, Any]

    def embed(self, params: Mapping[str, Any], images: jax.Array) -> IdentityEmbedding:
        """Embeds images (n, 112, 112, 3) float32 RGB in [-1, 1], aligned to ArcFace's template.

        Pure: hand `encoder.params` to the compiled function as an argument, or XLA compiles the
        weights in as constants.
        """
        embedding: Any = self.module.apply({'params': params}, images)
        return embedding


def load_identity_encoder(kind: str = 'mobilefacenet', path: Path | None = None) -> IdentityEncoder:
    """Loads an identity encoder from a file that a script of `data_prep` wrote.

    Args:
      kind: the architecture.
      path: a `.safetensors` file; None takes the one shipped with the package.

    Raises:
      UserError: the kind is unknown, or the file is missing, unreadable, altered (the shipped one)
        or holds other tensors than the architecture needs.
    """
    _check_kind(kind)
    shipped_path, shipped_sha256 = _SHIPPED[kind]
    file = shipped_path if path is None else Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(
            f'Cannot read the identity encoder {file} ({error.strerror}): '
            'write it with data_prep.port_arcface, or reinstall the package for the shipped one.'
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    if path is None and sha256 != shipped_sha256:
        raise UserError(f'{file} has sha256 {sha256}, not {shipped_sha256}: reinstall the package.')
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise UserError(f'{file} is not a safetensors file ({error}): port it again.') from error
    return identity_encoder_from_tensors(kind, sha256, tensors, str(file))


def identity_encoder_from_tensors(
    kind: str, sha256: str, tensors: Mapping[str, np.ndarray], origin: str
) -> IdentityEncoder:
    """Builds an identity encoder from weights at hand, a bundle's for example.

    Args:
      kind: the architecture.
      sha256: of the weight file the tensors come from.
      tensors: as `params_from_flat` takes them.
      origin: what the tensors come from, for the message.

    Raises:
      UserError: the kind is unknown or the tensors do not fit it.
    """
    _check_kind(kind)
    module = _MODULES[kind]()
    return IdentityEncoder(kind, sha256, module, params_from_flat(module, tensors, origin))


def _check_kind(kind: str) -> None:
    if kind not in _MODULES:
        raise UserError(
            f'Unknown identity encoder {kind!r}: the kinds are {", ".join(sorted(_MODULES))}.'
        )


def params_from_flat(
    module: nn.Module, tensors: Mapping[str, np.ndarray], origin: str
) -> dict[str, Any]:
    """Builds the parameters of an encoder from a flat dict with '/' between the levels of the tree.

    Args:
      module: takes images (n, 112, 112, 3).
      tensors: name → array.
      origin: what the tensors come from, for the message.

    Raises:
      UserError: lists the missing, surplus and wrongly shaped tensors.
    """
    size = mobilefacenet.IMAGE_SIZE
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    abstract = jax.eval_shape(module.init, jax.random.key(0), images)['params']
    expected = {name: leaf.shape for name, leaf in flatten_dict(abstract, sep='/').items()}
    problems = [f'missing {name}' for name in sorted(expected.keys() - tensors.keys())]
    problems += [f'surplus {name}' for name in sorted(tensors.keys() - expected.keys())]
    problems += [
        f'{name} is {tensors[name].shape}, not {shape}'
        for name, shape in sorted(expected.items())
        if name in tensors and tensors[name].shape != shape
    ]
    if problems:
        raise UserError(
            f'{origin} does not fit {type(module).__name__}: {"; ".join(problems)}. Port it again.'
        )
    return unflatten_dict(
        {name: jnp.asarray(array, jnp.float32) for name, array in tensors.items()}, sep='/'
    )
