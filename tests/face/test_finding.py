"""Every face of a picture: groups, far ones, close-ups, at the border, and turned heads."""

import cv2
import numpy as np
import pytest

from apgan_jax.face.finding import FaceFinder, FaceReader
from apgan_jax.face.locations import Location
from support.scenes import add_face, empty


@pytest.fixture(scope='module')
def finder():
    with FaceFinder() as finder:
        yield finder


def centres(faces):
    return [(face.location.centre.real, face.location.centre.imag) for face in faces]


def test_more_faces_than_the_landmarker_looks_for_at_once_from_the_left(finder):
    places = [(x, y) for x in range(110, 1280, 210) for y in (140, 380, 600)]
    picture = empty()
    for place in places:
        picture = add_face(picture, place, 70)
    found = finder.find(picture)
    assert len(found.faces) == len(places) == 18
    assert found.unread == []
    assert [x for x, _ in centres(found.faces)] == sorted(x for x, _ in centres(found.faces))
    for place in places:
        assert sum(abs(face.location.centre - complex(*place)) < 25 for face in found.faces) == 1


@pytest.mark.parametrize('place', [(300, 300), (638, 360), (1200, 650)])
def test_a_far_face_is_found_at_full_size(finder, place):
    """30 px in 2560: 7 px at the width of a glance, and somewhere on the edges of tiles."""
    picture = cv2.resize(add_face(empty(), place, 15), None, fx=2, fy=2)
    found = finder.find(picture)
    assert len(found.faces) + len(found.unread) == 1
    if found.faces:
        np.testing.assert_allclose(centres(found.faces), [np.multiply(place, 2)], atol=12)


def test_a_face_wider_than_the_picture_is_read(finder):
    close = add_face(empty(), (640, 400), 500)[:, 420:860]
    (face,) = finder.detect(np.ascontiguousarray(close))
    assert face.location.size > 440
    assert abs(face.location.centre - complex(220, 400)) < 60


@pytest.mark.parametrize('roll', [-150, -90, -40, 0, 40, 90, 150, 180])
def test_turned_heads_are_read_upright(finder, roll):
    picture = add_face(empty(), (640, 360), 160, roll=-roll)
    (face,) = finder.detect(picture)
    assert abs((face.location.roll - roll + 180) % 360 - 180) < 12
    upright = finder.detect(add_face(empty(), (640, 360), 160))[0].landmarks - (640, 360)
    angle = np.radians(roll)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = upright @ turn.T + (640, 360)
    assert np.abs(face.landmarks - turned).mean() < 0.04 * face.location.size


def test_a_turned_head_keeps_its_pose_relative_to_the_camera(portrait_face):
    with FaceReader(expressions=True) as reader:
        size, middle = 200.0, complex(640, 360)
        straight = reader.read(add_face(empty(), (640, 360), 160), Location(middle, size))
        turned = reader.read(
            add_face(empty(), (640, 360), 160, roll=-90), Location(middle, size, 90.0)
        )
    # The same angle between where it looks and the camera, its own upward axis at the side.
    np.testing.assert_allclose(turned.pose_matrix[2, :3], straight.pose_matrix[2, :3], atol=0.15)
    assert straight.pose_matrix[1, 1] > 0.8
    assert turned.pose_matrix[0, 1] > 0.8


def test_nothing_is_found_where_nothing_is(finder):
    found = finder.find(empty())
    assert found == ([], [])
    assert finder.detect(np.zeros((2, 3, 3), np.uint8)) == []
    with FaceReader() as reader:
        assert reader.read(empty(), Location(complex(500, 300), 80)) is None
        # Far outside.
        assert reader.read(empty(), Location(complex(-900, 5000), 80)) is None


def test_a_reader_takes_the_face_that_was_asked_for():
    picture = add_face(add_face(empty(), (500, 360), 110), (660, 360), 110)
    with FaceReader() as reader:
        for x in (500, 660):
            face = reader.read(picture, Location(complex(x, 360), 130))
            assert abs(face.location.centre.real - x) < 30
