import cv2
import numpy as np
import pytest

from apgan_jax.bundle import load_bundle
from apgan_jax.errors import UserError
from apgan_jax.inference.sources import load_source
from apgan_jax.inference.swapper import Swapper
from support.faces import blank, head, portrait, write_photos
from support.scenes import add_face, empty


@pytest.fixture(scope='module')
def swapper(tiny_bundle):
    return Swapper(tiny_bundle)


@pytest.fixture
def folder(tmp_path):
    blurred = cv2.GaussianBlur(cv2.resize(head(), None, fx=2, fy=2), (0, 0), 8)
    return write_photos(
        tmp_path,
        {'a.png': portrait(), 'b.png': head(), 'blank.png': blank(), 'blurred.png': blurred},
    )


def vector(source):
    return np.asarray(source.identity.vector)[0]


def test_bad_pictures_are_left_out_and_named(folder, swapper):
    names = ('a.png', 'blank.png', 'b.png', 'blurred.png')
    source = load_source([folder / name for name in names], swapper)
    good = load_source([folder / name for name in ('a.png', 'b.png')], swapper)
    np.testing.assert_allclose(vector(source), vector(good), atol=1e-6)
    assert source.used == good.used == 2
    assert good.left_out == ()
    assert source.left_out == (
        f'{folder / "blank.png"}: no face',
        f'{folder / "blurred.png"}: blurred',
    )


def test_a_bad_picture_is_better_than_none(folder, swapper):
    source = load_source([folder / 'blurred.png', folder / 'blank.png'], swapper)
    assert source.used == 1
    assert source.left_out == (f'{folder / "blank.png"}: no face',)
    assert source.doubts == (f'{folder / "blurred.png"}: blurred, taken for want of a better one',)
    assert source.lines()[1] == f'source: {source.doubts[0]}'


def test_nobody_is_refused(folder, swapper):
    with pytest.raises(UserError, match=r'blank\.png: no face found'):
        load_source([folder / 'blank.png'], swapper)


def test_a_folder_is_all_its_photos(folder, swapper):
    source = load_source([folder], swapper)
    files = load_source(sorted(folder.iterdir()), swapper)
    np.testing.assert_array_equal(vector(source), vector(files))
    assert (source.used, source.left_out) == (files.used, files.left_out)
    (folder / 'empty').mkdir()
    with pytest.raises(UserError, match='empty: holds no photo'):
        load_source([folder / 'empty'], swapper)


def test_one_picture_may_be_given_twice(tmp_path, swapper):
    write_photos(tmp_path, {'a.png': portrait(), 'blank.png': blank()})
    once = load_source([tmp_path / 'a.png'], swapper)
    twice = load_source([tmp_path / name for name in ('a.png', 'blank.png') * 2], swapper)
    assert (twice.used, len(twice.left_out)) == (2, 2)
    np.testing.assert_allclose(vector(twice), vector(once), atol=1e-5)


def test_whoever_is_shown_beside_is_named(tmp_path, swapper, stranger):
    both = add_face(add_face(empty(), (330, 330), 200), (900, 330), 120, stranger)
    far = add_face(add_face(empty(), (330, 330), 200), (900, 330), 40, stranger)
    write_photos(tmp_path, {'both.png': both, 'far.png': far})
    assert load_source([tmp_path / 'far.png'], swapper).doubts == ()
    (doubt,) = load_source([tmp_path / 'both.png'], swapper).doubts
    assert doubt.startswith(f'{tmp_path / "both.png"}: shows 2 people, the largest face is taken')


def test_photos_of_different_people_are_named(tmp_path, stranger):
    """By the encoder that is shipped, to which weights of the generator are nothing."""
    photos = {'a.png': portrait(), 'b.png': head(), 'c.png': add_face(empty(), (640, 330), 200)}
    write_photos(tmp_path, {**photos, 'd.png': add_face(empty(), (640, 330), 200, stranger)})
    swapper = Swapper(load_bundle())
    same = load_source([tmp_path / name for name in photos], swapper)
    assert same.doubts == ()
    (doubt,) = load_source([tmp_path], swapper).doubts
    assert doubt.startswith(f'{tmp_path / "d.png"}: may be somebody else')


@pytest.mark.parametrize('roll', [90, 180])
def test_a_photo_that_lies_on_its_side(tmp_path, swapper, roll):
    upright, turned = (add_face(empty(), (640, 360), 200, roll=each) for each in (0, roll))
    write_photos(tmp_path, {'upright.png': upright, 'turned.png': turned})
    first, second = (
        load_source([tmp_path / f'{name}.png'], swapper) for name in ('upright', 'turned')
    )
    assert vector(first) @ vector(second) > 0.9
