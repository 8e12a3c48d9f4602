"""Networks of others that metrics need: where they are, and how they run (onnxruntime)."""

import dataclasses
import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from apgan_jax.errors import UserError, first_line
from apgan_jax.face.landmarks import find_model_file
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

    @property
    def key(self) -> str:
        """The name as part of a key in JSON: 'ArcFace ResNet-50' becomes 'arcface_resnet_50'."""
        return re.sub('[^a-z0-9]+', '_', self.name.lower()).strip('_')

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


def find_in_package(package: str, file_name: str, *, install: str = '') -> Path:
    """A file that a pip package carries.

    Args:
      package: as Python imports it.
      file_name: anywhere in it.
      install: the command that brings it; empty for what comes with apgan-jax.

    Raises:
      UserError: the package is not installed or lacks the file.
    """
    for path in files_in_package(package, file_name):
        return path
    remedy = f'run `{install}`' if install else f'install apgan-jax again, which brings {package}'
    raise UserError(f'{file_name}: not found; {remedy}')


def mediapipe_info() -> NetworkInfo:
    """MediaPipe's FaceLandmarker, whose pose matrix and blendshapes are measured.

    Raises:
      UserError: its model file is missing.
    """
    return NetworkInfo.of_file('MediaPipe FaceLandmarker', find_model_file())


class OnnxNetwork:
    """An ONNX file with one input, run by onnxruntime on the CPU.

    Args:
      path: the file.
      name: what tables call it; the file's name without suffix if empty.
      outputs: which of its outputs are wanted, by name or by place.

    Attributes:
      path: the file.
      info: the file's description.
      input_shape: of the input, an axis that is free being a text or None.

    Raises:
      UserError: the file or onnxruntime is missing, it is no network, or has no such output.
    """

    def __init__(self, path: Path, *, name: str = '', outputs: Sequence[int | str] = (0,)) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                'onnxruntime is not installed; run `pip install onnxruntime`'
            ) from error
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f'{path}: no such network; put it there or leave the metric out')
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=['CPUExecutionProvider']
            )
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise UserError(
                f'{path}: onnxruntime cannot load it ({first_line(error)}); export it again'
            ) from error
        self.info = NetworkInfo.of_file(name or self.path.stem, self.path)
        self._input = self._session.get_inputs()[0].name
        self.input_shape = tuple(self._session.get_inputs()[0].shape)
        self._outputs = [self._output_name(output) for output in outputs]

    def __call__(self, batch: np.ndarray) -> Any:
        """The first wanted output for one input, as it is."""
        return self.run(batch)[0]

    def run(self, batch: np.ndarray) -> list[Any]:
        """All wanted outputs for one input, as they are.

        Raises:
          UserError: the input's type or shape is not what the network takes.
        """
        try:
            return list(self._session.run(self._outputs, {self._input: batch}))
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise UserError(
                f'{self.path}: refuses {batch.dtype} {batch.shape} ({first_line(error)}); declare '
                'the input as the network takes it'
            ) from error

    def _output_name(self, output: int | str) -> str:
        names = [each.name for each in self._session.get_outputs()]
        if isinstance(output, str) and output in names:
            return output
        if isinstance(output, int) and 0 <= output < len(names):
            return names[output]
        raise UserError(
            f'{self.path}: has no output {output!r}; name one of {", ".join(names)} or a place '
            f'from 0 to {len(names) - 1}'
        )


class Remembered:
    """A function of a face that remembers what it said of the last few.

    Several metrics ask the same network about the same face, one after the other: it runs once.
    Faces are told apart as objects; two with equal pixels are two faces.

    Args:
      function: of a face.
      kept: how many faces are remembered; a pair has two, and frames may overlap.
    """

    def __init__(self, function: Callable[[Any], Any], *, kept: int = 8) -> None:
        self._function = function
        self._known: deque[tuple[Any, Any]] = deque(maxlen=kept)

    def __call__(self, face: Any) -> Any:
        """What the function says of a face."""
        for known, value in tuple(self._known):
            if known is face:
                return value
        value = self._function(face)
        self._known.append((face, value))
        return value
