"""Feature-wise boundary maps (paper III-A): eyes, eyeballs, mouth and nose bridge, one colour each.

A map is RGB uint8 (size, size, 3), background 0. Left and right colours are each other's red-blue
exchange, and those of the mouth and the nose have equal red and blue: mirroring a face is then
`mirror`, exact for anti-aliased edges too.
"""

import cv2
import numpy as np

from apgan_jax.face import drawing
from apgan_jax.face import landmarks as points

# Travels in a CropSpec, so that maps of another style are not mistaken for these.
STYLE = 'lines-v1'

LEFT_EYE_COLOUR, RIGHT_EYE_COLOUR = (255, 0, 0), (0, 0, 255)
LEFT_IRIS_COLOUR, RIGHT_IRIS_COLOUR = (255, 160, 64), (64, 160, 255)
OUTER_LIP_COLOUR, INNER_LIP_COLOUR = (0, 255, 0), (255, 0, 255)
NOSE_BRIDGE_COLOUR = (255, 255, 255)

# Height over width of the lid opening under which an eye counts as closed and shows no eyeball.
CLOSED_EYE_RATIO = 0.12
# Of the size; at 64 px a line two pixels wide would cover the eyeball.
_LINE_WIDTH = 0.009

# contour, iris, upper lid, lower lid, outer corner, inner corner
_LEFT_EYE = (points.LEFT_EYE, points.LEFT_IRIS, 159, 145, 33, 133)
_RIGHT_EYE = (points.RIGHT_EYE, points.RIGHT_IRIS, 386, 374, 263, 362)


def draw_boundary_map(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Draws the boundary map of one face.

    Args:
      landmarks: (478, 2), crop pixels.
      size: height and width of the crop, pixels.

    Returns:
      uint8 (size, size, 3).
    """
    canvas = drawing.fine_canvas(size, 3)
    landmarks = drawing.to_fine(landmarks)
    _draw_eye(canvas, landmarks, *_LEFT_EYE, LEFT_EYE_COLOUR, LEFT_IRIS_COLOUR)
    _draw_eye(canvas, landmarks, *_RIGHT_EYE, RIGHT_EYE_COLOUR, RIGHT_IRIS_COLOUR)
    _draw_line(canvas, landmarks[list(points.OUTER_LIP)], OUTER_LIP_COLOUR, closed=True)
    _draw_line(canvas, landmarks[list(points.INNER_LIP)], INNER_LIP_COLOUR, closed=True)
    _draw_line(canvas, landmarks[list(points.NOSE_BRIDGE)], NOSE_BRIDGE_COLOUR, closed=False)
    return drawing.reduce(canvas, size)


def mirror(boundary_map: np.ndarray) -> np.ndarray:
    """The boundary map (h, w, 3) of the mirrored face: left and right change colours."""
    # A third of the time that NumPy takes to copy boundary_map[:, ::-1, ::-1].
    return cv2.cvtColor(cv2.flip(boundary_map, 1), cv2.COLOR_RGB2BGR)


def eye_opening(landmarks: np.ndarray, upper: int, lower: int, outer: int, inner: int) -> float:
    """Distance of the lids over the distance of the corners; about 0.3 for an open eye."""
    opening = float(np.linalg.norm(landmarks[upper] - landmarks[lower]))
    return opening / max(float(np.linalg.norm(landmarks[outer] - landmarks[inner])), 1e-6)


def _draw_eye(
    canvas: np.ndarray,
    landmarks: np.ndarray,
    contour: tuple[int, ...],
    iris: tuple[int, ...],
    upper: int,
    lower: int,
    outer: int,
    inner: int,
    eye_colour: tuple[int, int, int],
    iris_colour: tuple[int, int, int],
) -> None:
    if eye_opening(landmarks, upper, lower, outer, inner) >= CLOSED_EYE_RATIO:
        _draw_disc(canvas, landmarks[list(iris)], iris_colour)
    _draw_line(canvas, landmarks[list(contour)], eye_colour, closed=True)


def _draw_disc(canvas: np.ndarray, iris: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Fills the iris: centre first, then four points of its rim."""
    radius = float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())
    cv2.circle(
        canvas,
        tuple(drawing.fixed_point(iris[0])),
        max(1, round(radius * 2**drawing.FRACTION_BITS)),
        colour,
        thickness=cv2.FILLED,
        shift=drawing.FRACTION_BITS,
    )


def _draw_line(
    canvas: np.ndarray, line: np.ndarray, colour: tuple[int, int, int], *, closed: bool
) -> None:
    thickness = max(1, round(_LINE_WIDTH * canvas.shape[0]))
    cv2.polylines(
        canvas, [drawing.fixed_point(line)], closed, colour, thickness, shift=drawing.FRACTION_BITS
    )
