"""Clips whose numbers are known: identical ones, faces that come and go, single pictures."""

import cv2
import numpy as np
import pytest

from apgan_jax.evaluation.clips import ClipEvaluator, FacePairFinder
from apgan_jax.evaluation.pictures import Clip, PicturePair
from apgan_jax.face.landmarks import FaceLandmarker
from apgan_jax.files.image_files import write_image
from support.evaluations import moving
from support.faces import blank, brighter

SIZE = 320


@pytest.fixture
def measure(suite, tmp_path):
    """Measures lists of pictures as one clip."""

    def write(name, pictures):
        paths = [tmp_path / f'{name}{number}.png' for number in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            write_image(path, picture)
        return paths

    def run(target, swapped, *, is_sequence=True):
        evaluator = ClipEvaluator(suite)
        evaluator.add(Clip('clip', write('t', target), write('s', swapped), is_sequence))
        return evaluator

    return run


def means(evaluator):
    return {key: value.mean for key, value in evaluator.values().items()}


def test_identical_sequences_have_no_distance(measure):
    pictures = [moving(2 * step) for step in range(4)]
    values = means(measure(pictures, pictures))
    assert values['ssim'] == pytest.approx(1)
    for key in ('aee', 'dipd', 'pose_mediapipe', 'expression_mediapipe'):
        if key in values:
            assert values[key] == pytest.approx(0, abs=1e-4)
    assert values['fwe'] == pytest.approx(values['fwe_target'])
    assert values['frechet_sface'] == pytest.approx(0, abs=1e-3)


def test_a_brighter_face_keeps_pose_and_expression_but_not_structure(measure):
    pictures = [moving(0), moving(3)]
    values = means(measure(pictures, [brighter(picture, 0.6) for picture in pictures]))
    assert values['pose_mediapipe'] < 2
    assert 0.5 < values['ssim'] < 0.95


def test_a_swapped_face_that_shakes_is_less_steady_than_its_original(measure):
    target = [moving(0)] * 4
    shaken = [moving(3 * (step % 2)) for step in range(4)]
    values = means(measure(target, shaken))
    assert values['fwe_target'] == pytest.approx(0, abs=1e-6)
    assert values['fwe'] > 0.02
    assert values['aee'] > 1


def test_frames_without_a_face_are_left_out_and_end_the_sequence(measure):
    target = [moving(0), moving(1), blank(), moving(2)]
    target[2] = cv2.resize(target[2], (SIZE, SIZE))
    (result,) = measure(target, target).results
    assert [value is None for value in result.series['ssim']] == [False, False, True, False]
    assert [value is None for value in result.series['aee']] == [True, False, True, True]


def test_a_face_that_the_swap_lost_has_no_pose_but_a_structure(measure):
    lost = [np.full_like(moving(0), 120)]
    (result,) = measure([moving(0)], lost).results
    assert result.series['pose_mediapipe'] == [None]
    assert result.series['ssim'][0] < 0.5


def test_pictures_that_stand_alone_have_no_temporal_rows(measure):
    evaluator = measure([moving(0), moving(2)], [moving(0), moving(2)], is_sequence=False)
    assert 'aee' not in evaluator.values()


def test_one_frame_has_no_temporal_value(measure):
    (result,) = measure([moving(0)], [moving(0)]).results
    assert result.series['aee'] == [None]


def test_nobody_at_all_gives_no_numbers(measure):
    assert means(measure([blank()], [blank()])) == {'frechet_sface': None}


def test_means_are_over_clips_not_over_frames(measure, suite, tmp_path):
    evaluator = ClipEvaluator(suite)
    for name, pictures in (('one', [brighter(moving(0), 0.5)]), ('other', [moving(0)] * 3)):
        target = [tmp_path / f'{name}t{n}.png' for n in range(len(pictures))]
        swapped = [tmp_path / f'{name}s{n}.png' for n in range(len(pictures))]
        for path, other, picture in zip(target, swapped, pictures, strict=True):
            write_image(path, moving(0))
            write_image(other, picture)
        evaluator.add(Clip(name, target, swapped, is_sequence=False))
    one, other = (result.means()['ssim'] for result in evaluator.results)
    assert other == pytest.approx(1)
    assert evaluator.values()['ssim'].mean == pytest.approx((one + other) / 2)
    assert evaluator.values()['ssim'].count == 4


def beside(left, right):
    """Two pictures side by side, (320, 640, 3)."""
    return np.concatenate([left, right], axis=1)


def test_a_sequence_follows_a_face_that_another_outgrows_and_single_pictures_do_not():
    small, large = moving(0), cv2.resize(moving(0)[:220, 20:240], (SIZE, SIZE))
    pictures = [beside(small, blank_square()), beside(small, large)]
    lefts = {}
    with FaceLandmarker(max_faces=4) as landmarker:
        for follows in (True, False):
            find = FacePairFinder(landmarker, follows=follows)
            found = [find(PicturePair(picture, picture)) for picture in pictures]
            lefts[follows] = [pair.target.face.landmarks[:, 0].mean() < SIZE for pair in found]
    assert lefts == {True: [True, True], False: [True, False]}


def blank_square():
    return np.full((SIZE, SIZE, 3), 120, np.uint8)


def test_a_bystander_does_not_take_the_place_of_a_face_that_is_lost_for_a_frame():
    small, large = moving(0), cv2.resize(moving(0)[:220, 20:240], (SIZE, SIZE))
    seen, lost = beside(small, blank_square()), beside(blank_square(), large)
    with FaceLandmarker(max_faces=4) as landmarker:
        find = FacePairFinder(landmarker)
        found = [find(PicturePair(picture, picture)) for picture in (seen, lost, seen)]
    assert [pair is None for pair in found] == [False, True, False]
