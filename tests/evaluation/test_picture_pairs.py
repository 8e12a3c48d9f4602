"""The committed pairs: what they are, what is absent, and that the script makes them."""

import collections
import csv

import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation import picture_pairs


def rows():
    with open(picture_pairs.PICTURE_PAIRS_FILE, encoding='utf-8') as file:
        return list(csv.DictReader(file, delimiter='\t'))


def touch(folder, names):
    for name in names:
        path = folder / name.partition('@')[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_24_of_each_kind_and_nobody_twice():
    kinds = collections.Counter(row['target'].rsplit('/', 1)[0] for row in rows())
    folders = ('faces/celeba_heldout', 'faces/congress', 'faces/generated', 'clips')
    assert kinds == dict.fromkeys(folders, 24)
    photos = [row['source'] for row in rows()]
    photos += [row['target'] for row in rows()]
    assert len(set(photos)) == 2 * 96
    assert not any(name in row['target'] for row in rows() for name in ('deepfakes', 'faceswap'))


def test_all_are_found(tmp_path):
    touch(tmp_path, [row[key] for row in rows() for key in row])
    pairs, dropped = picture_pairs.find_picture_pairs(tmp_path)
    assert len(pairs) == 96 and dropped == 0
    assert collections.Counter(pair.group for pair in pairs) == {
        '': 48,
        'portraits': 24,
        'clips': 24,
    }
    for pair in pairs:
        assert (pair.frame is not None) == (pair.group == 'clips')
        assert pair.frame is None or pair.frame >= 11


def test_absent_files_drop_out_and_are_counted(tmp_path):
    first, second, *_ = rows()
    touch(tmp_path, [first['source'], first['target'], second['source']])
    pairs, dropped = picture_pairs.find_picture_pairs(tmp_path)
    assert [pair.source for pair in pairs] == [tmp_path / first['source']] and dropped == 95
    (tmp_path / first['source']).unlink()
    with pytest.raises(UserError, match=r'holds no photo or clip of picture_pairs\.tsv'):
        picture_pairs.find_picture_pairs(tmp_path)


def test_other_photos_of_a_person_by_the_labels(tmp_path):
    folder = tmp_path / 'faces' / 'heldout'
    touch(folder, ['1.jpg', '2.jpg', '3.jpg', '4.jpg'])
    assert picture_pairs.photos_of_person(folder / '2.jpg', 1) == [folder / '2.jpg']
    with pytest.raises(UserError, match='use --k 1'):
        picture_pairs.photos_of_person(folder / '2.jpg', 2)
    labels = 'file\tidentity\nheldout/1.jpg\tann\nheldout/2.jpg\tann\nheldout/3.jpg\tbob\n'
    (tmp_path / 'faces' / 'index.tsv').write_text(labels + 'heldout/4.jpg\tann\n')
    names = [path.name for path in picture_pairs.photos_of_person(folder / '2.jpg', 2)]
    assert names == ['2.jpg', '1.jpg']
    assert len(picture_pairs.photos_of_person(folder / '2.jpg', 9)) == 3
    assert picture_pairs.photos_of_person(folder / '3.jpg', 9) == [folder / '3.jpg']
