import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face import tracking
from apgan_jax.face.detection import YUNET, FaceDetector, SmallFaceDetector
from apgan_jax.face.landmarks import MODEL_FILE_VARIABLE
from support.scenes import add_face, empty


@pytest.fixture(scope='module')
def small_faces():
    return SmallFaceDetector()


def centres(places):
    return np.array([[place.centre.real, place.centre.imag] for place in places])


def places_of(detections):
    return [found.location for found in detections]


@pytest.mark.parametrize('width', [32, 60, 200])
def test_faces_small_and_large_are_found_where_they_are(small_faces, width):
    (place,) = places_of(small_faces.glance(add_face(empty(), (400, 300), width)))
    np.testing.assert_allclose(centres([place]), [[400, 300]], atol=0.25 * width)
    assert 0.6 * width < place.size < 1.8 * width


def test_two_small_faces(small_faces):
    picture = add_face(add_face(empty(), (300, 300), 50), (900, 400), 70)
    found = sorted(centres(places_of(small_faces.glance(picture))).tolist())
    np.testing.assert_allclose(found, [[300, 300], [900, 400]], atol=15)


def test_upright_and_tiny_frames(small_faces):
    upright = np.ascontiguousarray(add_face(empty(), (640, 360), 90)[:, 380:785])
    np.testing.assert_allclose(
        centres(places_of(small_faces.glance(upright))), [[260, 360]], atol=15
    )
    assert small_faces.glance(np.zeros((2, 3, 3), np.uint8)) == []


def test_no_face_no_place(small_faces):
    assert small_faces.glance(empty()) == []
    with FaceDetector() as detector:
        assert detector.detect(empty()) == []


def test_mediapipes_detector_finds_all_that_are_large():
    picture = add_face(add_face(empty(), (330, 330), 190), (900, 350), 160)
    with FaceDetector() as detector:
        places = detector.detect(picture)
    found = sorted(centres(places).tolist())
    np.testing.assert_allclose(found, [[330, 330], [900, 350]], atol=40)


def test_without_yunet_large_faces_are_followed_and_it_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(YUNET.variable, str(tmp_path / 'none.onnx'))
    with pytest.raises(UserError, match=r'none\.onnx.*pip install'):
        SmallFaceDetector()
    with tracking.FaceTracker() as tracker:
        assert list(tracker.track([])) == []
    assert [record.message for record in caplog.records if 'small faces' in record.message]


def test_another_file_is_refused(tmp_path):
    other = tmp_path / YUNET.name
    other.write_bytes(b'not the model')
    with pytest.raises(UserError, match='sha256'):
        SmallFaceDetector(other)


def test_a_missing_landmark_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(MODEL_FILE_VARIABLE, str(tmp_path / 'none.task'))
    with pytest.raises(UserError, match=r'none\.task.*pip install'):
        FaceDetector()


@pytest.mark.parametrize(('height', 'size'), [(9000, 190), (16_000, 260), (16_000, 380)])
def test_faces_of_every_size_are_found_in_a_long_picture(small_faces, height, size):
    picture = np.full((height, 1280, 3), 128, np.uint8)
    tops = range(100, height - 720, 3000)
    for top in tops:
        picture[top : top + 720] = add_face(empty(), (640, 330), size)
    found = [found.location for found in small_faces.search(picture)]
    for top in tops:
        place = complex(640, top + 330)
        assert sum(abs(each.centre - place) < 0.3 * size for each in found) == 1
