"""Where the frame's detail fits a generated face."""

import cv2
import numpy as np
import pytest

from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.detail import agreement
from support.faces import portrait

SIZE = 128


@pytest.fixture(scope='module')
def crop(portrait_face):
    return align_face(portrait(), portrait_face.landmarks, CropSpec(size=SIZE)).crop


def edge(column, low=60, high=180):
    picture = np.full((SIZE, SIZE, 3), low, np.uint8)
    picture[:, column:] = high
    return picture


def test_a_picture_agrees_with_itself(crop):
    found = agreement(crop, crop)
    assert (found.shape, found.dtype) == ((SIZE, SIZE), np.float32)
    np.testing.assert_allclose(found, 1, atol=1e-5)


def test_flat_pictures_agree_whatever_their_colours():
    flat = np.full((SIZE, SIZE, 3), (200, 150, 120), np.uint8)
    np.testing.assert_allclose(agreement(flat, flat // 2), 1, atol=1e-5)


def test_an_edge_that_only_one_has_does_not_agree():
    flat = np.full((SIZE, SIZE, 3), 60, np.uint8)
    for pair in ((edge(64), flat), (flat, edge(64))):
        found = agreement(*pair)[64]
        assert found[62:66].max() < 0.15
        assert found[:50].min() > 0.99


def test_opposite_edges_disagree_and_weaker_ones_agree_in_part():
    assert agreement(edge(64), edge(64, 180, 60))[64, 62:66].max() == 0
    weaker = agreement(edge(64), edge(64, 60, 100))[64, 62:66]
    assert weaker.min() > 0.4 and weaker.max() < 0.8


def test_it_is_the_same_at_another_size(crop):
    other = cv2.GaussianBlur(crop[:, ::-1], (0, 0), 2)
    large = [cv2.resize(each, (256, 256), interpolation=cv2.INTER_CUBIC) for each in (crop, other)]
    halved = cv2.resize(agreement(*large), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert np.abs(halved - agreement(crop, other)).mean() < 0.05
