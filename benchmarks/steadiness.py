"""How steady followed faces are, how far they lag behind, and what following them costs.

`python -m benchmarks.steadiness` makes 1280×720 clips of scikit-image's portrait and prints, as its
last line, a JSON object:

  shake_ratio_one_face, shake_ratio_two_faces: a still with camera noise (standard deviation 2).
    Standard deviation over time of the crop's corners in the frame, divided by that of the crops
    from landmarks that are found in every frame alone. Of two faces the worse.
  lag_frames: behind a virtual camera that swings to and fro; the delay that explains most of the
    motion.
  cpu_ms_one_face, cpu_ms_two_faces, cpu_ms_no_face: CPU time of all threads, a frame.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence

import cv2
import numpy as np
import skimage.data

from apgan_jax.face import alignment
from apgan_jax.face.landmarks import Face, FaceLandmarker, five_points
from apgan_jax.face.tracking import FaceTracker, TrackedFace

_RATE = 25.0
_HEIGHT, _WIDTH = 720, 1280
_FACE_CENTRE, _FACE_WIDTH = (224.0, 122.0), 90.0
# Frames at either end of a clip that are not timed.
_START = 10
_SPEC = alignment.CropSpec(size=128)


@dataclasses.dataclass(frozen=True)
class _Frame:
    rgb: np.ndarray
    time: float


def _scene(*places: tuple[float, float, float]) -> np.ndarray:
    """Portraits on grey: x and y of the face and its width, pixels."""
    canvas = np.full((_HEIGHT, _WIDTH, 3), 90, np.uint8)
    for x, y, width in places:
        head = np.ascontiguousarray(skimage.data.astronaut()[:232, 115:335])
        affine = cv2.getRotationMatrix2D(
            np.subtract(_FACE_CENTRE, (115, 0)), 0, width / _FACE_WIDTH
        )
        affine[:, 2] += (x, y) - np.subtract(_FACE_CENTRE, (115, 0))
        cv2.warpAffine(
            head, affine, (_WIDTH, _HEIGHT), canvas, cv2.INTER_CUBIC, cv2.BORDER_TRANSPARENT
        )
    return canvas


def _noisy(pictures: Sequence[np.ndarray]) -> list[_Frame]:
    grain = np.zeros((_HEIGHT, _WIDTH, 3), np.int16)
    frames = []
    for number, picture in enumerate(pictures):
        cv2.setRNGSeed(number + 1)
        cv2.randn(grain, 0, 2)
        rgb = np.clip(picture + grain, 0, 255).astype(np.uint8)
        frames.append(_Frame(rgb, number / _RATE))
    return frames


def _follow(frames: Sequence[_Frame]) -> tuple[list[list[TrackedFace]], float]:
    """The faces, and CPU milliseconds a frame once everything has started."""
    faces, times = [], []
    with FaceTracker() as tracker:
        for _, found in tracker.track(frames):
            faces.append(found)
            times.append(time.process_time())
    # The last ones come without further work.
    steady = times[_START:-_START]
    return faces, 1e3 * (steady[-1] - steady[0]) / (len(steady) - 1)


def _left_edge(face: Face | TrackedFace) -> float:
    return float(face.landmarks[:, 0].min())


def _shake(faces: Sequence[Face | TrackedFace]) -> float:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * _SPEC.size - 0.5
    corners = [
        alignment.transform_points(
            alignment.invert(
                alignment.estimate_crop_from_frame(five_points(face.landmarks), _SPEC)
            ),
            square,
        )
        for face in faces
    ]
    return float(np.std(corners, axis=0).mean())


def _shake_ratio(
    frames: Sequence[_Frame], tracked: Sequence[Sequence[TrackedFace]], count: int
) -> float:
    """The worst face's."""
    with FaceLandmarker(max_faces=count, expressions=False) as landmarker:
        alone = [landmarker.detect(frame.rgb) for frame in frames]
    ratios = []
    for rank in range(count):
        steady = [sorted(faces, key=_left_edge)[rank] for faces in tracked]
        ratios.append(
            _shake(steady) / _shake([sorted(faces, key=_left_edge)[rank] for faces in alone])
        )
    return max(ratios)


def _lag(frames: int) -> float:
    """Delay, frames, by least squares on the speed of a face that swings 60 px to and fro."""
    steps = np.arange(frames)
    x = 640 + 60 * np.sin(2 * np.pi * steps / 40)
    tracked, _ = _follow(_noisy([_scene((position, 330, 180)) for position in x]))
    seen = np.array([five_points(faces[0].landmarks)[:, 0].mean() for faces in tracked])
    speed = np.gradient(x)
    behind = (x - seen) - np.mean(x - seen)
    return float(behind @ speed / (speed @ speed))


def measure(frames: int) -> dict[str, float]:
    """Everything, on clips of so many frames."""
    one = _noisy([_scene((500, 330, 200))] * frames)
    faces_one, cpu_one = _follow(one)
    ratio_one = _shake_ratio(one, faces_one, 1)
    two = _noisy([_scene((330, 330, 190), (900, 350, 160))] * frames)
    faces_two, cpu_two = _follow(two)
    ratio_two = _shake_ratio(two, faces_two, 2)
    _, cpu_none = _follow(_noisy([_scene()] * frames))
    return {
        'shake_ratio_one_face': ratio_one,
        'shake_ratio_two_faces': ratio_two,
        'lag_frames': _lag(frames),
        'cpu_ms_one_face': cpu_one,
        'cpu_ms_two_faces': cpu_two,
        'cpu_ms_no_face': cpu_none,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.steadiness')
    parser.add_argument('--frames', type=int, default=100, help='of each clip')
    figures = measure(parser.parse_args().frames)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}), flush=True)


if __name__ == '__main__':
    main()
