"""Small pictures and flows, and warping one pixel after the other."""

import numpy as np


def constant_flow(height: int, width: int, x: float, y: float) -> np.ndarray:
    return np.broadcast_to(np.float32([x, y]), (height, width, 2)).copy()


def image(height: int = 12, width: int = 15, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


def bilinear(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Bilinear interpolation at p + flow(p), the border repeated, one pixel after the other."""
    height, width = picture.shape[:2]
    result = np.zeros_like(picture)
    for row, column in np.ndindex(height, width):
        x = np.clip(column + flow[row, column, 0], 0, width - 1)
        y = np.clip(row + flow[row, column, 1], 0, height - 1)
        left, top = int(x), int(y)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        upper = (x - left) * picture[top, right] + (left + 1 - x) * picture[top, left]
        lower = (x - left) * picture[bottom, right] + (left + 1 - x) * picture[bottom, left]
        result[row, column] = (y - top) * lower + (top + 1 - y) * upper
    return result
