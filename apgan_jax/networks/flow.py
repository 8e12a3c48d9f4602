"""Optical flow: how far each pixel of one picture has moved in another.

A flow is float32 (h, w, 2), (x, y) in pixels: what is at p in the one picture is at p + flow(p) in
the other.
"""

from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from apgan_jax.errors import UserError, first_line
from apgan_jax.networks.network import NetworkInfo, OnnxNetwork

# DIS reads outside its buffers and brings the process down where a side of an image is below about
# 30 px and the other much longer (OpenCV 5.0.0).
_DIS_MIN_SIZE = 32


class Flow(Protocol):
    """Whatever finds optical flow.

    Attributes:
      info: what the numbers come from.
    """

    info: NetworkInfo

    def __call__(self, image: np.ndarray, other: np.ndarray) -> np.ndarray:
        """The flow from one picture to another, RGB uint8 (h, w, 3) each: float32 (h, w, 2)."""
        ...


class DisFlow:
    """OpenCV's dense inverse search (Kroeger et al. 2016); it needs no file.

    The preset is medium. Two FaceForensics++ originals warped with their own flow (`fwe_target`)
    have errors of 0.037 and 0.027 with it, of 0.066 and 0.034 with the next faster one.

    Any size will do; not for several threads at once.
    """

    def __init__(self) -> None:
        self.info = NetworkInfo(f'OpenCV DIS {cv2.__version__}', '', '')
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, image: np.ndarray, other: np.ndarray) -> np.ndarray:
        """The flow from one picture to another, RGB uint8 (h, w, 3) each: float32 (h, w, 2)."""
        _check_sizes(image, other)
        height, width = image.shape[:2]
        grey = [
            _padded(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 1, _DIS_MIN_SIZE)
            for picture in (image, other)
        ]
        # Without a flow to start from: the last pair's would make the result depend on it.
        found: Any = self._search.calc(grey[0], grey[1], None)  # type: ignore[call-overload]
        return np.ascontiguousarray(found[:height, :width])


class OnnxFlow:
    """A network of the kind of RAFT or FlowNet 2.0 (the paper's) in an ONNX file.

    It takes two pictures (n, 3, h, w), or one input (n, 6, h, w) of both, and its last output is
    the flow (n, 2, h, w) in pixels. Sides may be free or fixed. Free ones are padded by repeating
    the border; where they are fixed, pictures are resized, and so is the flow.

    Args:
      path: the file.
      name: what a table calls it; the file's name without suffix if empty.
      value_range: what 0 and 255 become; (0, 255) for the RAFT of its authors and for FlowNet 2.0,
        (-1, 1) for torchvision's RAFT.
      channel_order: of its pictures.
      multiple: that the sides must be of: 8 for RAFT, 64 for FlowNet 2.0.
      min_size: of a side, pixels; 128 for RAFT, whose coarsest correlations need as much.

    Raises:
      UserError: the file or onnxruntime is missing, or the file's inputs are others.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str = '',
        value_range: tuple[float, float] = (0.0, 255.0),
        channel_order: Literal['RGB', 'BGR'] = 'RGB',
        multiple: int = 8,
        min_size: int = 128,
    ) -> None:
        self._network = _PairNetwork(path)
        self.info = NetworkInfo.of_file(name or Path(path).stem, path)
        self._value_range = value_range
        self._reverse_channels = channel_order == 'BGR'
        self._multiple = multiple
        self._min_size = min_size

    def __call__(self, image: np.ndarray, other: np.ndarray) -> np.ndarray:
        """The flow from one picture to another, RGB uint8 (h, w, 3) each: float32 (h, w, 2).

        Raises:
          UserError: what the network returns is no flow of the pictures' size.
        """
        _check_sizes(image, other)
        height, width = image.shape[:2]
        if self._network.size is None:
            flow = self._network(*(self._planes(self._pad(picture)) for picture in (image, other)))
            return np.ascontiguousarray(flow[:height, :width])
        rows, columns = self._network.size
        resized = (_resized(picture, columns, rows) for picture in (image, other))
        flow = self._network(*(self._planes(picture) for picture in resized))
        scale = np.array([width / columns, height / rows], np.float32)
        return _resized(flow, width, height) * scale

    def _pad(self, image: np.ndarray) -> np.ndarray:
        return _padded(image, self._multiple, self._min_size)

    def _planes(self, image: np.ndarray) -> np.ndarray:
        low, high = self._value_range
        if self._reverse_channels:
            image = image[:, :, ::-1]
        values = low + image.transpose(2, 0, 1)[None].astype(np.float32) * ((high - low) / 255)
        return np.ascontiguousarray(values, np.float32)


class _PairNetwork(OnnxNetwork):
    """An ONNX file that takes two pictures; `size` is (height, width) if it is fixed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path
        inputs = self._session.get_inputs()
        self._names = [each.name for each in inputs]
        shapes = [each.shape for each in inputs]
        if [shape[1:2] for shape in shapes] not in ([[3], [3]], [[6]]):
            raise UserError(
                f'{path}: takes {shapes}; a network of optical flow takes two pictures'
                ' (n, 3, h, w), or both as (n, 6, h, w): export it so'
            )
        height, width = shapes[0][2:]
        fixed = isinstance(height, int) and isinstance(width, int)
        self.size: tuple[int, int] | None = (height, width) if fixed else None

    def __call__(self, *planes: np.ndarray) -> np.ndarray:
        """Two pictures, float32 (1, 3, h, w) each: their flow (h, w, 2)."""
        batches = planes if len(self._names) == 2 else (np.concatenate(planes, axis=1),)
        try:
            flow = self._session.run(None, dict(zip(self._names, batches, strict=True)))[-1]
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise UserError(
                f'{self._path}: refuses pictures {planes[0].shape} ({first_line(error)}); set '
                '`multiple` in its adapter'
            ) from error
        expected = (1, 2, *planes[0].shape[2:])
        if flow.shape != expected:
            raise UserError(
                f'{self._path}: its last output is {flow.shape}; {expected} is needed,'
                ' a flow of full size: export the network so'
            )
        return flow[0].transpose(1, 2, 0).astype(np.float32)


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The image as seen from where the flow starts, by bilinear interpolation.

    Args:
      image: float32 (h, w, c); a flow may be warped too.
      flow: from the picture that is to be rebuilt to `image`.

    Returns:
      float32 (h, w, c): at p the image's value at p + flow(p); beyond its border, the border's.
    """
    x, y = flow_ends(flow)
    # OpenCV 5 interpolates two channels together only to a 32nd of a pixel, one alone exactly.
    planes = [
        cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for plane in cv2.split(image)
    ]
    return cv2.merge(planes)


def flow_ends(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a flow (h, w, 2) leads: x and y, float32 (h, w) each, pixels."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return x, y


def _padded(image: np.ndarray, multiple: int, least: int) -> np.ndarray:
    """The image with its last row and column repeated until the sides are fit."""
    height, width = (-(-max(side, least) // multiple) * multiple for side in image.shape[:2])
    bottom, right = height - image.shape[0], width - image.shape[1]
    return cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def _check_sizes(image: np.ndarray, other: np.ndarray) -> None:
    if image.shape != other.shape:
        raise ValueError(f'pictures {image.shape} and {other.shape} must be of one size')
