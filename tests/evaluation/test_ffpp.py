"""FaceForensics++'s layout and split."""

import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.ffpp import (
    DatasetSwap,
    FaceForensics,
    official_swaps,
    parse_swaps,
    those_there,
)


@pytest.fixture
def data(tmp_path):
    originals = tmp_path / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    swapped = tmp_path / 'manipulated_sequences' / 'Deepfakes' / 'c23' / 'videos'
    for folder, names in ((originals, ('519', '515')), (swapped, ('519_515',))):
        folder.mkdir(parents=True)
        for name in names:
            (folder / f'{name}.mp4').touch()
    return FaceForensics(tmp_path)


def test_split_is_seventy_pairs_in_both_directions():
    swaps = official_swaps()
    assert len(set(swaps)) == 140
    assert {DatasetSwap(swap.source, swap.target) for swap in swaps} == set(swaps)
    # Everybody is the target once and the source once.
    assert len({swap.target for swap in swaps}) == len({swap.source for swap in swaps}) == 140
    assert DatasetSwap('634', '660') in swaps


def test_files_are_where_the_download_script_puts_them(data):
    swap = DatasetSwap('519', '515')
    assert data.original('519').is_file()
    assert data.swapped('Deepfakes', swap).name == '519_515.mp4'
    assert data.swapped('Deepfakes', swap).is_file()
    assert data.methods() == ['Deepfakes']


def test_absent_files_are_counted_and_named(data):
    swaps = parse_swaps(['519_515', '515_519'])
    needed = [(swap, [data.swapped('Deepfakes', swap)]) for swap in swaps]
    there, line = those_there(needed, 'Deepfakes')
    assert there == [DatasetSwap('519', '515')]
    assert line == 'Deepfakes: 1 of 2 swaps are there; missing 515_519'


def test_nothing_there_is_an_error(data):
    swap = DatasetSwap('000', '003')
    with pytest.raises(UserError, match='none of 1'):
        those_there([(swap, [data.original('000')])], 'bundles')


@pytest.mark.parametrize('name', ['519', 'a_b', '519-515', '_'])
def test_wrong_swaps_are_refused(name):
    with pytest.raises(UserError, match='TARGET_SOURCE'):
        parse_swaps([name])


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match='original_sequences'):
        FaceForensics(tmp_path)


def test_unknown_method_is_refused_with_those_there(data):
    with pytest.raises(UserError, match='Deepfakes'):
        data.check_method('FaceSwap')
