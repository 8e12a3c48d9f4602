"""Whether a generated face still looks like the person, and what hides a face that does."""

import dataclasses
from typing import Any, Protocol

import cv2
import numpy as np

from apgan_jax.face import blending
from apgan_jax.face.tracking import TrackedFace
from apgan_jax.inference.identity_means import IdentityMeans
from apgan_jax.inference.remembering import Remembering
from apgan_jax.inference.swapper import Swapper
from apgan_jax.networks.recognisers import SFaceRecogniser

# 95th percentile of the cosine of different people, over 391 photos of 98 (celeba_heldout).
MOBILEFACENET_DIFFERENT_95 = 0.278
SFACE_DIFFERENT_95 = 0.252
# The box of a face's landmarks ends at its edge, and hair and chin tell too.
_BLUR_MARGIN = 0.35
# What is left of a blurred face, pixels across: no feature of it.
_BLUR_CELLS = 5
_BLUR_SIZE = 64


class LikenessCheck(Remembering, Protocol):
    """Judges generated faces."""

    def __call__(
        self, picture: np.ndarray, face: TrackedFace, crop: np.ndarray, patch: blending.Patch
    ) -> bool:
        """Whether the swapped face is too like its person.

        Args:
          picture: the frame, RGB uint8 (h, w, 3).
          face: in it.
          crop: the face's crop, RGB uint8 (size, size, 3).
          patch: what is to be blended over it.
        """


class TooAlike:
    """Compares what will be seen with the person, by the training encoder and by SFace.

    Args:
      swapper: the model, whose encoder is MobileFaceNet.
      means: of the clip's people, by the same encoder; the casting's own, which remembers them.
      sface_means: of the clip's people, by SFace.
      sface: the network.
    """

    def __init__(
        self,
        swapper: Swapper,
        means: IdentityMeans,
        sface_means: IdentityMeans,
        sface: SFaceRecogniser,
    ) -> None:
        self._swapper = swapper
        self._means = means
        self._sface_means = sface_means
        self._sface = sface

    def __call__(
        self, picture: np.ndarray, face: TrackedFace, crop: np.ndarray, patch: blending.Patch
    ) -> bool:
        """Whether either network's cosine is that of the most alike 5 % of different people."""
        seen = crop.copy()
        blending.paste(seen, dataclasses.replace(patch, picture_from_frame=np.eye(2, 3)))
        vector = self._swapper.embed_vectors(seen[None])[0]
        if float(vector @ self._means.vector(face.person)) >= MOBILEFACENET_DIFFERENT_95:
            return True
        self._sface_means.observe(face.person, crop)
        window = self._swapper.bundle.crop_spec.arcface_window
        sface_vector = self._sface.embed(seen[None], window)[0]
        return float(sface_vector @ self._sface_means.vector(face.person)) >= SFACE_DIFFERENT_95

    def state(self) -> Any:
        """See `Remembering`."""
        return self._sface_means.state()

    def restore(self, state: Any) -> None:
        """See `Remembering`."""
        self._sface_means.restore(state)


def blurred_patch(picture: np.ndarray, box: tuple[float, float, float, float]) -> blending.Patch:
    """A patch that hides a face: its surroundings' colours in a few soft spots.

    Args:
      picture: RGB uint8 (h, w, 3).
      box: (left, top, right, bottom) of the face, pixels.
    """
    left, top, right, bottom = box
    width, height = max(right - left, 2.0), max(bottom - top, 2.0)
    left, top = left - _BLUR_MARGIN * width, top - _BLUR_MARGIN * height
    width, height = width * (1 + 2 * _BLUR_MARGIN), height * (1 + 2 * _BLUR_MARGIN)
    scale_x, scale_y = _BLUR_SIZE / width, _BLUR_SIZE / height
    # Pixel centres at integers: the box's left edge is the picture's at -0.5.
    picture_from_frame = np.array(
        [
            [scale_x, 0.0, (0.5 - left) * scale_x - 0.5],
            [0.0, scale_y, (0.5 - top) * scale_y - 0.5],
        ]
    )
    return blending.Patch(_spots(picture, left, top, width, height), _ellipse(), picture_from_frame)


def _spots(picture: np.ndarray, left: float, top: float, width: float, height: float) -> np.ndarray:
    rows, columns = picture.shape[:2]
    first_row, last_row = int(np.clip(top, 0, rows - 1)), int(np.clip(top + height, 1, rows))
    first, last = int(np.clip(left, 0, columns - 1)), int(np.clip(left + width, 1, columns))
    part = picture[first_row : max(last_row, first_row + 1), first : max(last, first + 1)]
    cells = cv2.resize(
        np.ascontiguousarray(part), (_BLUR_CELLS, _BLUR_CELLS), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(cells, (_BLUR_SIZE, _BLUR_SIZE), interpolation=cv2.INTER_LINEAR)


def _ellipse() -> np.ndarray:
    """float32 mask: 1 over the face, 0 at the patch's edge."""
    centre = (_BLUR_SIZE - 1) / 2
    rows, columns = np.mgrid[:_BLUR_SIZE, :_BLUR_SIZE]
    radius = np.hypot(rows - centre, columns - centre) / (_BLUR_SIZE / 2)
    return np.clip((1.0 - radius) / 0.12, 0.0, 1.0).astype(np.float32)
