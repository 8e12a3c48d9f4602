"""Each thing that a data set cannot teach is said in a line, and nothing else is."""

import pytest

from apgan_jax.data import pairing_warnings as module
from apgan_jax.data.pairing_warnings import pairing_warnings
from apgan_jax.data.records import RecordDataset
from support.faces import flip_byte, make_records, write_dataset


@pytest.fixture
def warn(tmp_path):
    """The warnings on a data set of people by number."""

    def of(count, identity, *, batch_size=1):
        folder = write_dataset(tmp_path / 'data', make_records(count, identity))
        return pairing_warnings(RecordDataset(folder), batch_size)

    return of


def test_people_with_labels_are_nothing_to_warn_of(warn):
    assert warn(4, lambda number: 'ab'[number % 2], batch_size=4) == []


def test_a_batch_larger_than_the_data_set(warn, tmp_path):
    (line,) = warn(4, str, batch_size=5)
    assert line.startswith(f'config.batch_size=5 is more than the 4 photos of {tmp_path}')
    assert 'lower it, or add photos' in line


@pytest.mark.parametrize(
    ('count', 'label'), [(3, 'ann'), (1, 'ann'), (1, '')], ids=['three', 'one', 'unlabelled']
)
def test_one_person_alone(warn, count, label):
    (line,) = warn(count, lambda _: label)
    assert 'all photos show one person' in line


def test_photos_without_labels(warn):
    (line,) = warn(3, lambda _: '')
    assert 'no photo says whom it shows' in line
    assert 'build the data set again with --labels' in line


def test_some_without_a_label_are_other_people(warn):
    assert warn(3, lambda number: '' if number else 'ann') == []


def test_each_thing_has_a_line_of_its_own(warn):
    assert len(warn(2, lambda _: '', batch_size=3)) == 2


def test_a_large_data_set_is_looked_at_from_end_to_end(warn, monkeypatch):
    monkeypatch.setattr(module, '_MOST_RECORDS', 3)
    assert warn(9, lambda number: 'bob' if number == 8 else 'ann') == []


def test_damaged_records_are_passed_over(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(3, lambda n: 'bob' if n else 'ann'))
    (shard,) = folder.glob('*.tfrecord-*')
    flip_byte(shard, 200)
    (line,) = pairing_warnings(RecordDataset(folder), 1)
    assert 'all photos show one person' in line
