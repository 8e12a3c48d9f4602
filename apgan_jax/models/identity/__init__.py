"""Identity encoders: frozen networks that turn aligned faces into an `IdentityEmbedding`."""

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load

from apgan_jax.assets import asset
from apgan_jax.errors import UserError, first_line
from apgan_jax.files.documents import text
from apgan_jax.files.tensors import Shape, finite_float32, require_shapes, shapes_of
from apgan_jax.models.identity.embedding import MAPS, IdentityEmbedding, mean_embedding
from apgan_jax.models.identity.iresnet import DEPTHS, IResNet
from apgan_jax.models.identity.mobilefacenet import MobileFaceNet
from apgan_jax.models.identity.sface import SFace
from apgan_jax.models.images import ARCFACE_SIZE

__all__ = [
    'ENCODER_RULES',
    'KINDS',
    'IdentityEmbedding',
    'IdentityEncoder',
    'embedding_shapes',
    'identity_encoder_from_tensors',
    'identity_module',
    'load_identity_encoder',
    'mean_embedding',
    'params_from_flat',
]

_MODULES: dict[str, Callable[[], nn.Module]] = {
    'mobilefacenet': MobileFaceNet,
    'sface': SFace,
    **{kind: functools.partial(IResNet, depths) for kind, depths in DEPTHS.items()},
}
KINDS = tuple(_MODULES)
# How files name an encoder.
ENCODER_RULES = {'kind': text(), 'sha256': text()}
_SHIPPED = {
    'mobilefacenet': (
        asset('mobilefacenet_arcface.safetensors'),
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

    def face_maps(self, params: Mapping[str, Any], images: jax.Array) -> dict[str, jax.Array]:
        """The stages that `embed` pools, by their keys there, (n, size, size, channels) each."""
        _, collections = self.module.apply({'params': params}, images, mutable=[MAPS])
        maps: dict[str, jax.Array] = collections[MAPS]
        return maps


def load_identity_encoder(
    kind: str = 'mobilefacenet', path: Path | str | None = None
) -> IdentityEncoder:
    """Loads an identity encoder from a file that `data_prep.port_arcface` wrote.

    Args:
      kind: the architecture, one of `KINDS`.
      path: a `.safetensors` file; None takes the one shipped with the package (mobilefacenet only).

    Raises:
      UserError: the kind is unknown or not shipped, or the file is missing, unreadable, altered
        (the shipped one) or holds other tensors than the architecture needs.
    """
    module = identity_module(kind)
    if path is None and kind not in _SHIPPED:
        raise UserError(
            f'The identity encoder {kind!r} is not shipped: port its original with '
            f'`python -m data_prep.port_arcface FILE --kind {kind} --output NAME.safetensors` '
            'and name that file (config.identity_encoder_path).'
        )
    file, shipped_sha256 = (Path(path), '') if path is not None else _SHIPPED[kind]
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
    # The last three: of kinds of numbers that NumPy has not, and of shapes that they do not fill.
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{file} is not a safetensors file ({first_line(error)}): port it again.'
        ) from error
    return IdentityEncoder(kind, sha256, module, params_from_flat(module, tensors, str(file)))


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
    module = identity_module(kind)
    return IdentityEncoder(kind, sha256, module, params_from_flat(module, tensors, origin))


def identity_module(kind: str) -> nn.Module:
    """The network of an architecture, without weights.

    Raises:
      UserError: the kind is none of `KINDS`.
    """
    if kind not in _MODULES:
        raise UserError(f'Unknown identity encoder {kind!r}: the kinds are {", ".join(KINDS)}.')
    return _MODULES[kind]()


@functools.lru_cache(maxsize=8)
def _wanted_shapes(module: nn.Module) -> dict[str, Shape]:
    images = jax.ShapeDtypeStruct((1, ARCFACE_SIZE, ARCFACE_SIZE, 3), jnp.float32)
    return shapes_of(jax.eval_shape(module.init, jax.random.key(0), images)['params'])


@functools.cache
def embedding_shapes(kind: str) -> IdentityEmbedding:
    """Shapes, as `jax.ShapeDtypeStruct`, of what an architecture makes of one face.

    Raises:
      UserError: the kind is none of `KINDS`.
    """
    image = jax.ShapeDtypeStruct((1, ARCFACE_SIZE, ARCFACE_SIZE, 3), jnp.float32)
    module = identity_module(kind)
    shapes: Any = jax.eval_shape(module.init_with_output, jax.random.key(0), image)[0]
    return shapes


def params_from_flat(
    module: nn.Module, tensors: Mapping[str, np.ndarray], origin: str
) -> dict[str, Any]:
    """Builds the parameters of an encoder from a flat dict with '/' between the levels of the tree.

    Args:
      module: takes images (n, 112, 112, 3).
      tensors: name → array.
      origin: what the tensors come from, for the message.

    Raises:
      UserError: lists missing, surplus and wrongly shaped tensors, or names one that is not finite.
    """
    require_shapes(
        tensors,
        _wanted_shapes(module),
        where=origin,
        what=f'the identity encoder {type(module).__name__}',
        remedy='port it again',
    )
    sound = finite_float32(tensors, where=origin, remedy='port it again')
    return unflatten_dict({name: jnp.asarray(array) for name, array in sound.items()}, sep='/')
