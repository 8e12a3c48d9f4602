"""A small frozen network that reads landmarks off a face's picture, for `losses.landmark_loss`.

Not in the paper, whose losses do not say where a face's parts should be: its generator is told by
the boundary map, and only the discriminators see whether it listens. The identity encoder likes
faces from the front, and wins. docs/training-notes.md has what was measured.

The network sees the inner face alone. Shown the whole head it tells the pose by hair and outline,
which a generator keeps while it turns eyes, nose and mouth to the front.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from apgan_jax.assets import asset
from apgan_jax.errors import UserError
from apgan_jax.face import landmarks as points
from apgan_jax.face.alignment import HEAD_V1_WINDOW, Window, in_other_crop
from apgan_jax.files import safetensors_file
from apgan_jax.files.tensors import flatten, require_shapes, shapes_of
from apgan_jax.models.convolutions import Conv
from apgan_jax.models.images import resize_window

# Of the head crop, head-v1 (left, top, right, bottom): brows to chin; at 128 px, these pixels as
# they are.
INNER_FACE = (0.25, 0.3125, 0.75, 0.8125)
INPUT_SIZE = 64
SHIPPED = asset('landmark_reader.safetensors')
_WIDTHS = (16, 32, 64, 128, 128)
_HIDDEN = 128
_PARAMS, _MEAN, _COMPONENTS = 'params/', 'mean', 'components'


class LandmarkNetwork(nn.Module):
    """Inner faces → coordinates along the landmarks' principal components.

    Attributes:
      num_components: of them.
    """

    num_components: int

    @nn.compact
    def __call__(self, inner_faces: jax.Array) -> jax.Array:
        """(n, 64, 64, 3) in [-1, 1] → (n, num_components)."""
        x = inner_faces
        for number, width in enumerate(_WIDTHS):
            strides = 1 if number == 0 else 2
            x = nn.leaky_relu(Conv(width, strides=strides, name=f'reduce_{number}')(x), 0.2)
            x = nn.leaky_relu(Conv(width, name=f'conv_{number}')(x), 0.2)
        x = x.reshape(x.shape[0], -1)
        x = nn.leaky_relu(nn.Dense(_HIDDEN, name='hidden')(x), 0.2)
        return nn.Dense(self.num_components, name='coordinates')(x)


def cut_inner_face(crops: jax.Array, arcface_window: Window) -> jax.Array:
    """What the network is shown, whichever crop it is cut from.

    Args:
      crops: float (n, size, size, 3).
      arcface_window: of their CropSpec.

    Returns:
      float32 (n, 64, 64, 3), the same range of values.
    """
    corners = in_other_crop(np.reshape(INNER_FACE, (2, 2)), HEAD_V1_WINDOW, arcface_window)
    (left, top), (right, bottom) = corners.tolist()
    return resize_window(crops, (left, top, right, bottom), INPUT_SIZE)


def feature_weights(eyes_and_lips: float) -> np.ndarray | None:
    """What each landmark counts, float32 (478,): lids, irises and lips so much, others 1.

    None where all count alike.
    """
    if eyes_and_lips == 1:
        return None
    weights = np.ones(points.NUM_LANDMARKS, np.float32)
    eyes = (points.LEFT_EYE, points.RIGHT_EYE, points.LEFT_IRIS, points.RIGHT_IRIS)
    for part in (*eyes, points.OUTER_LIP, points.INNER_LIP):
        weights[list(part)] = eyes_and_lips
    return weights


@dataclass(frozen=True)
class LandmarkReader:
    """The network and what its output stands for.

    NumPy arrays, so that a compiled step has them as constants: at 3 MB they are not worth an
    argument in every caller, as the identity encoder's are.

    Attributes:
      params: of `LandmarkNetwork`.
      mean: landmarks, float32 (points, 2), in parts of the head crop's size.
      components: float32 (components, points, 2); a coordinate of 1 is a standard deviation.
    """

    params: Mapping[str, Any]
    mean: np.ndarray
    components: np.ndarray

    def read(self, crops: jax.Array, arcface_window: Window) -> jax.Array:
        """Landmarks of pictures, differentiable.

        Args:
          crops: float (n, size, size, 3) in [-1, 1].
          arcface_window: of their CropSpec.

        Returns:
          float32 (n, points, 2): x and y in parts of the size of the head crop that shows the face.
        """
        inner_faces = cut_inner_face(crops, arcface_window)
        network = LandmarkNetwork(len(self.components))
        coordinates: Any = network.apply({'params': self.params}, inner_faces)
        in_head = jax.numpy.asarray(self.mean) + jax.numpy.tensordot(
            coordinates, self.components, 1
        )
        return jax.numpy.asarray(in_other_crop(in_head, HEAD_V1_WINDOW, arcface_window))

    def save(self, path: Path, card: Mapping[str, Any]) -> None:
        """Writes a safetensors file.

        Args:
          path: of the file.
          card: what it was trained on, and how well it reads.
        """
        params = flatten(self.params)
        tensors = {f'{_PARAMS}{name}': np.asarray(value) for name, value in params.items()}
        tensors |= {_MEAN: self.mean, _COMPONENTS: self.components}
        safetensors_file.write(path, tensors, dict(card))

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Self:
        """Reads what `save` wrote.

        Raises:
          UserError: missing, unreadable, or with other tensors.
        """
        tensors, _ = safetensors_file.read(path, 'landmark reader')
        remedy = 'write it anew with `python -m data_prep.train_landmark_reader`'
        if not {_MEAN, _COMPONENTS} <= tensors.keys():
            raise UserError(f'{path}: no landmarks in it; {remedy}')
        mean, components = tensors.pop(_MEAN), tensors.pop(_COMPONENTS)
        found = {name.removeprefix(_PARAMS): value for name, value in tensors.items()}
        picture = jax.ShapeDtypeStruct((1, INPUT_SIZE, INPUT_SIZE, 3), np.float32)
        network = LandmarkNetwork(len(components))
        wanted = jax.eval_shape(network.init, jax.random.key(0), picture)['params']
        require_shapes(
            found,
            shapes_of(wanted),
            where=str(path),
            what='the landmark reader of this version',
            remedy=remedy,
        )
        return cls(unflatten_dict(found, sep='/'), mean, components)
