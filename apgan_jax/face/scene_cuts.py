"""Where a video's pictures have nothing to do with those before."""

import cv2
import numpy as np

# Mean absolute difference of thumbnails, of 255, from which on a frame opens a new scene.
_SCENE_CUT = 22.0
_SIZE = (80, 45)


def scene_thumbnail(rgb: np.ndarray) -> np.ndarray:
    """A frame, RGB uint8 (h, w, 3), as small as scenes are compared: grey uint8 (45, 80)."""
    # A quarter of the rows will do, and takes a seventh of the time.
    small = cv2.resize(rgb[:: max(1, rgb.shape[0] // 180)], _SIZE, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


def opens_scene(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether a frame opens a new scene, by its thumbnail and the one before, empty if none was."""
    return not before.size or float(cv2.absdiff(before, now).mean()) > _SCENE_CUT


def is_another(
    before: np.ndarray,
    now: np.ndarray,
    box: tuple[float, float, float, float],
    shape: tuple[int, ...],
) -> bool:
    """Whether a part of a picture is another one than in the frame before.

    Args:
      before: the thumbnail of the frame before.
      now: of this one.
      box: (left, top, right, bottom) of the part, pixels of the frame.
      shape: of the frame, height and width first.
    """
    columns, rows = _SIZE[0] / shape[1], _SIZE[1] / shape[0]
    left, top = max(0, int(box[0] * columns)), max(0, int(box[1] * rows))
    # A pixel more: the part may be smaller than one.
    part = np.s_[top : int(box[3] * rows) + 1, left : int(box[2] * columns) + 1]
    if not before[part].size:
        return False
    return float(cv2.absdiff(before[part], now[part]).mean()) > _SCENE_CUT
