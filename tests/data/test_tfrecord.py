"""TFRecord files: TensorFlow's very bytes, and every kind of damage."""

import os

import pytest

from apgan_jax.data.tfrecord import (
    CorruptRecordError,
    index_tfrecord,
    masked_crc32c,
    read_record,
    write_tfrecord,
)
from support.faces import flip_byte

# What tf.io.TFRecordWriter writes for b'face' and for an empty record.
TENSORFLOWS = bytes.fromhex(
    '04000000000000004245520466616365f3119a85000000000000000029039807d8ea82a2'
)
RECORDS = [b'a face', b'', bytes(range(256))]


@pytest.fixture
def path(tmp_path):
    write_tfrecord(tmp_path / 'a.tfrecord', RECORDS)
    return tmp_path / 'a.tfrecord'


@pytest.fixture
def read(path):
    """Reads the record at an offset."""
    with open(path, 'rb') as file:
        yield lambda offset: read_record(file.fileno(), offset, path)


def test_the_checksum_is_that_of_the_format():
    """CRC-32C of '123456789' is 0xE3069283 in every description of it."""
    rotated = (masked_crc32c(b'123456789') - 0xA282EAD8) % 2**32
    assert (rotated << 15 | rotated >> 17) % 2**32 == 0xE3069283


def test_the_bytes_are_those_that_tensorflow_writes(tmp_path):
    write_tfrecord(tmp_path / 'ours', [b'face', b''])
    assert (tmp_path / 'ours').read_bytes() == TENSORFLOWS


def test_every_record_is_read_by_its_offset_in_any_order(path, read):
    offsets = index_tfrecord(path)
    assert offsets == [0, 16 + 6, 2 * 16 + 6]
    assert [read(offset) for offset in reversed(offsets)] == RECORDS[::-1]


def test_a_file_without_a_record_has_no_offset(tmp_path):
    write_tfrecord(tmp_path / 'empty', [])
    assert index_tfrecord(tmp_path / 'empty') == []


@pytest.mark.parametrize('place', [0, 9], ids=['length', 'checksum'])
def test_a_damaged_length_makes_the_file_unreadable(path, place):
    flip_byte(path, 22 + place)
    with pytest.raises(CorruptRecordError, match='the record length at byte 22 fails'):
        index_tfrecord(path)


@pytest.mark.parametrize('place', [14, 18], ids=['data', 'checksum'])
def test_a_damaged_record_leaves_the_others_readable(path, read, place):
    flip_byte(path, place)
    first, *others = index_tfrecord(path)
    with pytest.raises(CorruptRecordError, match=r'a\.tfrecord: the record at byte 0 fails'):
        read(first)
    assert [read(offset) for offset in others] == RECORDS[1:]


def test_a_file_that_was_cut_off_names_its_last_record(path):
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(CorruptRecordError, match='ends inside the record at byte 38'):
        index_tfrecord(path)
