"""Painting faces into decoded YUV planes, so that all else stays bit-identical before encoding.

Only the small picture is converted from RGB. Each plane is then blended in its own pixels: the
affine map goes from the picture through the upright and the stored frame to the plane, whatever the
rotation and the resolution of the colours.
"""

from collections.abc import Sequence
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from apgan_jax.face.alignment import compose
from apgan_jax.face.blending import Patch, blend, with_room_for_detail
from apgan_jax.video.decoded import ACCURATE, SWSCALE_MATRIX, Orientation, views
from apgan_jax.video.encoding import PictureFormat

# The shares of red and of blue in luma, by the same code.
_LUMA = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_LUMA_BT601 = (0.299, 0.114)


class Painter:
    """Makes of decoded frames what the encoder takes, with faces painted in.

    Args:
      picture: the encoder's frames.
      orientation: of the video.
      stored_size: (height, width) of the decoded frames, pixels.
    """

    def __init__(
        self, picture: PictureFormat, orientation: Orientation, stored_size: tuple[int, int]
    ) -> None:
        self._picture = picture
        self._stored_size = stored_size
        self._upright_from_stored = orientation.upright_from_stored(*stored_size)
        self._yuv_from_rgb = yuv_from_rgb(picture)

    def __call__(self, decoded: av.VideoFrame, patches: Sequence[Patch]) -> av.VideoFrame:
        """Returns the frame to encode: `decoded` itself where its format fits, painted in place."""
        frame = self._fitted(decoded)
        if patches:
            # Decoders keep frames to predict later ones from.
            frame.make_writable()
        for patch in patches:
            self.paint(frame, patch)
        # Else the encoder repeats the source's choice of key frames.
        frame.pict_type = 0
        return frame

    def paint(self, frame: Any, patch: Patch) -> None:
        """Blends a patch into a writable frame of the encoder's format."""
        planes = views(frame)
        picture = self._to_planes(patch.picture)
        covered = [None] * 3 if patch.covered is None else self._to_planes(patch.covered)
        colours = [
            with_room_for_detail(*both, patch.detail) for both in zip(picture, covered, strict=True)
        ]
        picture_from_stored = compose(patch.picture_from_frame, self._upright_from_stored)
        # Planes of one resolution share the warped mask: Y alone and U with V, or all three.
        split = 3 if planes[1].shape == planes[0].shape else 1
        for group in (slice(0, split), slice(split, 3)):
            if planes[group]:
                stored_from_plane = _stored_from_plane(planes[0].shape, planes[group][0].shape)
                picture_from_plane = compose(picture_from_stored, stored_from_plane)
                blend(
                    planes[group],
                    colours[group],
                    patch.mask,
                    picture_from_plane,
                    detail=patch.detail,
                    highest=(1 << self._picture.bits) - 1,
                )

    def _to_planes(self, picture: np.ndarray) -> Sequence[np.ndarray]:
        """An RGB picture's three colours as the frame stores them, float32 (h, w) each."""
        return cv2.split(cv2.transform(picture.astype(np.float32), self._yuv_from_rgb))

    def _fitted(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in the encoder's format: itself, in all but rare cases."""
        wanted = self._picture
        height, width = self._stored_size
        colours = _conversion_to(wanted) if frame.format.is_rgb else {}
        frame = frame.reformat(width, height, wanted.name, **colours, **ACCURATE)
        return frame if (height, width) == (wanted.height, wanted.width) else self._padded(frame)

    def _padded(self, frame: Any) -> av.VideoFrame:
        """Repeats the last line or column where the encoder needs an even number of them."""
        padded: Any = av.VideoFrame(self._picture.width, self._picture.height, frame.format.name)
        for target, source in zip(views(padded), views(frame), strict=True):
            rows, columns = np.subtract(target.shape, source.shape)
            target[:] = np.pad(source, ((0, rows), (0, columns)), mode='edge')
        padded.pts, padded.time_base = frame.pts, frame.time_base
        padded.duration = frame.duration
        padded.colorspace, padded.color_range = frame.colorspace, frame.color_range
        padded.color_primaries, padded.color_trc = frame.color_primaries, frame.color_trc
        return padded


def yuv_from_rgb(picture: PictureFormat) -> np.ndarray:
    """ITU-T H.273, equations for Y'CbCr. Exact, where swscale is off by up to 1 in full range.

    Returns:
      float32 (3, 4), RGB of 0 to 255 and 1 to samples of the picture's matrix, range and depth.
    """
    red, blue = _LUMA.get(picture.color_matrix, _LUMA_BT601)
    luma = np.array([red, 1 - red - blue, blue])
    to_blue, to_red = np.eye(3)[2] - luma, np.eye(3)[0] - luma
    matrix = np.stack([luma, to_blue / (2 - 2 * blue), to_red / (2 - 2 * red)]) / 255
    unit = 1 << (picture.bits - 8)
    scale, offset = np.array([219, 224, 224]) * unit, np.array([16, 128, 128]) * unit
    if picture.is_full_range:
        scale, offset = np.full(3, 256 * unit - 1), np.array([0, 128, 128]) * unit
    return np.column_stack([matrix * scale[:, None], offset]).astype(np.float32)


def _conversion_to(picture: PictureFormat) -> dict[str, Any]:
    """Arguments for swscale's conversion of whole RGB frames."""
    return {
        'dst_colorspace': SWSCALE_MATRIX.get(picture.color_matrix, Colorspace.ITU601),
        'dst_color_range': ColorRange.JPEG if picture.is_full_range else ColorRange.MPEG,
    }


def _stored_from_plane(stored: tuple[int, ...], plane: tuple[int, ...]) -> np.ndarray:
    """Pixels of a plane to pixels of the stored frame.

    A colour sample of 4:2:0 lies between two lines and on the left of its two columns, as MPEG-2
    and all later codecs have it unless they say otherwise (PyAV does not tell).
    """
    step_y, step_x = -(-stored[0] // plane[0]), -(-stored[1] // plane[1])
    return np.array([[step_x, 0.0, 0.0], [0.0, step_y, (step_y - 1) / 2]])
