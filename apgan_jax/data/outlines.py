"""Outlines that occluders are made of, in a face's coordinates: points (n, 2), y down."""

import numpy as np


def point(x: float, y: float) -> np.ndarray:
    """One point, (2,)."""
    return np.array([x, y])


def rotated(corners: np.ndarray, angle: float) -> np.ndarray:
    """Corners (n, 2) turned clockwise about the origin, radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return corners @ np.array([[cosine, sine], [-sine, cosine]])


def curve(start: np.ndarray, bend: np.ndarray, end: np.ndarray, count: int = 8) -> np.ndarray:
    """A path (count, 2) that leaves `start` towards `bend` and arrives at `end` from it.

    Points (2,) give one path; (n, 2) each give n paths, (n, count, 2).
    """
    along = np.linspace(0, 1, count)[:, None]
    start, bend, end = (np.asarray(point)[..., None, :] for point in (start, bend, end))
    return (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end


def tapered(path: np.ndarray, width: np.ndarray | float, tip: float) -> np.ndarray:
    """The outline of a lock or a finger along a path.

    Args:
      path: (n, 2), or several (m, n, 2).
      width: at its beginning; (m, 1) for several.
      tip: its width at the end, part of `width`.

    Returns:
      (2 n, 2), or (m, 2 n, 2).
    """
    along = np.concatenate([path[..., 1:, :], path[..., -1:, :]], axis=-2)
    along[..., 1:, :] -= path[..., :-1, :]
    along[..., 0, :] -= path[..., 0, :]
    across = along[..., ::-1] * (-1, 1)
    across /= np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9)[..., None]
    half = width / 2 * np.linspace(1, tip, path.shape[-2])
    sides = [path + half[..., None] * across, path - half[..., None] * across]
    return np.concatenate([sides[0], sides[1][..., ::-1, :]], axis=-2)


def rounded_box(half_width: float, half_height: float, power: float) -> np.ndarray:
    """An outline (28, 2) about the origin, from the right clockwise.

    Args:
      half_width: its extent along x.
      half_height: along y.
      power: 2 makes an ellipse, 1 a rhomb, more a rectangle with ever sharper corners.
    """
    angles = np.arange(28) * 2 * np.pi / 28
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.sign(circle) * np.abs(circle) ** (2 / power) * (half_width, half_height)
