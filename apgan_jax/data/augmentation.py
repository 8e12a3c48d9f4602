"""Random changes of a source's picture: its colours and its place.

Of the source only: a target is what the swapped picture is compared with, and what its boundary
map was drawn from. Pictures are RGB uint8 (h, w, 3).
"""

import dataclasses

import cv2
import numpy as np

from apgan_jax.errors import UserError

# Of RGB, BT.601: what a saturation of 0 leaves.
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclasses.dataclass(frozen=True)
class SourceJitter:
    """How far a source's picture may be changed; 0 everywhere: not at all.

    Each change is drawn evenly from both sides of none.

    Attributes:
      brightness: relative, of the values' factor.
      contrast: relative, of the distance from the picture's mean luma.
      saturation: relative, of the distance from grey.
      rotation: about the picture's centre, degrees.
      scale: relative, of the size.
      shift: in each direction, part of the picture's size.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            most = 180.0 if name == 'rotation' else 1.0
            if not 0 <= value < most:
                raise UserError(
                    f'config.data.source_jitter.{name}={value!r}: must be at least 0 and less '
                    f'than {most:g}; 0 leaves it alone'
                )

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The picture (h, w, 3), changed."""
        if self == NO_JITTER:
            return image
        changes = rng.uniform(-1, 1, 7)
        if self.brightness or self.contrast or self.saturation:
            brightness, contrast, saturation = 1 + changes[:3] * (
                self.brightness,
                self.contrast,
                self.saturation,
            )
            image = change_colours(image, brightness, contrast, saturation)
        if self.rotation or self.scale or self.shift:
            image = move(
                image,
                degrees=changes[3] * self.rotation,
                scale=1 + changes[4] * self.scale,
                shift=changes[5:] * self.shift,
            )
        return image


NO_JITTER = SourceJitter()


def change_colours(
    image: np.ndarray, brightness: float, contrast: float, saturation: float
) -> np.ndarray:
    """Saturation, then contrast, then brightness, rounded and clipped once.

    Args:
      image: RGB uint8 (h, w, 3).
      brightness: factor of the values.
      contrast: factor of their distance from the picture's mean luma.
      saturation: factor of their distance from the pixel's luma.

    Returns:
      RGB uint8 (h, w, 3).
    """
    saturate = saturation * np.eye(3) + (1 - saturation) * _LUMA
    offset = (1 - contrast) * float(_LUMA @ cv2.mean(image)[:3])
    matrix = brightness * np.column_stack([contrast * saturate, np.full(3, offset)])
    return cv2.transform(image, matrix)


def move(image: np.ndarray, *, degrees: float, scale: float, shift: np.ndarray) -> np.ndarray:
    """Turns and scales a picture about its centre, then shifts it; the border is reflected.

    Args:
      image: RGB uint8 (h, w, 3).
      degrees: counter-clockwise.
      scale: above 1 enlarges.
      shift: (right, down), parts of width and height.

    Returns:
      RGB uint8 (h, w, 3).
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    matrix[:, 2] += np.multiply(shift, (width, height))
    return cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
