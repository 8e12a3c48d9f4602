import json

import cv2
import numpy as np
import pytest

from apgan_jax.face import alignment
from apgan_jax.face.landmarks import five_points, location_of
from apgan_jax.face.tracking import FaceTracker
from apgan_jax.files import array_tree
from support.faces import portrait
from support.scenes import RATE, Frame, add_face, clip, empty

SPEC = alignment.CropSpec(size=128)


def follow(frames, **options):
    with FaceTracker(**options) as tracker:
        return [faces for _, faces in tracker.track(frames)]


def corners(landmarks):
    """Of the 128-px crop, in the frame."""
    crop_from_frame = alignment.estimate_crop_from_frame(five_points(landmarks), SPEC)
    square = np.array([[0, 0], [128, 0], [128, 128], [0, 128]]) - 0.5
    return alignment.transform_points(alignment.invert(crop_from_frame), square)


def shake(faces):
    return np.std([corners(face.landmarks) for face in faces], axis=0).mean()


def middle(face):
    return five_points(face.landmarks).mean(axis=0)


@pytest.mark.parametrize('places', [[(500, 330, 200)], [(330, 330, 190), (900, 350, 160)]])
def test_on_a_still_with_noise_crops_shake_a_tenth(image_landmarker, places):
    picture = empty()
    for x, y, width in places:
        add_face(picture, (x, y), width)
    frames = list(clip([picture] * 40))
    tracked = follow(frames)
    alone = [image_landmarker.detect(frame.rgb) for frame in frames]
    assert {len(faces) for faces in tracked} == {len(places)}
    for rank in range(len(places)):
        steady, raw = (
            [sorted(faces, key=lambda face: middle(face)[0])[rank] for faces in clip_faces]
            for clip_faces in (tracked, alone)
        )
        assert len({face.person for face in steady}) == 1
        assert shake(steady) < 0.1 * shake(raw)


def test_pan_zoom_and_roll_are_followed_without_lag():
    """6 px a frame to the right, 0.6 % larger and 0.4 degrees farther."""

    def picture(step):
        return add_face(empty(), (350 + 6 * step, 330), 180 * 1.006**step, roll=0.4 * step)

    faces = [found[0] for found in follow(clip([picture(step) for step in range(50)]))]
    settled = range(10, 45)
    five = np.array([five_points(faces[step].landmarks) for step in settled], np.float64)
    eyes = (five[:, 1] - five[:, 0]) @ (1, 1j)
    assert np.polyfit(settled, five[:, :, 0].mean(axis=1), 1)[0] == pytest.approx(6, abs=0.1)
    assert np.polyfit(settled, np.degrees(np.angle(eyes)), 1)[0] == pytest.approx(-0.4, abs=0.04)
    growth = np.exp(np.polyfit(settled, np.log(np.abs(eyes)), 1)[0])
    assert growth == pytest.approx(1.006, abs=0.001)


def lag(displacement, speed):
    return float(np.mean(displacement)) / speed


def test_a_turning_point_is_not_late():
    """To the right for 30 frames, then back: the turn is seen when it happens."""
    x = np.concatenate([np.arange(30), np.arange(30, 0, -1)]) * 5.0 + 400
    faces = [found[0] for found in follow(clip([add_face(empty(), (v, 330), 180) for v in x]))]
    seen = np.array([middle(face)[0] for face in faces])
    offset = np.median(seen - x)
    behind = [
        lag((x + offset - seen)[part], speed)
        for part, speed in ((slice(8, 25), 5.0), (slice(35, 55), -5.0))
    ]
    assert np.abs(behind).max() < 0.3
    assert abs(int(np.argmax(seen)) - 30) <= 1


def test_a_gap_of_three_frames_is_filled():
    pictures = [add_face(empty(), (400 + 4 * step, 330), 180) for step in range(30)]
    for step in (14, 15, 16):
        pictures[step] = np.where(pictures[step] != 90, 100, 90).astype(np.uint8)
    tracked = follow(clip(pictures))
    assert [len(faces) for faces in tracked] == [1] * 30
    assert [step for step, faces in enumerate(tracked) if faces[0].is_filled] == [14, 15, 16]
    x = [middle(faces[0])[0] for faces in tracked]
    np.testing.assert_allclose(np.diff(x)[10:20], 4, atol=1.5)
    assert {faces[0].person for faces in tracked} == {0}


def test_a_longer_gap_is_not_invented_but_the_person_is_the_same():
    face = add_face(empty(), (500, 330), 180)
    pictures = [face] * 12 + [empty()] * 9 + [face] * 12
    tracked = follow(clip(pictures))
    assert [len(faces) for faces in tracked] == [1] * 12 + [0] * 9 + [1] * 12
    assert not any(found.is_filled for faces in tracked for found in faces)
    assert {found.person for faces in tracked for found in faces} == {0}


def test_a_face_is_there_from_its_first_frame_to_its_last():
    """It comes in between two searches."""
    face = add_face(empty(), (500, 330), 180)
    tracked = follow(clip([empty()] * 8 + [face] * 10 + [empty()] * 8))
    assert [len(faces) for faces in tracked] == [0] * 8 + [1] * 10 + [0] * 8


def test_frames_without_a_face():
    assert follow(clip([empty()] * 12)) == [[]] * 12
    assert follow([]) == []


def test_nothing_goes_across_a_scene_cut():
    first = add_face(empty(40), (400, 330), 180)
    second = add_face(empty(200), (460, 330), 180)
    tracked = follow(clip([first] * 10 + [second] * 10))
    assert [len(faces) for faces in tracked] == [1] * 20
    x = np.array([middle(faces[0])[0] for faces in tracked])
    assert np.ptp(x[:10]) < 0.5
    assert np.ptp(x[10:]) < 0.5
    assert x[10] - x[9] == pytest.approx(60, abs=1.5)


@pytest.mark.parametrize('width', [60, 40])
def test_a_small_face_is_found_and_followed(width):
    pictures = [add_face(empty(), (300 + 2 * step, 400), width) for step in range(20)]
    tracked = follow(clip(pictures))
    assert [len(faces) for faces in tracked] == [1] * 20
    x = np.array([middle(faces[0])[0] for faces in tracked])
    np.testing.assert_allclose(np.diff(x).mean(), 2, atol=0.2)


def crossing(stranger):
    for step in range(45):
        picture = add_face(empty(), (250 + 16 * step, 300), 170)
        yield add_face(picture, (1000 - 16 * step, 340), 190, stranger)


def check_crossing(tracked):
    start = {face.person: middle(face)[0] for face in tracked[3]}
    end = {face.person: middle(face)[0] for face in tracked[-3]}
    assert start.keys() == end.keys()
    assert len(start) == 2
    left, right = sorted(start, key=lambda person: start[person])
    assert end[left] > end[right]


def test_two_faces_that_cross_keep_their_numbers_by_place(stranger):
    check_crossing(follow(clip(list(crossing(stranger)))))


def test_two_faces_that_cross_keep_their_numbers_by_identity(stranger, embed):
    check_crossing(follow(clip(list(crossing(stranger))), embed=embed))


def test_who_comes_back_elsewhere_is_recognised(stranger, embed):
    """One face, nobody, the other, nobody, both: at places that tell nothing."""
    one = add_face(empty(), (300, 330), 180)
    other = add_face(empty(), (700, 330), 180, stranger)
    both = add_face(add_face(empty(), (300, 330), 180, stranger), (900, 330), 180)
    gap = [empty()] * 45
    frames = clip([one] * 8 + gap + [other] * 8 + gap + [both] * 8)
    tracked = follow(frames, embed=embed)
    people = [{face.person for face in faces} for faces in tracked]
    assert people[4] == {0}
    assert people[57] == {1}
    assert {face.person: middle(face)[0] > 600 for face in tracked[-3]} == {0: True, 1: False}


def test_a_resumed_run_keeps_the_numbers(stranger, embed):
    one = add_face(empty(), (300, 330), 180)
    both = add_face(add_face(empty(), (300, 330), 180, stranger), (900, 330), 180)
    with FaceTracker(embed=embed) as tracker:
        list(tracker.track(clip([one] * 6)))
        document, arrays = array_tree.split(tracker.state())
        saved = json.dumps(document)
    with FaceTracker(embed=embed) as tracker:
        tracker.restore(array_tree.join(json.loads(saved), arrays))
        *_, (_, faces) = tracker.track(clip([empty()] * 45 + [both] * 8, start=6))
        assert sorted(tracker.people) == [0, 1]
        np.testing.assert_allclose(np.linalg.norm(tracker.people[0]), 1, rtol=1e-6)
    assert {face.person: middle(face)[0] > 600 for face in faces} == {0: True, 1: False}


def test_frames_come_in_order_and_never_later_than_the_look_ahead():
    asked = []

    def source():
        for frame in clip([add_face(empty(), (500, 330), 180)] * 12):
            asked.append(frame.number)
            yield frame

    with FaceTracker(lookahead=3) as tracker:
        for expected, (frame, faces) in enumerate(tracker.track(source())):
            assert frame.number == expected
            assert asked[-1] <= expected + 3
            assert len(faces) == 1
    assert expected == 11


def test_more_faces_than_eight_are_followed():
    places = [(x, y) for x in range(110, 1280, 210) for y in (200, 520)]
    picture = empty()
    for place in places:
        picture = add_face(picture, place, 80)
    tracked = follow(clip([picture] * 8), thorough=True)
    assert [len(faces) for faces in tracked] == [len(places)] * 8
    assert {face.person for faces in tracked for face in faces} == set(range(len(places)))


@pytest.mark.parametrize('roll', [-150, -90, 90, 180])
def test_a_turned_head_is_followed_the_right_way_round(roll):
    pictures = [add_face(empty(), (400 + 4 * step, 330), 160, roll=-roll) for step in range(14)]
    tracked = follow(clip(pictures))
    assert [len(faces) for faces in tracked] == [1] * 14
    turns = np.array([location_of(faces[0].landmarks).roll for faces in tracked])
    assert np.abs((turns - roll + 180) % 360 - 180).max() < 12


def test_a_face_wider_than_the_frame_is_followed():
    close = np.ascontiguousarray(add_face(empty(), (640, 400), 500)[:, 420:860])
    tracked = follow(clip([close] * 8))
    assert [len(faces) for faces in tracked] == [1] * 8
    assert all(abs(middle(faces[0])[0] - 220) < 60 for faces in tracked)


@pytest.mark.parametrize('x', [20, 1245])
def test_a_face_cut_by_the_border_is_followed(x):
    tracked = follow(clip([add_face(empty(), (x, 330), 180)] * 8))
    assert [len(faces) for faces in tracked] == [1] * 8


def test_a_far_face_beside_a_near_one_is_found_where_everything_is_searched():
    """40 px in 2560: not to be seen at a glance."""
    picture = add_face(add_face(empty(), (300, 330), 180), (1000, 350), 20)
    frames = [cv2.resize(picture, None, fx=2, fy=2)] * 6
    assert [len(faces) for faces in follow(clip(frames), thorough=True)] == [2] * 6


def test_a_face_has_a_box():
    frame = Frame(portrait(), 0.0, 0)
    ((face,),) = follow([frame])
    left, top, right, bottom = face.box
    assert 80 < right - left < 100
    assert left < 224 < right
    assert top < 122 < bottom


def test_an_impossible_lookahead_is_refused():
    with pytest.raises(ValueError, match='1 or more'):
        FaceTracker(lookahead=0)


def test_time_that_stands_still_is_no_trouble():
    picture = add_face(empty(), (500, 330), 180)
    frames = [Frame(picture, 1 / RATE, number) for number in range(4)]
    assert [len(faces) for faces in follow(frames)] == [1] * 4
