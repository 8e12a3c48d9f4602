"""Areas of a real face: what is in them and what is not, wherever the face is."""

import numpy as np
import pytest

from apgan_jax.face import areas
from apgan_jax.face.drawing import filled
from support.faces import portrait

CHIN, NOSE, BROW, FOREHEAD, EAR = 152, 1, 105, 10, 454


def holds(mask, points, landmark):
    x, y = np.rint(points[landmark]).astype(int)
    return bool(mask[y, x])


@pytest.fixture(scope='module')
def points(portrait_face):
    return portrait_face.landmarks


def test_polygons_are_filled_once_and_clipped():
    square = np.array([[2, 1], [5, 1], [5, 3], [2, 3]], np.float32)
    mask = filled([square, square, square + 100], (6, 8))
    assert mask.shape == (6, 8) and mask.dtype == bool
    assert mask[1:4, 2:6].all() and mask.sum() == 12
    assert filled([square], 8).shape == (8, 8)


def test_the_inner_face_leaves_out_its_rim(points):
    mask = areas.inner_face(points, portrait().shape[:2])
    assert holds(mask, points, NOSE) and holds(mask, points, BROW)
    assert not any(holds(mask, points, rim) for rim in (CHIN, FOREHEAD, EAR))
    # Half of the mesh's box or more, and no more than an ellipse in it.
    box = np.prod(np.ptp(points[:468], axis=0))
    assert 0.5 * box < mask.sum() < np.pi / 4 * box


def test_the_forehead_begins_above_the_brows(points):
    mask = areas.forehead_band(points, portrait().shape[:2])
    assert holds(mask, points, FOREHEAD) and holds(mask, points, 151)
    assert not any(holds(mask, points, other) for other in (BROW, 334, NOSE, CHIN))
    above = points[FOREHEAD] - (points[NOSE] - points[FOREHEAD]) / 8
    assert mask[round(float(above[1])), round(float(above[0]))]


@pytest.mark.parametrize('area', [areas.inner_face, areas.forehead_band])
def test_areas_grow_with_the_face(area, points):
    height, width = portrait().shape[:2]
    before = area(points, (height, width)).sum()
    assert area(2 * points, (2 * height, 2 * width)).sum() == pytest.approx(4 * before, rel=0.1)


def test_areas_turn_with_the_face(points):
    shape, middle = portrait().shape[:2], points.mean(axis=0)
    upright = areas.inner_face(points, shape).sum()
    for degrees in (-90, 30, 180):
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turned = (points - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle
        assert areas.inner_face(turned, shape).sum() == pytest.approx(upright, rel=0.03)
        assert holds(areas.forehead_band(turned, shape), turned, 151)
        assert not holds(areas.forehead_band(turned, shape), turned, BROW)


def test_a_face_off_the_picture_has_no_area(points):
    for area in (areas.inner_face, areas.forehead_band):
        assert not area(points + 5000, 64).any()
