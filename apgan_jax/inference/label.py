"""A label that people see: white text on a dark box in the lower left corner of a frame."""

import unicodedata

import cv2
import numpy as np

from apgan_jax.errors import UserError

DEFAULT_TEXT = 'synthetic face'

_FRAME_HEIGHTS_PER_TEXT = 28
_MIN_TEXT_HEIGHT = 12
_BOX_ALPHA = 0.6
# In text heights.
_PADDING, _MARGIN = 0.35, 0.5
_WEIGHT = 400
# What OpenCV draws for a character that its fonts do not have.
_UNKNOWN = '?'


def render_label(
    text: str, frame_height: int, frame_width: int
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Draws a label for frames of one size; the caller blends it: rgb·alpha + frame·(1 - alpha).

    The text is 1/28 of the frame high and at least 12 px, which is readable still; it is made
    smaller, down to that, where the frame is too narrow.

    Args:
      text: one line, in any script of OpenCV's fonts (Latin, Greek, Cyrillic, Chinese, …).
      frame_height: pixels.
      frame_width: pixels.

    Returns:
      RGB uint8 (h, w, 3); alpha float32 (h, w) in [0, 1]; (left, top) of the label in the frame.

    Raises:
      UserError: the text is empty, has a character that cannot be drawn, or does not fit.
    """
    _check_text(text)
    wanted = max(_MIN_TEXT_HEIGHT, round(frame_height / _FRAME_HEIGHTS_PER_TEXT))
    for size in range(wanted, _MIN_TEXT_HEIGHT - 1, -1):
        coverage = _draw(text, size)
        height, width = coverage.shape
        margin = round(_MARGIN * size)
        if width + 2 * margin <= frame_width and height + 2 * margin <= frame_height:
            alpha = coverage + (1 - coverage) * np.float32(_BOX_ALPHA)
            # White as far as the text covers the box, which is black.
            grey = np.rint(255 * coverage / alpha).astype(np.uint8)
            place = (margin, frame_height - margin - height)
            return np.repeat(grey[:, :, None], 3, axis=2), alpha, place
    raise UserError(
        f"label '{text}': does not fit into a frame of {frame_width}×{frame_height} pixels at "
        f'{_MIN_TEXT_HEIGHT} px; give a shorter text'
    )


def _draw(text: str, size: int) -> np.ndarray:
    """Returns how far text, with padding around it, covers each pixel: float32 (h, w), [0, 1]."""
    font = cv2.FontFace('sans')
    padding = round(_PADDING * size)
    # Lines of equal size look alike, whatever their letters: the box takes its height from them.
    left, top, width, height = cv2.getTextSize((0, 0), text, (0, 0), font, size, _WEIGHT)
    canvas = np.zeros((height + 2 * padding, width + 2 * padding), np.uint8)
    place = (padding - left, padding - top)
    cv2.putText(canvas, text, place, (255,), font, size, _WEIGHT)
    return canvas.astype(np.float32) / 255


def _check_text(text: str) -> None:
    if not text.strip():
        raise UserError(f"label '{text}': is empty; give a text such as '{DEFAULT_TEXT}'")
    unknown = _draw(_UNKNOWN, 2 * _MIN_TEXT_HEIGHT)
    for character in dict.fromkeys(text):
        if character in (_UNKNOWN, ' '):
            continue
        drawn = _draw(character, 2 * _MIN_TEXT_HEIGHT)
        if np.array_equal(drawn, unknown) or not drawn.any():
            name = unicodedata.name(character, f'U+{ord(character):04X}')
            raise UserError(f'label {text!r}: the character {name} cannot be drawn; leave it out')
