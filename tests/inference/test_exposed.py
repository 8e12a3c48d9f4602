"""People who are drawn in transparency, or nearly black, are found."""

import cv2
import numpy as np
import pytest

from apgan_jax.face.finding import FaceFinder
from apgan_jax.files.photos import WholePhoto
from apgan_jax.inference.exposed import exposed
from support.scenes import add_face, empty

PLACE, OTHER = (400, 320), (900, 320)


@pytest.fixture(scope='module')
def finder():
    with FaceFinder() as finder:
        yield finder


def drawn(place):
    return cv2.cvtColor(add_face(empty(), place, 200), cv2.COLOR_RGB2GRAY)


def is_found(photo, finder, place):
    faces = finder.detect(photo.rgb)
    return any(abs(face.location.centre - complex(*place)) < 60 for face in faces)


@pytest.mark.parametrize('negative', [False, True])
@pytest.mark.parametrize('also_in_colours', [False, True])
def test_who_is_drawn_in_transparency_is_found(finder, negative, also_in_colours):
    grey = drawn(PLACE)
    # Black ink, or white ink on black.
    alpha = 255 - grey if negative else grey
    ink = np.full((*grey.shape, 3), 0 if negative else 255, np.uint8)
    photo = WholePhoto(add_face(ink, OTHER, 200) if also_in_colours else ink, alpha)
    assert not is_found(photo, finder, PLACE)
    opaque, gain = exposed(photo, finder)
    assert (opaque.alpha, gain) == (None, 1.0)
    assert opaque.not_kept == ('transparency, which showed a face',)
    assert is_found(opaque, finder, PLACE)


def test_a_cut_out_keeps_its_transparency(finder):
    picture = add_face(empty(), PLACE, 200)
    alpha = np.zeros(picture.shape[:2], np.uint8)
    cv2.ellipse(alpha, PLACE, (150, 200), 0, 0, 360, 255, -1, cv2.LINE_AA)
    photo = WholePhoto(picture, alpha)
    assert exposed(photo, finder) == (photo, 1.0)


@pytest.mark.parametrize(('dtype', 'factor'), [(np.uint8, 0.1), (np.uint16, 4.0), (np.uint16, 1.0)])
def test_who_is_nearly_black_is_found(finder, dtype, factor):
    dark = (add_face(empty(), PLACE, 200) * factor).astype(dtype)
    photo = WholePhoto(dark)
    bright, gain = exposed(photo, finder)
    assert bright.pixels.dtype == dtype
    assert gain > 4
    assert is_found(bright, finder, PLACE)
    back = bright.multiplied(1 / gain).pixels
    assert np.abs(back.astype(int) - dark).max() <= 1


def test_other_photos_are_as_they_were(finder):
    photo = WholePhoto(add_face(empty(), PLACE, 200))
    assert exposed(photo, finder) == (photo, 1.0)
    black = WholePhoto(np.zeros((40, 40), np.uint16))
    assert exposed(black, finder) == (black, 1.0)
