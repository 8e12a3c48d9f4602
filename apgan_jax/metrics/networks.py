"""Networks of others that metrics need: where they are, and how they run (onnxruntime)."""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any, Self

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.model_files import files_in_package

DATA_VARIABLE = 'APGAN_DATA'


@dataclasses.dataclass(frozen=True)
class NetworkInfo:
    """Which network a number comes from.

    Attributes:
      name: 'SFace'.
      file_name: without folders.
      sha256: of the file, hexadecimal.
    """

    name: str
    file_name: str
    sha256: str

    @classmethod
    def of_file(cls, name: str, path: Path) -> Self:
        """Describes a file that holds a network."""
        with open(path, 'rb') as file:
            return cls(name, Path(path).name, hashlib.file_digest(file, 'sha256').hexdigest())


def data_folder() -> Path:
    """The folder of evaluation data and weights that may not be shipped.

    Raises:
      UserError: APGAN_DATA is unset or no folder.
    """
    value = os.environ.get(DATA_VARIABLE, '')
    if not value or not Path(value).is_dir():
        raise UserError(
            f'{DATA_VARIABLE}={value!r}: must name the folder that holds faces/ and weights/'
        )
    return Path(value)


def find_in_package(package: str, file_name: str) -> Path:
    """A file that a pip package carries.

    Raises:
      UserError: the package is not installed or lacks the file.
    """
    for path in files_in_package(package, file_name):
        return path
    raise UserError(f'{file_name}: not found; install apgan-jax again, which brings {package}')


class OnnxNetwork:
    """An ONNX file with one input.

    Args:
      path: the file.

    Raises:
      UserError: the file or onnxruntime is missing.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                'onnxruntime is not installed; run `pip install onnxruntime`'
            ) from error
        if not Path(path).is_file():
            raise UserError(f'{path}: no such network; put it there or leave the metric out')
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider']
        )
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: np.ndarray) -> Any:
        """The first output for one input, as it is."""
        return self._session.run(None, {self._input: batch})[0]
