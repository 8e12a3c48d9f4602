import cv2
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.inference.sources import load_source
from apgan_jax.inference.swapper import Swapper
from support.faces import blank, head, portrait, write_photos


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
    assert source.left_out[0] == f'{folder / "blank.png"}: no face'
    assert source.left_out[1].endswith('blurred, taken for want of a better one')


def test_nobody_is_refused(folder, swapper):
    with pytest.raises(UserError, match=r'blank\.png: no face found'):
        load_source([folder / 'blank.png'], swapper)
