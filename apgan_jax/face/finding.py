"""Every face of one picture: however many, small or close, cut by the border, or rolled.

MediaPipe's landmarker sees upright faces between a tenth and three quarters of a picture's width.
So YuNet says where faces are, in the whole picture and in tiles of it, and whoever the landmarker
missed is shown to it alone: upright, in a window that may reach beyond the picture.
"""

from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from apgan_jax.face import alignment
from apgan_jax.face.detection import SmallFaceDetector
from apgan_jax.face.landmarks import Closing, Face, FaceLandmarker
from apgan_jax.face.locations import Location

# MediaPipe finds a face in a window of this many times its size, were it 16 px wide.
_WINDOW = 2.5
_LEAST_SIDE = 24.0
# Larger windows are reduced: MediaPipe's own input has 256 pixels for a face.
_MOST_PIXELS = 640
# Of a face's size, how far from where it was said to be it may lie.
_NEAR = 0.75
# Faces that the landmarker looks for at once; there is no limit to those that are found one by one.
_AT_ONCE = 8
# Degrees from which on a face is turned upright before it is read.
_ROLLED = 30.0


class FoundFaces(NamedTuple):
    """What a picture shows.

    Attributes:
      faces: with landmarks, from the left.
      unread: where those are whose landmarks nobody can tell.
    """

    faces: list[Face]
    unread: list[Location]


class FaceReader(Closing):
    """Reads the landmarks of a face whose place is known; a context manager.

    Args:
      expressions: as of `FaceLandmarker`.

    Raises:
      UserError: as `FaceLandmarker`.
    """

    def __init__(self, *, expressions: bool = False) -> None:
        # Two, for a window may show a part of a neighbour.
        self._landmarker = FaceLandmarker(max_faces=2, expressions=expressions)

    def close(self) -> None:
        """Frees MediaPipe's graph."""
        self._landmarker.close()

    def read(self, picture: np.ndarray, location: Location) -> Face | None:
        """The face about a place; None where there is none.

        Args:
          picture: RGB uint8 (h, w, 3).
          location: of the face; roughly will do.
        """
        side = max(_WINDOW * location.size, _LEAST_SIDE)
        pixels = min(round(side), _MOST_PIXELS)
        roll = location.roll if abs(location.roll) > _ROLLED else 0.0
        window_from_picture = alignment.upright_window(location.centre, side, roll, pixels)
        window = alignment.warp_to_crop(picture, window_from_picture, pixels)
        picture_from_window = alignment.invert(window_from_picture)
        faces = [
            _moved(face, picture_from_window, roll) for face in self._landmarker.detect(window)
        ]

        def distance(face: Face) -> float:
            return abs(face.location.centre - location.centre)

        found = min(faces, key=distance, default=None)
        return None if found is None or distance(found) > _NEAR * location.size else found


class FaceFinder(Closing):
    """Finds all faces of pictures that have nothing to do with each other; a context manager.

    Args:
      expressions: as of `FaceLandmarker`.

    Raises:
      UserError: a model file is missing, or a system library that MediaPipe needs.
    """

    def __init__(self, *, expressions: bool = False) -> None:
        self._resources = ExitStack()
        self._whole = self._resources.enter_context(
            FaceLandmarker(max_faces=_AT_ONCE, expressions=expressions)
        )
        self._reader = self._resources.enter_context(FaceReader(expressions=expressions))
        self._detector = SmallFaceDetector()

    def close(self) -> None:
        """Frees MediaPipe's graphs."""
        self._resources.close()

    def detect(self, picture: np.ndarray) -> list[Face]:
        """The faces of an RGB uint8 picture (h, w, 3) that have landmarks, from the left."""
        return self.find(picture).faces

    def find(self, picture: np.ndarray) -> FoundFaces:
        """All faces of an RGB uint8 picture (h, w, 3)."""
        faces = [self._turned_right(picture, face) for face in self._whole.detect(picture)]
        unread = []
        for place, _ in self._detector.search(picture):
            if place.is_among(face.location for face in faces):
                continue
            roll = self._detector.roll_at(picture, place)
            read = self._reader.read(picture, place._replace(roll=roll or 0.0))
            # Beside a face that nobody can read, its neighbour is read again.
            if read is None or read.location.is_among(face.location for face in faces):
                unread.append(place)
            else:
                faces.append(read)
        faces.sort(key=lambda face: face.location.centre.real)
        return FoundFaces(faces, unread)

    def _turned_right(self, picture: np.ndarray, face: Face) -> Face:
        """The face, read again if it is turned, which the landmarker sees late or not at all."""
        roll = self._detector.roll_at(picture, face.location)
        if roll is None or max(abs(roll), abs(face.location.roll)) < _ROLLED:
            return face
        return self._reader.read(picture, face.location._replace(roll=roll)) or face


def _moved(face: Face, picture_from_window: np.ndarray, roll: float) -> Face:
    """A window's face, in the picture."""
    angle = np.radians(roll)
    # About the camera's axis, which points at it; its y points up.
    turn = np.eye(4, dtype=np.float32)
    turn[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    return Face(
        alignment.transform_points(picture_from_window, face.landmarks),
        turn @ face.pose_matrix,
        face.blendshapes,
    )
