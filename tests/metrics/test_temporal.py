"""AEE and FWE of sequences whose answers are known."""

import dataclasses
import itertools
import os

import cv2
import numpy as np
import pytest

from apgan_jax.face import landmarks
from apgan_jax.metrics.face_area import FaceSequence, place_of
from apgan_jax.metrics.temporal import TemporalErrors, TemporalMeter
from apgan_jax.networks.flow import DisFlow
from apgan_jax.networks.network import NetworkInfo, data_folder
from apgan_jax.video.reader import VideoReader

UNDEFINED = TemporalErrors(aee=None, fwe=None, fwe_short=None, fwe_long=None, fwe_target=None)
SIZE = (41, 57)


class ExactFlow:
    """The flow of pictures whose position is known; counts how often it is asked."""

    info = NetworkInfo('exact', '', '')

    def __init__(self):
        self.calls = 0
        self._positions = {}

    def place(self, picture, position):
        self._positions[picture.tobytes()] = np.array(position)
        return picture

    def __call__(self, image, other):
        self.calls += 1
        moved = self._positions[other.tobytes()] - self._positions[image.tobytes()]
        return np.broadcast_to(np.float32(moved), (*image.shape[:2], 2)).copy()


def mean_errors(errors):
    """Of a sequence: the mean over the frames for which each error is defined (eq. 15)."""
    frames = [each for each in errors if each is not None]
    names = [field.name for field in dataclasses.fields(TemporalErrors)]
    defined = {
        name: [value for each in frames if (value := getattr(each, name)) is not None]
        for name in names
    }
    return TemporalErrors(
        **{name: sum(values) / len(values) if values else None for name, values in defined.items()}
    )


def scene(seed=0, high=200):
    noise = np.random.default_rng(seed).random((120, 160, 3), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return cv2.normalize(smooth, None, 20, high, cv2.NORM_MINMAX).astype(np.uint8)


def moving(picture, velocity, count):
    """`count` frames in which the scene moves by `velocity` (x, y) px a frame, with positions."""
    height, width = SIZE
    for t in range(count):
        x, y = t * velocity[0], t * velocity[1]
        yield picture[40 - y : 40 - y + height, 60 - x : 60 - x + width].copy(), (x, y)


def measure(flow, targets, swaps):
    meter = TemporalMeter(flow)
    return [meter.add(*pair) for pair in zip(targets, swaps, strict=True)]


def placed(flow, frames):
    return [flow.place(picture, position) for picture, position in frames]


def test_identical_sequences_have_no_endpoint_error_and_the_targets_warping_error():
    frames = [picture for picture, _ in moving(scene(), (2, 1), 4)]
    frames = [cv2.GaussianBlur(frame, (0, 0), 0.3 + t) for t, frame in enumerate(frames)]
    first, *others = measure(DisFlow(), frames, frames)
    assert first is None
    for errors in others:
        assert errors.aee == 0
        assert errors.fwe == errors.fwe_target > 0
        assert errors.fwe == errors.fwe_short + errors.fwe_long


def test_static_sequences_have_no_errors():
    target, swapped = scene()[:33, :45], scene(1)[:33, :45]
    errors = mean_errors(measure(DisFlow(), [target] * 4, [swapped] * 4))
    assert errors == TemporalErrors(aee=0, fwe=0, fwe_short=0, fwe_long=0, fwe_target=0)


def test_a_swap_that_moves_with_the_original_has_no_errors():
    flow = ExactFlow()
    targets = placed(flow, moving(scene(), (3, -2), 5))
    swaps = placed(flow, moving(scene(1), (3, -2), 5))
    errors = mean_errors(measure(flow, targets, swaps))
    assert errors == TemporalErrors(aee=0, fwe=0, fwe_short=0, fwe_long=0, fwe_target=0)


def test_dis_finds_next_to_no_errors_where_there_are_none():
    targets = [picture for picture, _ in moving(scene(), (2, -1), 5)]
    swaps = [picture for picture, _ in moving(scene(1), (2, -1), 5)]
    errors = mean_errors(measure(DisFlow(), targets, swaps))
    assert errors.aee < 0.35
    assert errors.fwe_target < 0.01
    assert errors.fwe < 0.02


@pytest.mark.parametrize(('velocity', 'expected'), [((5, 1), 3), ((-1, 5), 5), ((2, 1), 0)])
def test_endpoint_error_is_the_difference_of_speeds(velocity, expected):
    flow = ExactFlow()
    targets = placed(flow, moving(scene(), (2, 1), 4))
    swaps = placed(flow, moving(scene(1), velocity, 4))
    for errors in measure(flow, targets, swaps)[1:]:
        assert errors.aee == pytest.approx(expected)


def test_warping_error_of_a_flicker_is_its_amplitude():
    flow = ExactFlow()
    frames = list(moving(scene(), (2, 1), 5))
    targets = placed(flow, frames)
    amplitudes = [0, 30, 0, 30, 10]
    swaps = [
        flow.place(picture + np.uint8(amplitude), position)
        for (picture, position), amplitude in zip(frames, amplitudes, strict=True)
    ]
    errors = measure(flow, targets, swaps)[1:]
    short, long = ([getattr(each, name) for each in errors] for name in ('fwe_short', 'fwe_long'))
    np.testing.assert_allclose(short, np.array([30, 30, 30, 20]) / 255, rtol=1e-5)
    np.testing.assert_allclose(long, np.array([30, 0, 30, 10]) / 255, rtol=1e-5, atol=1e-8)
    mean = mean_errors(errors)
    assert mean.fwe == pytest.approx((110 + 70) / 4 / 255, rel=1e-5)
    assert (mean.aee, mean.fwe_target) == (0, 0)


def test_what_moved_out_of_the_area_leaves_the_frame_out():
    flow = ExactFlow()
    targets = placed(flow, moving(scene(), (20, 0), 4))
    one, two, three = measure(flow, targets, targets)[1:]
    assert one.fwe == two.fwe == 0
    # 60 px from the first frame, 57 px wide: nothing of it is left.
    assert (three.aee, three.fwe_short, three.fwe_long, three.fwe) == (0, 0, None, None)
    mean = mean_errors([None, one, two, three])
    assert mean == TemporalErrors(aee=0, fwe=0, fwe_short=0, fwe_long=0, fwe_target=0)


def test_empty_and_one_frame_sequences_have_no_errors():
    assert mean_errors([]) == UNDEFINED
    assert mean_errors(measure(ExactFlow(), [scene()], [scene()])) == UNDEFINED


def test_mean_takes_each_error_where_it_is_defined():
    half = TemporalErrors(aee=1.0, fwe=None, fwe_short=0.1, fwe_long=None, fwe_target=None)
    whole = TemporalErrors(aee=2.0, fwe=0.5, fwe_short=0.3, fwe_long=0.2, fwe_target=0.1)
    mean = mean_errors([None, half, whole])
    assert (mean.aee, mean.fwe, mean.fwe_long, mean.fwe_target) == (1.5, 0.5, 0.2, 0.1)
    assert mean.fwe_short == pytest.approx(0.2)


def test_flow_is_asked_three_times_for_the_second_frame_and_five_times_for_later_ones():
    flow = ExactFlow()
    targets = placed(flow, moving(scene(), (1, 0), 4))
    meter, calls = TemporalMeter(flow), []
    for target in targets:
        meter.add(target, target)
        calls.append(flow.calls)
    assert calls == [0, 3, 8, 13]


def test_views_that_change_afterwards_do_no_harm():
    flow = ExactFlow()
    targets = placed(flow, moving(scene(), (1, 0), 3))
    canvas, meter = np.zeros_like(targets[0]), TemporalMeter(flow)
    for target in targets:
        canvas[...] = target
        errors = meter.add(canvas, canvas)
    assert errors.fwe == 0


def test_pictures_of_two_sizes_are_refused():
    meter = TemporalMeter(DisFlow())
    with pytest.raises(ValueError, match='sequence of'):
        meter.add(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 41, 3), np.uint8))
    meter.add(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ValueError, match='sequence of'):
        meter.add(np.zeros((41, 40, 3), np.uint8), np.zeros((41, 40, 3), np.uint8))


def test_a_swapped_clip_is_less_steady_than_its_original(image_landmarker):
    if not os.environ.get('APGAN_DATA'):
        pytest.skip('APGAN_DATA is unset: the FaceForensics++ clips are not there')
    clips = data_folder() / 'clips'
    sequence, meter, errors = FaceSequence(), TemporalMeter(DisFlow()), []
    with (
        VideoReader(clips / 'ffpp_original_634.mp4') as original,
        VideoReader(clips / 'ffpp_faceswap_634_660.mp4') as swap,
    ):
        for target, swapped in itertools.islice(zip(original, swap, strict=False), 20):
            face = landmarks.largest(image_landmarker.detect(target.rgb))
            cuts = sequence.add(target.rgb, swapped.rgb, place_of(face.landmarks))
            errors.append(meter.add(*cuts))
    mean = mean_errors(errors)
    assert 0.1 < mean.aee < 2
    assert mean.fwe_short < mean.fwe_long
    assert 0.01 < mean.fwe_target < 0.8 * mean.fwe < 0.1
