"""The fixed pairs, and what is measured on them."""

import functools

import numpy as np
import pytest

from apgan_jax.data.pipeline import open_dataset
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.training import validation
from apgan_jax.training.validation import choose_pairs, load_pairs
from support.faces import make_records, write_dataset


def test_pairs_are_of_different_people_and_the_same_each_time(tmp_path):
    people = lambda number: 'abc'[number % 3]  # noqa: E731
    folder = write_dataset(tmp_path / 'data', make_records(12, people))
    pairs, again = (choose_pairs(open_dataset(folder), 5, name='x') for _ in range(2))
    sources, targets = (p[:, 0, 0, 0] // 8 for p in (pairs.source, pairs.target))
    assert len(pairs) == 5
    assert len(set(targets)) == 5
    assert all(people(s) != people(t) for s, t in zip(sources, targets, strict=True))
    np.testing.assert_array_equal(again.source, pairs.source)
    np.testing.assert_array_equal(again.target, pairs.target)


def test_the_search_for_somebody_else_goes_through_all_records(tmp_path):
    people = lambda number: 'bob' if number == 17 else 'ann'  # noqa: E731
    dataset = open_dataset(write_dataset(tmp_path / 'data', make_records(32, people)))
    pairs = choose_pairs(dataset, 3, name='x')
    shown = [people(picture[0, 0, 0] // 8) for picture in (*pairs.source, *pairs.target)]
    assert len(pairs) == 3
    assert shown == ['bob'] * 3 + ['ann'] * 3


def test_one_person_is_no_pair(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(4, lambda _: 'ann'))
    with pytest.raises(UserError, match=r'no two records of different people.*evaluation\.every=0'):
        choose_pairs(open_dataset(folder), 5, name='x')


def test_pairs_of_the_training_set_are_called_so(tmp_path):
    training = open_dataset(write_dataset(tmp_path / 'a', make_records(4, str)))
    other = write_dataset(tmp_path / 'b', make_records(4, str))
    load = functools.partial(load_pairs, training, count=3, crop_spec=CropSpec(size=16))
    assert load(folder='').name == 'train_pairs'
    assert load(folder=str(tmp_path / 'a' / '..' / 'a')).name == 'train_pairs'
    assert load(folder=str(other)).name == 'heldout'
    with pytest.raises(UserError, match=r'crop_spec\.size is 32 in the config but 16'):
        load(folder=str(other), crop_spec=CropSpec(size=32))


def test_a_damaged_record_makes_no_pair(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(6, str))
    (shard,) = folder.glob('*.tfrecord-*')
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(data)
    pairs = choose_pairs(open_dataset(folder), 6, name='x')
    assert len(pairs) == 5


def test_what_lacks_its_network_is_left_out_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv('APGAN_DATA', raising=False)
    folder = write_dataset(tmp_path / 'data', make_records(4, str))
    pairs = choose_pairs(open_dataset(folder), 3, name='x')
    values = validation.measure_all(validation.host_measures(pairs), pairs.target)
    assert 'pose_degrees' not in values
    assert "evaluation without pose: APGAN_DATA=''" in capsys.readouterr().out
    # The target compared with itself.
    np.testing.assert_allclose(values['ssim'], 1.0, atol=1e-6)
    if 'sface_target' in values:
        np.testing.assert_allclose(values['sface_target'], 1.0, atol=1e-5)


def test_a_measure_that_fails_is_left_out_and_named(capsys):
    def fail(swapped):
        raise RuntimeError('no such\nnode')

    measures = {'a': lambda swapped: {'x': swapped}, 'b': fail, 'c': lambda swapped: {'y': swapped}}
    assert validation.measure_all(measures, np.zeros(1)).keys() == {'x', 'y'}
    assert capsys.readouterr().out == 'evaluation without b: no such\n'
