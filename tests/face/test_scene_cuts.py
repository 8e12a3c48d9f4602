"""A cut is a large change of the whole, at once."""

import numpy as np
import pytest

from apgan_jax.face.scene_cuts import is_another, opens_scene, scene_thumbnail
from support.scenes import add_face, empty


@pytest.mark.parametrize('shape', [(720, 1280, 3), (90, 160, 3), (7, 5, 3)])
def test_thumbnails_have_one_size(shape):
    small = scene_thumbnail(np.full(shape, 77, np.uint8))
    assert small.shape == (45, 80)
    assert (small == 77).all()


def test_the_first_frame_and_another_picture_open_a_scene():
    first, second = (scene_thumbnail(empty(level)) for level in (40, 90))
    assert opens_scene(np.zeros(0, np.uint8), first)
    assert opens_scene(first, second)


def test_a_face_that_moves_does_not():
    first, second = (scene_thumbnail(add_face(empty(), (x, 330), 200)) for x in (500, 560))
    assert not opens_scene(first, second)


def test_a_part_may_be_cut():
    before = empty(90)
    now = before.copy()
    now[100:300, 200:400] = 180
    small = [scene_thumbnail(each) for each in (before, now)]
    assert not opens_scene(*small)
    assert is_another(*small, (200, 100, 400, 300), now.shape)
    assert is_another(*small, (290, 190, 292, 192), now.shape)
    assert not is_another(*small, (600, 100, 800, 300), now.shape)
    # Beyond the picture there is nothing.
    assert not is_another(*small, (1300, 100, 1400, 300), now.shape)
    assert is_another(*small, (-100, -100, 390, 290), now.shape)
