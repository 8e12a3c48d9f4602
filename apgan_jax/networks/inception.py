"""FID's Inception-v3 (paper tables VI and VII), as an ONNX file that the user brings."""

import os
from pathlib import Path

import cv2
import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.alignment import Window
from apgan_jax.networks.network import DATA_VARIABLE, NetworkInfo, OnnxNetwork

FILE_NAME = 'inception_v3_fid.onnx'
_SIZE = 299
_DIMENSION = 2048


class Inception:
    """The pooled features of Inception-v3.

    Only FID's own weights (TensorFlow's graph of 2015-12-05, ported to PyTorch as
    `pt_inception-2015-12-05`) give numbers that can be compared with published ones. Pictures are
    enlarged bilinearly with half-pixel centres; pictures above 299 px are not low-passed, as in
    the reference code.

    Args:
      path: an ONNX file: planes (1, 3, 299, 299), RGB, to 2048 numbers; `find_inception` finds it.
      value_range: what black and white are in its input. FID's graph takes [-1, 1] behind its own
        scaling; pytorch-fid's module scales by itself and takes [0, 1].

    Attributes:
      info: of the file.

    Raises:
      UserError: the file or onnxruntime is missing.
    """

    def __init__(self, path: Path, value_range: tuple[float, float] = (0.0, 1.0)) -> None:
        self._network = OnnxNetwork(path)
        self._black, self._white = value_range
        self.info = NetworkInfo.of_file('Inception-v3 (FID)', path)

    def features(self, crops: np.ndarray, arcface_window: Window) -> np.ndarray:
        """What a Fréchet distance compares.

        Args:
          crops: RGB uint8 (n, h, w, 3).
          arcface_window: not used, it sees whole crops.

        Returns:
          float32 (n, 2048).

        Raises:
          UserError: the network gives something else than 2048 numbers.
        """
        del arcface_window
        # One at a time: an exported network may have been traced for one, and takes no longer.
        rows = [np.ravel(self._network(self._planes(crop))) for crop in crops]
        for row in rows:
            if len(row) != _DIMENSION:
                raise UserError(
                    f'{self.info.file_name}: gives {len(row)} numbers, not the {_DIMENSION} of '
                    'the last pooling; export the network without its last layer'
                )
        return np.array(rows, np.float32).reshape(len(crops), _DIMENSION)

    def _planes(self, crop: np.ndarray) -> np.ndarray:
        """float32 (1, 3, 299, 299)."""
        # Floating point first: a resized picture in whole numbers moves the distance.
        image = cv2.resize(crop.astype(np.float32), (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR)
        scaled = self._black + image / 255.0 * (self._white - self._black)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


def find_inception(path: Path | None = None) -> Path:
    """The ONNX file: `path`, else `weights/inception_v3_fid.onnx` in the folder APGAN_DATA.

    Raises:
      UserError: there is none.
    """
    folder = Path(os.environ.get(DATA_VARIABLE) or os.devnull) / 'weights'
    found = Path(path) if path is not None else folder / FILE_NAME
    if not found.is_file():
        raise UserError(
            f'{path or f"${DATA_VARIABLE}/weights/{FILE_NAME}"}: no such file; FID needs its own '
            'Inception-v3 there (pt_inception-2015-12-05 as ONNX, up to the last pooling)'
        )
    return found
