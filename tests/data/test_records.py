import gc
import os
import pickle
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.faces import make_records, numbered_picture, write_dataset

from apgan_jax.data import records
from apgan_jax.data.records import CorruptRecordError, FaceRecord, RecordDataset
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec

PAYLOADS = [b'first', b'', b'x' * 10_000]


def read_all(path):
    with open(path, 'rb') as file:
        offsets = records.index_tfrecord(path)
        return [records.read_record(file.fileno(), offset, path) for offset in offsets]


@pytest.fixture
def tfrecord(tmp_path):
    path = tmp_path / 'some.tfrecord'
    records.write_tfrecord(path, PAYLOADS)
    return path


def flip_byte(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


def test_tfrecords_come_back(tfrecord):
    assert read_all(tfrecord) == PAYLOADS
    # 8 bytes of length, 4 of its checksum, the data, 4 of its checksum.
    assert records.index_tfrecord(tfrecord) == [0, 21, 37]


def test_the_checksum_is_tfrecords():
    # CRC-32C of "123456789" is 0xE3069283; masked: rotated right by 15, plus 0xA282EAD8.
    rotated = (0xE3069283 >> 15 | 0xE3069283 << 17) & 0xFFFFFFFF
    assert records.masked_crc32c(b'123456789') == (rotated + 0xA282EAD8) & 0xFFFFFFFF


def test_tensorflow_reads_our_files(tfrecord):
    tensorflow = pytest.importorskip('tensorflow')
    read = tensorflow.data.TFRecordDataset(str(tfrecord)).as_numpy_iterator()
    assert list(read) == PAYLOADS


def test_we_read_tensorflows_files(tmp_path):
    tensorflow = pytest.importorskip('tensorflow')
    path = tmp_path / 'theirs.tfrecord'
    with tensorflow.io.TFRecordWriter(str(path)) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert read_all(path) == PAYLOADS


# 53 = 37 + 12 + 4: inside the data of the third record; 47: in its length's checksum.
@pytest.mark.parametrize('place, what', [(53, 'record at'), (37, 'length'), (47, 'length')])
def test_a_flipped_byte_is_found_and_named(tfrecord, place, what):
    flip_byte(tfrecord, place)
    with pytest.raises(CorruptRecordError, match=rf'some\.tfrecord: .*{what}.*byte 37 ') as caught:
        read_all(tfrecord)
    assert '\n' not in str(caught.value)


def test_a_damaged_length_names_its_own_record(tfrecord):
    flip_byte(tfrecord, 21)
    with pytest.raises(CorruptRecordError, match='byte 21 '):
        records.index_tfrecord(tfrecord)


@pytest.mark.parametrize('length', [38, 45, 49, 60, 10_052])
def test_a_truncated_file_is_found(tfrecord, length):
    tfrecord.write_bytes(tfrecord.read_bytes()[:length])
    with pytest.raises(CorruptRecordError, match=r'some\.tfrecord: .*byte 37'):
        records.index_tfrecord(tfrecord)


FEATURES = {'picture': b'\x00\xff', 'numbers': np.array([[1.5, -2.0]]), 'empty': b''}


def test_examples_come_back():
    parsed = records.parse_example(records.serialise_example(FEATURES))
    assert parsed.keys() == FEATURES.keys()
    assert list(parsed['picture']) == [b'\x00\xff']
    assert list(parsed['numbers']) == [1.5, -2.0]
    assert list(parsed['empty']) == [b'']


def test_our_examples_are_tensorflows():
    tensorflow = pytest.importorskip('tensorflow')
    example = tensorflow.train.Example.FromString(records.serialise_example(FEATURES))
    feature = example.features.feature
    assert set(feature) == set(FEATURES)
    assert list(feature['picture'].bytes_list.value) == [b'\x00\xff']
    assert list(feature['numbers'].float_list.value) == [1.5, -2.0]


def test_tensorflows_examples_are_ours():
    train = pytest.importorskip('tensorflow').train
    example = train.Example()
    example.features.feature['text'].bytes_list.value.append('é'.encode())
    example.features.feature['floats'].float_list.value.extend([0.5, 2.0])
    example.features.feature['integers'].int64_list.value.extend([7, -1])
    parsed = records.parse_example(example.SerializeToString())
    assert {name: list(values) for name, values in parsed.items()} == {
        'text': ['é'.encode()],
        'floats': [0.5, 2.0],
        'integers': [7, -1],
    }


def test_a_face_record_comes_back():
    record = FaceRecord.parse(make_records(3, str)[2])
    assert (record.identity, record.file_name) == ('2', '002.png')
    assert record.landmarks.shape == (478, 2)
    assert record.five_points.shape == (5, 2)
    np.testing.assert_array_equal(record.crop_from_frame, np.eye(2, 3))
    np.testing.assert_array_equal(record.decode_image(), numbered_picture(2))
    # RGB: the first patch of the map is red.
    assert tuple(record.decode_boundary_map()[3, 2]) == (255, 0, 0)


def test_an_unreadable_picture_names_its_photo():
    features = records.parse_example(make_records(1, str)[0])
    broken = {
        name: np.array(value) if isinstance(value[0], float) else value[0]
        for name, value in features.items()
    } | {'image': b'no picture'}
    record = FaceRecord.parse(records.serialise_example(broken))
    with pytest.raises(CorruptRecordError, match=r'000\.png'):
        record.decode_image()


@pytest.mark.parametrize(
    'name, value',
    [
        ('landmarks', np.zeros(7)),
        ('five_points', b'text'),
        ('identity', b'\xff'),
        ('file_name', b'\xff'),
        ('boundary_map', np.zeros(1)),
    ],
)
def test_a_feature_of_another_kind_is_corrupt(name, value):
    record = FaceRecord.parse(records.serialise_example({name: value}))
    with pytest.raises(CorruptRecordError, match=rf'^{name} '):
        getattr(record, name)


def test_a_data_set_by_number(tmp_path):
    serialised = make_records(5, str)
    dataset = RecordDataset(write_dataset(tmp_path / 'data', serialised))
    assert len(dataset) == 5
    assert dataset.crop_spec == CropSpec(size=16)
    assert list(dataset) == serialised
    assert [dataset[number] for number in (4, 0, 2)] == [serialised[i] for i in (4, 0, 2)]
    with pytest.raises(IndexError):
        dataset[5]


def test_a_data_set_goes_to_another_process(tmp_path):
    dataset = RecordDataset(write_dataset(tmp_path / 'data', make_records(2, str)))
    first = dataset[0]
    assert pickle.loads(pickle.dumps(dataset))[0] == first


def test_threads_open_a_file_once_and_it_is_closed_with_the_data_set(tmp_path, monkeypatch):
    dataset = RecordDataset(write_dataset(tmp_path / 'data', make_records(8, str)))
    opened, really_open = [], os.open

    def slow_open(*arguments):
        time.sleep(0.05)
        opened.append(really_open(*arguments))
        return opened[-1]

    monkeypatch.setattr(os, 'open', slow_open)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(dataset.__getitem__, range(8))) == list(dataset)
    (descriptor,) = opened
    os.fstat(descriptor)
    del dataset
    gc.collect()
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_the_size_is_that_of_the_splits_own_files(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(2, str))
    (path,) = folder.glob('*.tfrecord-*')
    (folder / path.name.replace('train', 'test')).write_bytes(b'other')
    assert RecordDataset(folder).num_bytes == path.stat().st_size


def test_damage_is_found_when_the_record_is_read(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(2, str))
    (path,) = folder.glob('*.tfrecord-*')
    (length,) = struct.unpack('<Q', path.read_bytes()[:8])
    flip_byte(path, 16 + length + 100)
    dataset = RecordDataset(folder)
    assert dataset[0]
    with pytest.raises(CorruptRecordError, match=f'byte {16 + length} '):
        dataset[1]


@pytest.mark.parametrize('missing', ['dataset_info.json', 'metadata.json'])
def test_a_folder_that_is_no_data_set_is_refused(tmp_path, missing):
    folder = write_dataset(tmp_path / 'data', make_records(1, str))
    (folder / missing).unlink()
    with pytest.raises(UserError, match=rf'{missing} is missing.*data_prep\.build'):
        RecordDataset(folder)


def test_a_missing_shard_is_named(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(1, str))
    (path,) = folder.glob('*.tfrecord-*')
    path.unlink()
    with pytest.raises(UserError, match=path.name):
        RecordDataset(folder)


def test_an_unknown_split_and_an_empty_data_set_are_refused(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(1, str))
    with pytest.raises(UserError, match=r"no split 'test'.*train"):
        RecordDataset(folder, 'test')
    with pytest.raises(UserError, match='holds no record'):
        RecordDataset(write_dataset(tmp_path / 'empty', []))


def test_metadata_of_somebody_else_is_refused(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(1, str))
    (folder / 'metadata.json').write_text('{}')
    with pytest.raises(UserError, match='has no crop_spec'):
        RecordDataset(folder)
