"""Pictures swapped as `apgan swap` does it, pasted at their own resolution, and not written."""

import contextlib
import itertools
from pathlib import Path
from typing import Self

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face import blending
from apgan_jax.face.finding import FaceFinder
from apgan_jax.face.tracking import FaceTracker
from apgan_jax.inference.blend import Blend
from apgan_jax.inference.casting import Largest, OneSource
from apgan_jax.inference.frame_swapper import FrameSwapper
from apgan_jax.inference.swap import swap_picture
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.identity import IdentityEmbedding
from apgan_jax.video.reader import VideoReader

# Of a clip before the frame that is looked at: steadying goes on from what it did there.
FRAMES_BEFORE = 11


class PictureSwapper:
    """Swaps the largest face of photos and of clips' frames; a context manager.

    Args:
      swapper: the model.
      blend: how generated faces go into their frames.
    """

    def __init__(self, swapper: Swapper, blend: Blend) -> None:
        self._swapper, self._blend = swapper, blend
        with contextlib.ExitStack() as stack:
            self._finder = stack.enter_context(FaceFinder())
            self._tracker = stack.enter_context(FaceTracker())
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def photo(self, picture: np.ndarray, identity: IdentityEmbedding) -> np.ndarray:
        """What becomes of a photo, or of a frame that is taken for one.

        Args:
          picture: RGB uint8 (h, w, 3).
          identity: of the source, leading axis 1.

        Returns:
          RGB uint8 (h, w, 3): the photo itself if no face is found in it.
        """
        found = self._finder.find(picture)
        swapped, _ = swap_picture(picture, found, self._frame_swapper(identity))
        return swapped

    def frame(
        self, clip: Path, number: int, identity: IdentityEmbedding
    ) -> tuple[np.ndarray, np.ndarray]:
        """A frame of a clip, and what becomes of it after the frames before.

        Args:
          clip: a video.
          number: of the frame, from 0.
          identity: of the source, leading axis 1.

        Returns:
          The frame and the swapped one, RGB uint8 (h, w, 3).

        Raises:
          UserError: the clip cannot be read, or has no such frame.
        """
        first = max(0, number - FRAMES_BEFORE)
        with VideoReader(clip) as reader:
            frames = list(itertools.islice(reader.frames(first), number - first + 1))
        if len(frames) <= number - first:
            raise UserError(f'{clip}: has no frame {number}; put the clip there that is meant')
        *_, last = self._frame_swapper(identity).run(self._tracker.track(frames))
        return last.frame.rgb, blending.with_patches(last.frame.rgb, last.patches)

    def _frame_swapper(self, identity: IdentityEmbedding) -> FrameSwapper:
        casting = OneSource(identity, Largest())
        # One program serves photos and clips alike.
        return FrameSwapper(self._swapper, casting, batch_size=1, blend=self._blend)
