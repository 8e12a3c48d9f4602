"""Any network in an ONNX file as a plug-in: a small TOML file says how it wants its pictures.

    file = "w600k_r50.onnx"         # beside the TOML file
    kind = "identity"               # identity, pose, expression, features or flow
    name = "ArcFace ResNet-50"      # what tables call it
    size = [112, 112]               # height, width
    channels = "rgb"                # or "bgr"
    mean = 127.5                    # value = (pixel - mean) * scale, one number or one a channel,
    scale = 0.00784313725           # in the network's order of channels
    layout = "nchw"                 # or "nhwc"
    output = 0                      # place or name; a list where several belong together
    region = "arcface"              # "head": the whole crop, "face": a square about the landmarks
    margin = 0.2                    # of "face": on each side, as a share of the landmarks' box
    columns = [0, 512]              # from, to: the part of the output that is wanted; all of it
    encoder = "iresnet50"           # of identity: the encoder (configs) that this network is
    multiple = 64                   # of flow: what sides must be a multiple of (FlowNet 2.0: 64)

Only `file` and `kind` must be there for networks of identity (ArcFace's habits are the default) and
of pose (Hopenet's); all others state `size`, `mean` and `scale` too.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import jax.numpy as jnp
import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.alignment import Window, warp_to_crop
from apgan_jax.face.face_pair import SeenFace
from apgan_jax.files.documents import (
    Rule,
    check_fields,
    choice,
    file_name,
    number,
    parse_toml_file,
    text,
    whole,
)
from apgan_jax.models import images
from apgan_jax.networks.network import NetworkInfo, OnnxNetwork

# insightface's networks, and Hopenet (torchvision's ImageNet statistics on a 0-255 scale).
_DEFAULTS: dict[str, dict[str, Any]] = {
    'identity': {'size': [112, 112], 'mean': 127.5, 'scale': 1 / 127.5, 'region': 'arcface'},
    'pose': {
        'size': [224, 224],
        'mean': [123.675, 116.28, 103.53],
        'scale': [1 / 58.395, 1 / 57.12, 1 / 57.375],
        'region': 'face',
        'output': [0, 1, 2],
    },
}


@dataclasses.dataclass(frozen=True)
class Adapter:
    """How an ONNX file wants its pictures; see the module for what each field may be.

    Attributes:
      file: the network.
      kind: what it tells.
      size: (height, width), pixels.
      mean: one a channel.
      scale: one a channel; value = (pixel - mean) * scale.
      name: what tables call it; the file's name without suffix if empty.
      channels: their order.
      layout: the order of axes.
      output: of the network, by place or name.
      region: of the crop, which it is shown.
      margin: of the region 'face'.
      columns: [from, to) of the output's last axis; None for all.
      encoder: of identity: `IdentityEncoder.kind` of the same network, so that tables can tell
        when a model was trained with it.
      multiple: of flow: of which sides must be multiples.
    """

    file: Path
    kind: str
    size: tuple[int, int]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    name: str = ''
    channels: str = 'rgb'
    layout: str = 'nchw'
    output: tuple[int | str, ...] = (0,)
    region: str = 'head'
    margin: float = 0.2
    columns: tuple[int, int] | None = None
    encoder: str = ''
    multiple: int = 8

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a TOML file; the network's path in it is relative to it.

        Raises:
          UserError: it is missing, no TOML, or a field is missing, unknown or out of range.
        """
        return cls.from_dict(parse_toml_file(path, where=str(path), remedy=_REMEDY), path)

    @classmethod
    def from_dict(cls, fields: dict[str, Any], origin: Path) -> Self:
        """Checks the fields of a TOML document that lies at `origin`.

        Raises:
          UserError: a field is missing, unknown or out of range.
        """
        kind = fields.get('kind')
        fields = (_DEFAULTS.get(kind, {}) if isinstance(kind, str) else {}) | fields
        check_fields(fields, _RULES, where=str(origin), remedy=_REMEDY)
        height, width = fields['size']
        if fields.get('region', 'head') != 'head' and height != width:
            raise UserError(
                f'{origin}: size = {fields["size"]}: must be square, as the region '
                f'{fields["region"]!r} is'
            )
        return cls(**_converted(fields, Path(origin).parent))

    def cut(
        self, crop: np.ndarray, arcface_window: Window, landmarks: np.ndarray | None = None
    ) -> np.ndarray:
        """What the network is shown of a crop.

        Args:
          crop: RGB uint8 (h, w, 3).
          arcface_window: of its CropSpec; the region 'arcface' alone needs it.
          landmarks: (478, 2), crop pixels; the region 'face' alone needs them.

        Returns:
          RGB uint8 of the adapter's size.

        Raises:
          ValueError: the region is 'face' and there are no landmarks.
        """
        if self.region == 'head':
            return _resize(crop, self.size)
        if self.region == 'arcface':
            batch = jnp.asarray(crop[None], jnp.float32)
            face = np.asarray(images.arcface_window(batch, arcface_window))[0]
            return _resize(np.rint(face).astype(np.uint8), self.size)
        if landmarks is None:
            raise ValueError('the region "face" is cut by landmarks')
        return cut_face(crop, landmarks, self.size[0], margin=self.margin)


class AdaptedNetwork:
    """The network of an adapter.

    Args:
      adapter: how it wants its pictures.

    Attributes:
      adapter: the same.
      info: the file's description.

    Raises:
      UserError: the file or onnxruntime is missing, or it takes or yields something else than the
        adapter says.
    """

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self._network = OnnxNetwork(adapter.file, name=adapter.name, outputs=adapter.output)
        self.info: NetworkInfo = self._network.info
        self._one_by_one = self._check_input() == 1

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """What the network says of pictures.

        Args:
          pictures: RGB uint8 (n, h, w, 3), resized to the adapter's size where they differ.

        Returns:
          float32 (n, …), the output; several outputs are stacked along axis 1.
        """
        values = self._values(pictures)
        batches = np.split(values, len(values)) if self._one_by_one else [values]
        results = [self._stacked(self._network.run(batch)) for batch in batches]
        return np.concatenate(results)

    def of_faces(self, faces: Sequence[SeenFace]) -> np.ndarray:
        """What it says of the adapter's region of faces; as `__call__`."""
        cut = self.adapter.cut
        return self(
            np.stack([cut(face.crop, face.arcface_window, face.landmarks) for face in faces])
        )

    def _values(self, pictures: np.ndarray) -> np.ndarray:
        adapter = self.adapter
        sized = np.stack([_resize(picture, adapter.size) for picture in pictures])
        if adapter.channels == 'bgr':
            sized = sized[..., ::-1]
        mean, scale = (np.asarray(each, np.float32) for each in (adapter.mean, adapter.scale))
        values = (sized.astype(np.float32) - mean) * scale
        if adapter.layout == 'nchw':
            values = values.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values)

    def _stacked(self, outputs: list[Any]) -> np.ndarray:
        if len({output.shape for output in outputs}) > 1:
            shapes = ', '.join(str(output.shape) for output in outputs)
            raise UserError(f'{self.adapter.file}: outputs of {shapes}; name those of one shape')
        arrays = [np.asarray(output, np.float32) for output in outputs]
        result = arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=1)
        if self.adapter.columns is None:
            return result
        start, stop = self.adapter.columns
        if stop > result.shape[-1]:
            raise UserError(
                f'{self.adapter.file}: columns = [{start}, {stop}] of an output of '
                f'{result.shape[-1]}; they must lie in it'
            )
        return result[..., start:stop]

    def _check_input(self) -> Any:
        """Refuses an adapter that contradicts the file; the file's batch axis."""
        height, width = self.adapter.size
        axes = (3, height, width) if self.adapter.layout == 'nchw' else (height, width, 3)
        batch, *found = self._network.input_shape or (None,)
        fits = len(found) == 3 and all(
            not isinstance(a, int) or a == b for a, b in zip(found, axes, strict=True)
        )
        if not fits or (isinstance(batch, int) and batch != 1):
            raise UserError(
                f'{self.adapter.file}: takes {self._network.input_shape}, the adapter says (1 or '
                f'any, {", ".join(map(str, axes))}); mend its size or layout'
            )
        return batch


def cut_face(image: np.ndarray, landmarks: np.ndarray, size: int, *, margin: float) -> np.ndarray:
    """A square about a face; what lies outside the image repeats its edge.

    Args:
      image: RGB uint8 (h, w, 3).
      landmarks: (n, 2), pixels; the irises may be among them.
      size: of the result, pixels.
      margin: on each side, as a share of the longer side of the landmarks' box.

    Returns:
      uint8 (size, size, 3).
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    side = float((high - low).max()) * (1 + 2 * margin)
    scale = size / side
    shift = (size - 1) / 2 - scale * (low + high) / 2
    return warp_to_crop(image, np.hstack([np.eye(2) * scale, shift[:, None]]), size)


def _resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    if picture.shape[:2] == size:
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=method)


def _converted(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Checked TOML values as the attributes of `Adapter`."""
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    for name, count in (('mean', 3), ('scale', 3), ('output', 1)):
        if name in values and not isinstance(values[name], tuple):
            values[name] = (values[name],) * count
    return values | {'file': folder / fields['file']}


_NUMBER = number(-1e30, 1e30)


def _is_per_channel(value: Any) -> bool:
    values = value if isinstance(value, list) else [value] * 3
    return len(values) == 3 and all(map(_NUMBER.is_met, values))


def _is_whole_pair(value: Any) -> bool:
    return isinstance(value, list) and [type(each) for each in value] == [int, int]


def _is_output(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(type(each) in (int, str) for each in values)


_PER_CHANNEL = Rule(_is_per_channel, 'a number or three, one a channel')
_REMEDY = 'see apgan_jax/networks/adapters.py'
# What each field of the TOML file must be.
_RULES: dict[str, Rule] = {
    'file': file_name()._replace(says='the path of an ONNX file'),
    'kind': choice('identity', 'pose', 'expression', 'features', 'flow'),
    'name': text().or_missing(),
    'size': Rule(
        lambda size: _is_whole_pair(size) and min(size) > 0 and max(size) <= 4096,
        '[height, width], pixels, at most 4096',
    ),
    'channels': choice('rgb', 'bgr').or_missing(),
    'mean': _PER_CHANNEL,
    'scale': _PER_CHANNEL,
    'layout': choice('nchw', 'nhwc').or_missing(),
    'output': Rule(_is_output, 'a place, a name, or a list of them').or_missing(),
    'region': choice('arcface', 'head', 'face').or_missing(),
    'margin': number(0, 2).or_missing(),
    'columns': Rule(
        lambda part: _is_whole_pair(part) and 0 <= part[0] < part[1],
        '[from, to], columns of the output',
    ).or_missing(),
    'encoder': text().or_missing(),
    'multiple': whole(1, 4096).or_missing(),
}
