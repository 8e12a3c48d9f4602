import dataclasses
import os

import cv2
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face import landmarks
from support.faces import EYES, blank, head, portrait


def test_the_portrait(portrait_face):
    points = portrait_face.landmarks
    assert points.shape == (478, 2)
    assert points.dtype == np.float32
    np.testing.assert_allclose(portrait_face.five_points[:2], EYES, atol=3)
    assert 80 < portrait_face.width < 100
    assert portrait_face.pose_matrix.shape == (4, 4)
    np.testing.assert_array_equal(portrait_face.pose_matrix[3], [0, 0, 0, 1])
    assert len(portrait_face.blendshapes) == 52
    assert portrait_face.blendshapes['mouthSmileLeft'] > 0.5


def test_left_is_the_viewers_left_and_irises_are_in_their_eyes(portrait_face):
    points = portrait_face.landmarks
    left_eye, right_eye, nose, left_corner, right_corner = portrait_face.five_points
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_corner[0] < nose[0] < right_corner[0]
    assert left_eye[1] < nose[1] < left_corner[1]
    for contour, iris in (
        (landmarks.LEFT_EYE, landmarks.LEFT_IRIS),
        (landmarks.RIGHT_EYE, landmarks.RIGHT_IRIS),
    ):
        low, high = points[list(contour)].min(axis=0), points[list(contour)].max(axis=0)
        assert (low < points[iris[0]]).all()
        assert (points[iris[0]] < high).all()


def test_five_points_by_hand():
    points = np.zeros((478, 2), np.float32)
    points[list(landmarks.LEFT_EYE)] = (10, 20)
    points[list(landmarks.RIGHT_EYE)] = (30, 20)
    points[1], points[61], points[291] = (20, 30), (12, 40), (28, 40)
    expected = [[10, 20], [30, 20], [20, 30], [12, 40], [28, 40]]
    np.testing.assert_array_equal(landmarks.five_points(points), expected)


def test_pixels_do_not_depend_on_the_size_of_the_frame(image_landmarker, portrait_face):
    (face,) = image_landmarker.detect(portrait()[:300, 60:420])
    expected = portrait_face.five_points - np.array([60, 0])
    np.testing.assert_allclose(face.five_points, expected, atol=2)


def test_the_larger_of_two_faces(image_landmarker):
    frame = np.full((300, 560, 3), 120, np.uint8)
    frame[30:262, 330:550] = head()
    frame[60:234, 60:225] = cv2.resize(head(), (165, 174), interpolation=cv2.INTER_AREA)
    faces = image_landmarker.detect(frame)
    assert len(faces) == 2
    found = landmarks.largest(faces)
    assert found.landmarks[:, 0].min() > 330
    assert found.area == max(face.area for face in faces)


def test_area_and_width_leave_the_irises_out():
    points = np.zeros((478, 2), np.float32)
    points[0], points[1], points[470] = (2, 3), (12, 8), (1000, 1000)
    points[2:468] = (5, 5)
    face = landmarks.Face(points, np.eye(4), {})
    assert (face.width, face.area) == (10, 50)
    smaller = dataclasses.replace(face, landmarks=points / 2)
    assert landmarks.largest([smaller, face]) is face
    assert landmarks.largest([]) is None


def test_no_face_in_a_blank_image(image_landmarker):
    assert image_landmarker.detect(blank()) == []


@pytest.mark.parametrize('view', ['reversed', 'cut'])
def test_rows_that_are_not_contiguous_are_read_right(image_landmarker, portrait_face, view):
    if view == 'reversed':
        image = np.ascontiguousarray(portrait()[:, ::-1])[:, ::-1]
    else:
        padded = np.zeros((512, 700, 3), np.uint8)
        padded[:, :512] = portrait()
        image = padded[:, :512]
    assert not image.flags.c_contiguous
    (face,) = image_landmarker.detect(image)
    np.testing.assert_array_equal(face.landmarks, portrait_face.landmarks)


def test_video_mode_takes_repeated_and_earlier_times(portrait_face):
    with landmarks.FaceLandmarker(video=True) as landmarker:
        for time_seconds in (0.0, 0.0, 0.04, 0.04, 0.01, None):
            (face,) = landmarker.detect(portrait(), time_seconds)
            np.testing.assert_allclose(face.five_points, portrait_face.five_points, atol=3)


def test_a_missing_model_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'none\.task.*pip install'):
        landmarks.find_model_file(tmp_path / 'none.task')


def test_a_missing_model_file_of_the_environment_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(landmarks.MODEL_FILE_VARIABLE, str(tmp_path / 'none.task'))
    with pytest.raises(UserError, match=r'none\.task.*pip install'):
        landmarks.find_model_file()


def test_another_file_of_the_same_name_is_refused(tmp_path):
    other = tmp_path / landmarks.MODEL_FILE_NAME
    other.write_bytes(b'not the model')
    with pytest.raises(UserError, match=r'sha256.*face_landmarker\.task') as caught:
        landmarks.FaceLandmarker(model_file=other)
    assert '\n' not in str(caught.value)


def test_the_environment_goes_before_the_package(tmp_path, monkeypatch):
    copy = tmp_path / 'model.task'
    copy.write_bytes(landmarks.find_model_file().read_bytes())
    monkeypatch.setenv(landmarks.MODEL_FILE_VARIABLE, str(copy))
    assert landmarks.find_model_file() == copy


def test_mediapipe_does_not_chatter(capfd):
    with landmarks.FaceLandmarker() as landmarker:
        landmarker.detect(portrait())
    assert capfd.readouterr().err == ''


def test_other_lines_are_shown_afterwards(capfd):
    ours = b'WARNING corrupt record\n 50%|###  | 5/10'
    with pytest.raises(ValueError, match='whatever'), landmarks.without_chatter():
        os.write(2, b'W0000 00:00:1795810135.395766   25130 x.cc:153] Feedback manager\n')
        os.write(2, b'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n' + ours)
        raise ValueError('whatever')
    assert capfd.readouterr().err == ours.decode()
