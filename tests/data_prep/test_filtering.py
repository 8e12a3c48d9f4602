"""Clear faces of adults are kept; every reason to leave one out, on a picture made for it."""

import dataclasses

import cv2
import numpy as np
import pytest

from apgan_jax.face import landmarks
from data_prep import sources
from data_prep.filtering import FaceFilter, FaceRules, outline_outside, outside_share
from support.faces import blank, brighter, head, portrait, turned, write_photos


@pytest.fixture(scope='module')
def clear_filter():
    with FaceFilter(FaceRules(clear=True)) as face_filter:
        yield face_filter


@pytest.fixture
def fault_of(clear_filter, image_landmarker):
    def find(photo):
        face = landmarks.largest(image_landmarker.detect(photo))
        return clear_filter.fault_of(photo, face)

    return find


@pytest.fixture
def fault_of_covered(clear_filter, image_landmarker):
    """The fault of a picture of which only the bare face's landmarks are known."""

    def find(covered):
        face = landmarks.largest(image_landmarker.detect(head()))
        return clear_filter.fault_of(covered, face)

    return find


# --- Clear faces ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'photo',
    [portrait(), head(), head()[:, ::-1], brighter(head(), 0.6), brighter(head(), 1.3)],
    ids=['portrait', 'head', 'mirrored', 'darker', 'brighter'],
)
def test_a_clear_face_is_kept(photo, fault_of):
    assert fault_of(np.ascontiguousarray(photo)) is None


def test_size_of_the_photo_does_not_matter(fault_of):
    assert fault_of(cv2.resize(head(), None, fx=3, fy=3)) is None


def test_blurred(fault_of):
    assert fault_of(cv2.GaussianBlur(head(), (0, 0), 3)).startswith('blurred: 0.00')


def test_turned_away(clear_filter, image_landmarker):
    (face,) = image_landmarker.detect(head())
    away = dataclasses.replace(face, pose_matrix=turned(60))
    assert clear_filter.fault_of(head(), away) == 'turned away: 60 > 40 degrees'


def test_cut_by_the_border(fault_of):
    left, top = 60, 40
    assert fault_of(np.ascontiguousarray(head()[top:180, left:165])).startswith('cut by the border')


@pytest.fixture(scope='module')
def face_crop_filter():
    with FaceFilter(FaceRules(clear=True), crop='face-v1') as face_filter:
        yield face_filter


def close_about(face, *, room):
    """The head's photo cut `room` pixels beyond the mesh, and the face in what is left."""
    left, top = np.floor(face.landmarks[:468].min(axis=0)).astype(int) - room
    right, bottom = np.ceil(face.landmarks[:468].max(axis=0)).astype(int) + 1 + room
    photo = np.ascontiguousarray(head()[top:bottom, left:right])
    return photo, dataclasses.replace(face, landmarks=face.landmarks - np.float32([left, top]))


def test_a_photo_that_ends_with_the_face_will_do_for_a_face_crop(
    image_landmarker, clear_filter, face_crop_filter
):
    (face,) = image_landmarker.detect(head())
    photo, close = close_about(face, room=0)
    assert clear_filter.fault_of(photo, close).startswith('cut by the border')
    fault = face_crop_filter.fault_of(photo, close)
    assert fault is None or not fault.startswith('cut by the border')
    assert face_crop_filter.fault_of(head(), face) is None


def test_a_photo_that_cuts_the_face_will_not(image_landmarker, face_crop_filter):
    (face,) = image_landmarker.detect(head())
    photo, cut = close_about(face, room=-4)
    assert face_crop_filter.fault_of(photo, cut) == (
        'cut by the border: part of the face mesh is outside'
    )


def test_how_much_of_an_outline_is_outside(image_landmarker):
    (face,) = image_landmarker.detect(head())
    assert outline_outside(face.landmarks, head().shape[:2]) == 0
    photo, close = close_about(face, room=0)
    share = outline_outside(close.landmarks, photo.shape[:2])
    assert 0.05 < share < 0.15
    # Half of the face: its left one lies beyond the photo's left edge.
    middle = close.landmarks - np.float32([close.landmarks[:, 0].mean(), 0])
    assert outline_outside(middle, photo.shape[:2]) == pytest.approx(0.5 + share / 2, abs=0.06)


@pytest.mark.parametrize('shift, share', [(0, 0), (40, 0.25), (160, 1)])
def test_the_share_outside(shift, share):
    crop_from_frame = np.array([[1.0, 0, shift], [0, 1, 0]])
    assert outside_share(crop_from_frame, (160, 160)) == pytest.approx(share, abs=0.01)


def test_dark_glasses(image_landmarker, fault_of_covered):
    (face,) = image_landmarker.detect(head())
    glasses = head().copy()
    for x, y in face.five_points[:2]:
        cv2.circle(glasses, (round(float(x)), round(float(y))), 20, (10, 10, 10), cv2.FILLED)
    assert fault_of_covered(glasses).startswith('eyes in the dark')


def test_a_covered_face(image_landmarker, fault_of_covered):
    (face,) = image_landmarker.detect(head())
    x, y = face.five_points[2:].mean(axis=0)
    covered = head().copy()
    cv2.circle(covered, (round(float(x)), round(float(y))), 42, (120, 90, 70), cv2.FILLED)
    assert fault_of_covered(covered).startswith(('covered or unclear', 'unsure landmarks'))


def test_nothing_is_asked_by_default(portrait_face):
    with FaceFilter(FaceRules()) as face_filter:
        assert face_filter.fault_of(blank(), portrait_face) is None


# --- The command ----------------------------------------------------------------------------------


def test_the_command_counts_reasons_and_another_build_takes_its_list(tmp_path, capsys):
    build = pytest.importorskip('data_prep.build', exc_type=ImportError)
    blurred = cv2.GaussianBlur(cv2.resize(head(), None, fx=2, fy=2), (0, 0), 8)
    photos = write_photos(tmp_path / 'photos', {'a.png': head(), 'blurred.png': blurred})
    output = tmp_path / 'out'
    arguments = [f'--source=folder:{photos}', '--size=64']
    assert build.main([*arguments, f'--output={output}', '--clear']) == 0
    said = capsys.readouterr().out
    assert '1 records of 2 photos' in said
    assert 'rejected, blurred: 1' in said
    listed = sources.list_photos([f'folder:{photos}'], rejected=output / 'rejected.tsv')
    assert [photo.file_name for photo in listed] == ['a.png']
