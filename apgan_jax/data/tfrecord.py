"""TFRecord files without TensorFlow: any record by its offset, through an index and `os.pread`.

A record is its length (uint64), the length's checksum, the data and the data's checksum (uint32),
little-endian.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

import google_crc32c

_LENGTH = struct.Struct('<Q')
_CRC = struct.Struct('<I')
_HEADER_SIZE = _LENGTH.size + _CRC.size


class CorruptRecordError(Exception):
    """A record whose bytes do not fit its checksum, or that holds no face as the schema has it."""


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
