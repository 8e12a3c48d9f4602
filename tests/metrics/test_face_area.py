"""The fixed area about a face, and where its sequence begins and ends."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.metrics.face_area import FaceArea, FaceSequence, place_of

SIZE = (90, 120)
FACE = (40, 30, 20, 30)


def frame(value=0, size=SIZE):
    return np.full((*size, 3), value, np.uint8)


def test_area_is_the_place_enlarged_about_its_centre():
    assert FaceArea.around(FACE, SIZE) == FaceArea(left=38, top=27, right=62, bottom=63)
    assert FaceArea.around((10.4, 20.2, 7, 5), SIZE) == FaceArea(10, 20, 18, 26)


@pytest.mark.parametrize(
    ('place', 'area'),
    [
        ((-5, -5, 20, 20), (0, 0, 17, 17)),
        ((110, 80, 20, 20), (108, 78, 120, 90)),
        ((0, 0, 120, 90), (0, 0, 120, 90)),
    ],
)
def test_area_is_clipped_to_the_frame(place, area):
    assert FaceArea.around(place, SIZE) == FaceArea(*area)


def test_place_outside_the_frame_has_no_area():
    assert FaceArea.around((200, 10, 20, 20), SIZE) is None


def test_cut_is_the_area_of_the_frame():
    picture = np.arange(90 * 120 * 3, dtype=np.uint32).reshape(90, 120, 3)
    cut = FaceArea(38, 27, 62, 63).cut(picture)
    np.testing.assert_array_equal(cut, picture[27:63, 38:62])


def test_iou_of_known_rectangles():
    area = FaceArea(0, 0, 10, 10)
    assert area.iou((0, 0, 10, 10)) == 1
    assert area.iou((5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert area.iou((0, 0, 5, 5)) == pytest.approx(1 / 4)
    assert area.iou((10, 0, 10, 10)) == 0
    assert area.iou((20, 20, 10, 10)) == 0
    # The part outside the frame counts.
    assert area.iou((-10, 0, 20, 10)) == pytest.approx(1 / 2)


def test_sequence_begins_with_the_first_face_and_keeps_its_area():
    sequence = FaceSequence()
    assert sequence.add(frame(1), frame(2), None) is None
    assert not sequence.ended
    for dx in (0, 3, 6):
        target, swapped = sequence.add(frame(1), frame(2), (40 + dx, 30, 20, 30))
        assert sequence.area == FaceArea(38, 27, 62, 63)
        assert target.shape == swapped.shape == (36, 24, 3)
        assert (target == 1).all()
        assert (swapped == 2).all()


def test_sequence_ends_where_the_face_leaves_the_area():
    # The area has 864 square pixels, the face 600. Moved by 12 px it shares 10 × 30 with the area,
    # 300 / 1164 = 0.258; by 13 px 270 / 1194 = 0.226.
    sequence = FaceSequence()
    shares = [sequence.add(frame(), frame(), (40 + dx, 30, 20, 30)) for dx in (0, 12, 13, 0)]
    assert [share is not None for share in shares] == [True, True, False, False]
    assert sequence.ended


def test_sequence_ends_where_there_is_no_face():
    sequence = FaceSequence()
    shares = [sequence.add(frame(), frame(), place) for place in (FACE, None, FACE)]
    assert [share is not None for share in shares] == [True, False, False]
    assert sequence.ended


def test_videos_of_two_sizes_are_refused():
    with pytest.raises(UserError, match='80x60 in videos of 120x90'):
        FaceSequence().add(frame(), frame(size=(60, 80)), None)
    sequence = FaceSequence()
    sequence.add(frame(), frame(), FACE)
    with pytest.raises(UserError, match='80x60 in videos of 120x90'):
        sequence.add(frame(size=(60, 80)), frame(size=(60, 80)), FACE)


def test_place_of_landmarks_is_the_bounding_box_of_the_mesh():
    points = np.random.default_rng(0).uniform(10, 50, (478, 2)).astype(np.float32)
    points[0], points[1] = (5, 60), (70, 8)
    points[470] = (0, 0)
    np.testing.assert_array_equal(place_of(points), [5, 8, 65, 52])
