"""Records of aligned faces: TFRecord files of tf.train.Example, without TensorFlow.

`data_prep.build` writes them through TensorFlow Datasets; this module reads them (any record by its
number, through an offset index and `os.pread`) and knows the schema. A data set is a folder with
`dataset_info.json`, `features.json`, `metadata.json` (the CropSpec) and the `*.tfrecord-*` shards.
"""

import dataclasses
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.landmarks import NUM_LANDMARKS
from apgan_jax.image_files import decode_image

DATASET_NAME = 'apgan_faces'
CROP_SPEC_KEY = 'crop_spec'

_LENGTH = struct.Struct('<Q')
_CRC = struct.Struct('<I')
_HEADER_SIZE = _LENGTH.size + _CRC.size


class CorruptRecordError(Exception):
    """A record whose bytes do not fit its checksum; the message names file and offset."""


# --- TFRecord -------------------------------------------------------------------------------------


def masked_crc32c(data: bytes) -> int:
    """TFRecord's checksum: CRC-32C, rotated and offset so that it can stand inside data."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_tfrecord(path: Path, records: Iterable[bytes]) -> None:
    """Writes the records as one TFRecord file."""
    with open(path, 'wb') as file:
        for record in records:
            length = _LENGTH.pack(len(record))
            file.write(length + _CRC.pack(masked_crc32c(length)))
            file.write(record + _CRC.pack(masked_crc32c(record)))


def index_tfrecord(path: Path) -> list[int]:
    """Offsets of a TFRecord file's records, bytes from its start.

    Raises:
      CorruptRecordError: a length is damaged or the file ends inside a record.
    """
    offsets = []
    size = os.path.getsize(path)
    with open(path, 'rb', buffering=0) as file:
        offset = 0
        while offset < size:
            offsets.append(offset)
            header = os.pread(file.fileno(), _HEADER_SIZE, offset)
            offset += _HEADER_SIZE + _record_length(header, path, offset) + _CRC.size
    if offset != size:
        raise CorruptRecordError(f'{path}: ends inside the record at byte {offsets[-1]}')
    return offsets


def read_record(descriptor: int, offset: int, path: Path) -> bytes:
    """Reads one record and checks it.

    Args:
      descriptor: of the open file.
      offset: from `index_tfrecord`.
      path: for messages.

    Raises:
      CorruptRecordError: the bytes do not fit their checksum.
    """
    length = _record_length(os.pread(descriptor, _HEADER_SIZE, offset), path, offset)
    data = os.pread(descriptor, length + _CRC.size, offset + _HEADER_SIZE)
    record = data[:length]
    if data[length:] != _CRC.pack(masked_crc32c(record)):
        raise CorruptRecordError(f'{path}: the record at byte {offset} fails its checksum')
    return record


def _record_length(header: bytes, path: Path, offset: int) -> int:
    length = header[: _LENGTH.size]
    if header[_LENGTH.size :] != _CRC.pack(masked_crc32c(length)):
        raise CorruptRecordError(f'{path}: the record length at byte {offset} fails its checksum')
    return _LENGTH.unpack(length)[0]


# --- tf.train.Example -----------------------------------------------------------------------------


def _example_class() -> Any:
    """tf.train.Example as a protobuf class, from a descriptor made at run time.

    In a pool and a package of its own, so that it stands beside TensorFlow's; the wire format
    knows field numbers only.
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name='apgan_example.proto', package='apgan', syntax='proto3'
    )

    def add(message: str, *fields: tuple[str, int, int, str | None]) -> None:
        descriptor = file.message_type.add(name=message)
        for name, kind, label, type_name in fields:
            number = len(descriptor.field) + 1
            descriptor.field.add(
                name=name, number=number, type=kind, label=label, type_name=type_name
            )

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    message = field.TYPE_MESSAGE
    add('BytesList', ('value', field.TYPE_BYTES, many, None))
    add('FloatList', ('value', field.TYPE_FLOAT, many, None))
    add('Int64List', ('value', field.TYPE_INT64, many, None))
    add(
        'Feature',
        ('bytes_list', message, one, '.apgan.BytesList'),
        ('float_list', message, one, '.apgan.FloatList'),
        ('int64_list', message, one, '.apgan.Int64List'),
    )
    # A protobuf map is a repeated message of key and value, which needs no generated entry type.
    add('Entry', ('key', field.TYPE_STRING, one, None), ('value', message, one, '.apgan.Feature'))
    add('Features', ('feature', message, many, '.apgan.Entry'))
    add('Example', ('features', message, one, '.apgan.Features'))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('apgan.Example'))


_Example = _example_class()


def parse_example(data: bytes) -> dict[str, Sequence[Any]]:
    """Reads a serialised tf.train.Example as feature name → list of values."""
    features = {}
    for entry in _Example.FromString(data).features.feature:
        value = entry.value
        for kind in ('bytes_list', 'float_list', 'int64_list'):
            if value.HasField(kind):
                features[entry.key] = getattr(value, kind).value
    return features


def serialise_example(features: Mapping[str, bytes | np.ndarray]) -> bytes:
    """Writes bytes and float arrays (flattened) as a tf.train.Example."""
    example = _Example()
    for name, value in sorted(features.items()):
        entry = example.features.feature.add(key=name)
        if isinstance(value, bytes):
            entry.value.bytes_list.value.append(value)
        else:
            entry.value.float_list.value.extend(np.ravel(value).tolist())
    return example.SerializeToString()


# --- Faces ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class FaceRecord:
    """One aligned face, its pictures still encoded.

    Attributes:
      image: JPEG of the crop, RGB (size, size, 3).
      boundary_map: PNG of its boundary map, RGB (size, size, 3).
      landmarks: float32 (478, 2), crop pixels.
      five_points: float32 (5, 2), crop pixels.
      crop_from_frame: float32 (2, 3), from the photo to the crop.
      identity: who it is; '' where nobody knows.
      file_name: of the photo, relative to its source folder.
    """

    image: bytes
    boundary_map: bytes
    landmarks: np.ndarray
    five_points: np.ndarray
    crop_from_frame: np.ndarray
    identity: str
    file_name: str

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads a serialised record."""
        features = parse_example(data)

        def array(name: str, *shape: int) -> np.ndarray:
            return np.array(features[name], np.float32).reshape(shape)

        return cls(
            image=features['image'][0],
            boundary_map=features['boundary_map'][0],
            landmarks=array('landmarks', NUM_LANDMARKS, 2),
            five_points=array('five_points', 5, 2),
            crop_from_frame=array('crop_from_frame', 2, 3),
            identity=features['identity'][0].decode(),
            file_name=features['file_name'][0].decode(),
        )

    def decode_image(self) -> np.ndarray:
        """The crop, RGB uint8 (size, size, 3)."""
        return _decode(self.image, self.file_name)

    def decode_boundary_map(self) -> np.ndarray:
        """The boundary map, RGB uint8 (size, size, 3)."""
        return _decode(self.boundary_map, self.file_name)


def _decode(data: bytes, file_name: str) -> np.ndarray:
    image = decode_image(data)
    if image is None:
        raise CorruptRecordError(f'the record of {file_name} holds an unreadable picture')
    return image


class RecordDataset(Sequence[bytes]):
    """The serialised records of a data set, by number.

    Args:
      data_dir: the folder that `data_prep.build` wrote.
      split: its name in the data set.

    Raises:
      UserError: the folder or a part of it is missing.
    """

    def __init__(self, data_dir: Path, split: str = 'train') -> None:
        self.data_dir = Path(data_dir)
        self.crop_spec = read_crop_spec(self.data_dir)
        self._paths = _shard_paths(self.data_dir, split)
        self._index = [
            (shard, offset)
            for shard, path in enumerate(self._paths)
            for offset in index_tfrecord(path)
        ]
        self._descriptors: list[int] | None = None
        if not self._index:
            raise UserError(f'{data_dir}: holds no record; build it again from more photos')

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: Any) -> Any:
        shard, offset = self._index[number]
        return read_record(self._open_files()[shard], offset, self._paths[shard])

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        # Grain writes this into checkpoints and compares it on restore.
        return f'RecordDataset({len(self._index)} records, {self.crop_spec.name})'

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_descriptors': None}

    def _open_files(self) -> list[int]:
        # Opened on first use, so that a copy sent to another process opens its own.
        if self._descriptors is None:
            self._descriptors = [os.open(path, os.O_RDONLY) for path in self._paths]
        return self._descriptors


def read_crop_spec(data_dir: Path) -> CropSpec:
    """The CropSpec that a data set was made with.

    Raises:
      UserError: `data_dir` is no data set of this project.
    """
    fields = _read_json(Path(data_dir), 'metadata.json').get(CROP_SPEC_KEY)
    if fields is None:
        raise UserError(
            f'{data_dir}/metadata.json: has no {CROP_SPEC_KEY}; build the data set with '
            '`python -m data_prep.build`'
        )
    return CropSpec.from_dict(fields)


def _shard_paths(data_dir: Path, split: str) -> list[Path]:
    splits = {info['name']: info for info in _read_json(data_dir, 'dataset_info.json')['splits']}
    if split not in splits:
        raise UserError(f'{data_dir}: has no split {split!r}; it has {sorted(splits)}')
    count = len(splits[split]['shardLengths'])
    names = [
        f'{DATASET_NAME}-{split}.tfrecord-{shard:05d}-of-{count:05d}' for shard in range(count)
    ]
    missing = [name for name in names if not (data_dir / name).is_file()]
    if missing:
        raise UserError(f'{data_dir}: lacks {", ".join(missing)}; copy or build the data set again')
    return [data_dir / name for name in names]


def _read_json(data_dir: Path, name: str) -> dict[str, Any]:
    path = data_dir / name
    if not path.is_file():
        raise UserError(
            f'{data_dir}: no data set there ({name} is missing); make one with `python -m '
            f'data_prep.build --source folder:PHOTOS --output {data_dir}`'
        )
    return json.loads(path.read_text())
