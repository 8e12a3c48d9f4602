"""Which photos of a data set are swapped with which."""

import os

import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation import photo_sets
from apgan_jax.evaluation.photo_sets import PAIRS_FILE
from apgan_jax.files.image_files import write_image
from apgan_jax.networks.network import data_folder
from support.faces import variations


def test_pairs_show_different_people_and_are_always_the_same(lfw):
    wanted = photo_sets.lfw_pairs(lfw, 4)
    people = [photo.person for photo in wanted.photos]
    assert wanted == photo_sets.lfw_pairs(lfw, 4)
    assert len(wanted.pairs) == 4
    assert all(people[source] != people[target] for source, target in wanted.pairs)
    assert len({target for _, target in wanted.pairs}) == 4


def test_celebahq_photos_are_a_person_each(tmp_path):
    for number, picture in enumerate(variations().values()):
        write_image(tmp_path / f'{number}.jpg', picture)
    wanted = photo_sets.celebahq_pairs(tmp_path, 100)
    assert len({photo.person for photo in wanted.photos}) == 8
    assert 7 <= len(wanted.pairs) <= 8


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match='no such folder'):
        photo_sets.lfw_pairs(tmp_path / 'absent')
    with pytest.raises(UserError, match='NAME_0001'):
        photo_sets.lfw_pairs(tmp_path)
    with pytest.raises(UserError, match='no photos'):
        photo_sets.celebahq_pairs(tmp_path)
    with pytest.raises(UserError, match='held-out photos'):
        photo_sets.heldout_pairs(tmp_path)


def test_pairs_are_500_of_different_photos():
    rows = PAIRS_FILE.read_text().splitlines()[1:]
    pairs = {tuple(row.split('\t')) for row in rows}
    assert len(rows) == len(pairs) == 500
    assert all(source != target for source, target in pairs)


def test_pairs_are_of_different_people():
    if not os.environ.get('APGAN_DATA'):
        pytest.skip('APGAN_DATA is unset: the labels of the held-out photos are not there')
    index = (data_folder() / 'faces' / 'index.tsv').read_text().splitlines()[1:]
    people = dict(line.split('\t') for line in index)
    rows = [row.split('\t') for row in PAIRS_FILE.read_text().splitlines()[1:]]
    assert all(people[f'celeba_heldout/{s}'] != people[f'celeba_heldout/{t}'] for s, t in rows)
