"""Records of aligned faces: a data set's folder, its schema, and any record by its number.

`data_prep.build` writes them through TensorFlow Datasets. A data set is a folder with
`dataset_info.json`, `features.json`, `metadata.json` (the CropSpec) and the `*.tfrecord-*` shards.
`data_prep.reverse` writes such data sets too, of swapped photos: their records have a truth beside.
"""

import logging
import math
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np
import simplejpeg

from apgan_jax.data import png
from apgan_jax.data.example import parse_example
from apgan_jax.data.tfrecord import CorruptRecordError, index_tfrecord, read_record
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.landmarks import NUM_LANDMARKS
from apgan_jax.files.documents import Rule, check_fields, list_of, parse_json_object, shortened
from apgan_jax.files.image_files import decode_image

DATASET_NAME = 'apgan_faces'
CROP_SPEC_KEY = 'crop_spec'
# In the metadata of a data set whose images are swapped photos.
SYNTHETIC_KEY = 'synthetic'
_REMEDY = 'copy or build the data set again'
_MAX_SHARDS = 100_000


def _is_split(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get('name'), str)
        and isinstance(value.get('shardLengths'), list)
        and 1 <= len(value['shardLengths']) <= _MAX_SHARDS
    )


_INFO_RULES = {
    'splits': list_of(Rule(_is_split, 'a split with a name and shardLengths'), 1, 100),
}


class FaceRecord:
    """One aligned face, its pictures still encoded.

    A feature is read when it is asked for: training wants neither landmarks nor crop, and they are
    nine tenths of the work of parsing.
    """

    def __init__(self, features: Mapping[str, Any]) -> None:
        """`features` are tf.train.Feature messages by name, of `parse_example`."""
        self._features = features

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads a serialised record.

        Raises:
          CorruptRecordError: `data` is no tf.train.Example.
        """
        return cls(parse_example(data))

    @property
    def image(self) -> bytes:
        """JPEG of the crop, RGB (size, size, 3)."""
        return self._bytes('image')

    @property
    def boundary_map(self) -> bytes:
        """PNG of its boundary map, RGB (size, size, 3)."""
        return self._bytes('boundary_map')

    @property
    def landmarks(self) -> np.ndarray:
        """float32 (478, 2), crop pixels."""
        return self._array('landmarks', NUM_LANDMARKS, 2)

    @property
    def five_points(self) -> np.ndarray:
        """float32 (5, 2), crop pixels."""
        return self._array('five_points', 5, 2)

    @property
    def crop_from_frame(self) -> np.ndarray:
        """float32 (2, 3), from the photo to the crop."""
        return self._array('crop_from_frame', 2, 3)

    @property
    def photo_size(self) -> tuple[int, int] | None:
        """Height and width of the photo, pixels; None where the data set is from before it."""
        if 'photo_size' not in self._features:
            return None
        height, width = self._array('photo_size', 2)
        return int(height), int(width)

    @property
    def identity(self) -> str:
        """Who it is; '' where nobody knows."""
        return self._text('identity')

    @property
    def file_name(self) -> str:
        """Of the photo, relative to its source folder."""
        return self._text('file_name')

    @property
    def truth(self) -> bytes | None:
        """JPEG of the photo's own crop where `image` is a swapped one; None where it is a photo."""
        return self._bytes('truth') if 'truth' in self._features else None

    @property
    def made_by(self) -> str:
        """SHA-256 of the bundle that swapped `image`, hexadecimal; '' where it is a photo."""
        return self._text('made_by') if 'made_by' in self._features else ''

    def decode_image(self, into: np.ndarray | None = None) -> np.ndarray:
        """Decodes the crop.

        Args:
          into: RGB uint8 (size, size, 3) to fill; None makes an array.

        Returns:
          RGB uint8 (size, size, 3): `into`, if given.

        Raises:
          CorruptRecordError: the bytes are no picture, or not one of the size of `into`.
        """
        return self._decode_jpeg('image', into)

    def decode_truth(self, into: np.ndarray | None = None) -> np.ndarray:
        """Decodes the truth; arguments, result and errors as for `decode_image`.

        Raises:
          CorruptRecordError: also where there is none.
        """
        return self._decode_jpeg('truth', into)

    def decode_boundary_map(self, into: np.ndarray | None = None) -> np.ndarray:
        """Decodes the boundary map; arguments, result and errors as for `decode_image`."""
        picture = png.decode_map(self.boundary_map)
        if picture is None:
            picture = self._decode('boundary_map')
        return self._put('boundary_map', picture, into)

    def _decode_jpeg(self, name: str, into: np.ndarray | None) -> np.ndarray:
        try:
            # OpenCV's own decoder and pixels, but straight to where they belong.
            picture = simplejpeg.decode_jpeg(
                self._bytes(name), fastdct=False, fastupsample=False, buffer=into
            )
        except ValueError:
            picture = self._decode(name)
        return self._put(name, picture, into)

    def _put(self, name: str, picture: np.ndarray, into: np.ndarray | None) -> np.ndarray:
        if into is None:
            return picture
        if picture.shape != into.shape:
            sizes = ['{}×{}'.format(*array.shape) for array in (picture, into)]
            raise CorruptRecordError(
                f'the {name} of {self.file_name} is {sizes[0]}, not {sizes[1]}'
            )
        if not np.may_share_memory(picture, into):
            into[...] = picture
        return into

    def _decode(self, name: str) -> np.ndarray:
        try:
            image = decode_image(self._bytes(name))
        except cv2.error:
            # For instance a header that claims more pixels than OpenCV will allocate.
            image = None
        if image is None:
            raise CorruptRecordError(f'the {name} of {self.file_name} is no readable picture')
        return image

    def _bytes(self, name: str) -> bytes:
        values = self._feature(name).bytes_list.value
        if len(values) != 1:
            raise CorruptRecordError(f'{name} has {len(values)} values instead of one')
        return values[0]

    def _text(self, name: str) -> str:
        try:
            return self._bytes(name).decode()
        except UnicodeDecodeError as error:
            raise CorruptRecordError(f'{name} is no UTF-8 ({error})') from error

    def _array(self, name: str, *shape: int) -> np.ndarray:
        values = np.array(self._feature(name).float_list.value, np.float32)
        if not np.isfinite(values).all():
            raise CorruptRecordError(f'{name} has values that are no finite numbers')
        if values.size != math.prod(shape):
            raise CorruptRecordError(
                f'{name} has {values.size} values instead of {math.prod(shape)}'
            )
        return values.reshape(shape)

    def _feature(self, name: str) -> Any:
        if name not in self._features:
            raise CorruptRecordError(f'has no {name}')
        return self._features[name]


class Labelled(Protocol):
    """What tells whose photo it is; see `FaceRecord`."""

    @property
    def identity(self) -> str:
        """Of whom the photo is; empty without a label."""

    @property
    def file_name(self) -> str:
        """Of the photo."""


def show_different_people(one: Labelled, other: Labelled) -> bool:
    """Whether two photos show different people; those without a label all do."""
    return one.file_name != other.file_name and (not one.identity or one.identity != other.identity)


class CorruptRecords:
    """Counts the records read and those of them that were corrupt; threads may share it.

    Attributes:
      num_read: records read so far, corrupt ones included.
      num_skipped: of these, the corrupt ones, each as often as it was read.
      places: (file, offset) of every corrupt record met.
    """

    # Fewer say too little of the share: one of the first ten is no reason to stop.
    MIN_READ = 1_000

    def __init__(self) -> None:
        self.num_read = 0
        self.num_skipped = 0
        self.places: set[tuple[Path, int]] = set()
        self._lock = threading.Lock()

    def count_read(self) -> None:
        """Counts one record."""
        with self._lock:
            self.num_read += 1

    def skip(self, path: Path, offset: int, why: Exception, max_share: float) -> None:
        """Counts one that is corrupt, and warns of it the first time.

        Args:
          path: its file.
          offset: bytes from the file's start.
          why: what is wrong with it.
          max_share: of the records read that may be corrupt.

        Raises:
          UserError: more are; never before `MIN_READ` were read.
        """
        with self._lock:
            self.num_skipped += 1
            is_new = (path, offset) not in self.places
            self.places.add((path, offset))
            share = self.num_skipped / max(self.num_read, 1)
        if is_new:
            logging.getLogger(__name__).warning(
                '%s: skipping the corrupt record at byte %d: %s', path, offset, why
            )
        if self.num_read >= self.MIN_READ and share > max_share:
            raise UserError(
                f'{self.num_skipped} of {self.num_read} records read were corrupt, more than '
                f'config.data.max_corrupt_share={max_share:g}, the last at byte {offset} of '
                f'{path}; copy or build the data set again'
            )


class _OpenFiles:
    """Files for reading, each opened once at its first use, closed with this object.

    Threads may share it. At the end of the process the system closes them: threads may still read.
    """

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._descriptors).atexit = False

    def descriptor(self, path: Path) -> int:
        """Of the open file."""
        with self._lock:
            if path not in self._descriptors:
                self._descriptors[path] = os.open(path, os.O_RDONLY)
            return self._descriptors[path]


def _close_all(descriptors: Mapping[Path, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


class RecordDataset(Sequence[bytes]):
    """The serialised records of a data set, by number.

    Attributes:
      data_dir: its folder.
      crop_spec: how its faces are cropped.
      is_synthetic: whether its images are swapped photos, each with its truth.
      corrupt: counts what `pipeline` skips.
    """

    def __init__(self, data_dir: Path, split: str = 'train') -> None:
        """Indexes the files of a split.

        Args:
          data_dir: the folder that `data_prep.build` wrote.
          split: its name in the data set.

        Raises:
          UserError: the folder or a part of it is missing, or a file cannot be indexed.
        """
        self.data_dir = Path(data_dir)
        self.crop_spec = read_crop_spec(self.data_dir)
        self.is_synthetic = SYNTHETIC_KEY in _read_json(self.data_dir, 'metadata.json')
        self.corrupt = CorruptRecords()
        self._paths = _shard_paths(self.data_dir, split)
        offsets = [_index_shard(path) for path in self._paths]
        # Arrays, not tuples: VGGFace2's three million records take 50 MB instead of 400.
        self._offsets = np.concatenate(offsets)
        self._shards = np.repeat(np.arange(len(offsets)), [len(part) for part in offsets])
        self._files = _OpenFiles()
        if not len(self._offsets):
            raise UserError(f'{data_dir}: holds no record; build it again from more photos')

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number: Any) -> Any:
        path, offset = self.place(number)
        return read_record(self._files.descriptor(path), offset, path)

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        # Open files and the counter's lock stay in this process.
        return self.__dict__ | {'_files': None, 'corrupt': None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {'_files': _OpenFiles(), 'corrupt': CorruptRecords()}

    @property
    def num_bytes(self) -> int:
        """Size of the split's files."""
        return sum(path.stat().st_size for path in self._paths)

    def place(self, number: int) -> tuple[Path, int]:
        """File of a record and offset in it, bytes."""
        return self._paths[self._shards[number]], int(self._offsets[number])


def _index_shard(path: Path) -> np.ndarray:
    """int64 offsets of a file's records."""
    try:
        return np.array(index_tfrecord(path), np.int64)
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror}); {_REMEDY}') from error
    except CorruptRecordError as error:
        raise UserError(
            f'{error}, so the records after it cannot be found; copy or build the data set again'
        ) from error


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
    return CropSpec.from_dict(fields, where=f'{data_dir}/metadata.json: {CROP_SPEC_KEY}')


def _shard_paths(data_dir: Path, split: str) -> list[Path]:
    info = _read_json(data_dir, 'dataset_info.json')
    where = f'{data_dir}/dataset_info.json'
    check_fields(info, _INFO_RULES, where=where, remedy=_REMEDY, only_known=False)
    splits = {each['name']: len(each['shardLengths']) for each in info['splits']}
    if split not in splits:
        raise UserError(f'{data_dir}: has no split {split!r}; it has {shortened(sorted(splits))}')
    count = splits[split]
    names = [
        f'{DATASET_NAME}-{split}.tfrecord-{shard:05d}-of-{count:05d}' for shard in range(count)
    ]
    missing = [name for name in names if not (data_dir / name).is_file()]
    if missing:
        raise UserError(f'{data_dir}: lacks {shortened(missing)}; {_REMEDY}')
    return [data_dir / name for name in names]


def _read_json(data_dir: Path, name: str) -> dict[str, Any]:
    path = data_dir / name
    if not path.is_file():
        raise UserError(
            f'{data_dir}: no data set there ({name} is missing); make one with `python -m '
            f'data_prep.build --source folder:PHOTOS --output {data_dir}`'
        )
    try:
        return parse_json_object(path.read_bytes(), where=str(path), remedy=_REMEDY)
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror}); {_REMEDY}') from error
