import gc
import json
import os
import pickle
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from apgan_jax.data.example import serialise_example
from apgan_jax.data.records import SYNTHETIC_KEY, FaceRecord, RecordDataset
from apgan_jax.data.tfrecord import CorruptRecordError
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.files.image_files import encode_image
from support.faces import flip_byte, make_records, numbered_picture, write_dataset


def test_a_face_record_comes_back():
    record = FaceRecord.parse(make_records(3, str)[2])
    assert (record.identity, record.file_name) == ('2', '002.png')
    assert record.landmarks.shape == (478, 2)
    assert record.five_points.shape == (5, 2)
    np.testing.assert_array_equal(record.crop_from_frame, np.eye(2, 3))
    np.testing.assert_array_equal(record.decode_image(), numbered_picture(2))
    # RGB: the first patch of the map is red.
    assert tuple(record.decode_boundary_map()[3, 2]) == (255, 0, 0)


def test_a_record_of_a_photo_has_no_truth():
    record = FaceRecord.parse(make_records(1, str)[0])
    assert (record.truth, record.made_by) == (None, '')
    with pytest.raises(CorruptRecordError, match='has no truth'):
        record.decode_truth()


def test_a_swapped_photo_has_its_truth():
    pictures = {'image': numbered_picture(2), 'truth': numbered_picture(3)}
    encoded = {name: encode_image(picture, '.png') for name, picture in pictures.items()}
    record = FaceRecord.parse(serialise_example({**encoded, 'made_by': b'12ab'}))
    assert (record.truth, record.made_by) == (encoded['truth'], '12ab')
    into = np.empty((16, 16, 3), np.uint8)
    assert record.decode_truth(into) is into
    np.testing.assert_array_equal(into, pictures['truth'])
    np.testing.assert_array_equal(record.decode_image(), pictures['image'])


def test_a_data_set_says_whether_it_is_synthetic(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(1, str))
    assert not RecordDataset(folder).is_synthetic
    metadata = json.loads((folder / 'metadata.json').read_text())
    (folder / 'metadata.json').write_text(json.dumps({**metadata, SYNTHETIC_KEY: {}}))
    assert RecordDataset(folder).is_synthetic


def test_an_unreadable_picture_names_its_photo():
    record = FaceRecord.parse(serialise_example({'image': b'no picture', 'file_name': b'000.png'}))
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
        ('landmarks', np.full((478, 2), np.nan)),
        ('crop_from_frame', np.full((2, 3), np.inf)),
    ],
)
def test_a_feature_of_another_kind_is_corrupt(name, value):
    record = FaceRecord.parse(serialise_example({name: value}))
    with pytest.raises(CorruptRecordError, match=rf'^{name} '):
        getattr(record, name)


def test_the_size_of_a_photo_where_the_data_set_has_it():
    size = np.array([1200, 5], np.float32)
    assert FaceRecord.parse(serialise_example({'photo_size': size})).photo_size == (1200, 5)
    assert FaceRecord.parse(serialise_example({})).photo_size is None
    with pytest.raises(CorruptRecordError, match='photo_size has 1 values instead of 2'):
        _ = FaceRecord.parse(serialise_example({'photo_size': size[:1]})).photo_size


@pytest.mark.parametrize(
    ('name', 'text', 'problem'),
    [
        ('metadata.json', '{"crop_spec": 3}', 'crop_spec: is 3: must be an object'),
        ('metadata.json', '[]', 'is damaged'),
        ('metadata.json', '{"crop_spec": {"size": NaN}}', 'NaN is no number'),
        ('dataset_info.json', '{}', 'splits is missing'),
        ('dataset_info.json', '{"splits": [{"name": "train"}]}', 'a split with a name'),
        ('dataset_info.json', '{"splits": [{"name": "t", "shardLengths": []}]}', 'a split with'),
    ],
)
def test_metadata_that_is_none_is_refused_in_one_line(tmp_path, name, text, problem):
    folder = write_dataset(tmp_path / 'data', make_records(2, str))
    (folder / name).write_text(text)
    with pytest.raises(UserError, match=problem) as caught:
        RecordDataset(folder)
    assert str(folder / name) in str(caught.value)


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
