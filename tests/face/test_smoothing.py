import numpy as np
import pytest

from apgan_jax.face import alignment
from apgan_jax.face.landmarks import LEFT_EYE, five_points
from apgan_jax.face.smoothing import FaceSmoother

SPEC = alignment.CropSpec(size=128)
UPPER_LID, LOWER_LID, UPPER_LIP, LOWER_LIP = 159, 145, 13, 14
LIDS = (157, 158, 159, 160, 161, 384, 385, 386, 387, 388)
JAW = (14, 87, 317, 17, 84, 314)
BLINK = (0.5, 1.0, 1.0, 0.5)
REACH = 5


def smooth(frames):
    smoother = FaceSmoother()
    result = []
    for number in range(len(frames)):
        first = max(0, number - REACH)
        result.append(smoother(frames[first : number + REACH + 1], number - first))
    return np.stack(result)


def noisy(frames, sigma=0.2):
    return frames + np.random.default_rng(0).normal(0, sigma, np.shape(frames))


def crop_corners(landmarks):
    """Of the 128-px crop, in the frame."""
    crop_from_frame = alignment.estimate_crop_from_frame(five_points(landmarks), SPEC)
    corners = np.array([[0, 0], [128, 0], [128, 128], [0, 128]]) - 0.5
    return alignment.transform_points(alignment.invert(crop_from_frame), corners)


def shake(frames):
    return np.std([crop_corners(points) for points in frames], axis=0).mean()


def moved(points, *, shift=0j, turn=1 + 0j):
    """A similarity of a face about its middle."""
    complex_points = points[:, 0] + 1j * points[:, 1]
    middle = complex_points.mean()
    result = (complex_points - middle) * turn + middle + shift
    return np.stack([result.real, result.imag], axis=-1)


@pytest.fixture(scope='module')
def face(portrait_face):
    """About 200 px wide."""
    return 2.2 * portrait_face.landmarks.astype(np.float64)


def test_a_still_face_stands_still(face):
    frames = noisy([face] * 60)
    result = smooth(frames)
    assert result.dtype == np.float32
    assert shake(result) < 0.05 * shake(frames)
    assert np.std(result, axis=0).mean() < 0.3 * np.std(frames, axis=0).mean()
    assert np.abs(result.mean(axis=0) - face).mean() < 0.2


def test_without_noise_nothing_changes(face):
    np.testing.assert_allclose(smooth([face] * 12), [face] * 12, atol=1e-3)


@pytest.mark.parametrize(
    ('shift', 'turn'),
    [
        (2.0 + 1.0j, 1.0),
        (0.5j, 1.0),
        (0j, 1.01),
        (0j, np.exp(0.01j)),
        (3 - 1j, 1.005 * np.exp(0.02j)),
    ],
)
def test_a_steadily_moving_face_does_not_lag(face, shift, turn):
    truth = [moved(face, shift=shift * step, turn=turn**step) for step in range(40)]
    inner = slice(3, -3)
    error = (smooth(noisy(truth)) - truth)[inner]
    velocity = np.gradient(np.array(truth), axis=0)[inner]
    assert abs((error * velocity).sum() / (velocity**2).sum()) < 0.3  # frames
    assert np.linalg.norm(error, axis=2).mean() < 0.35


def test_a_moving_face_shakes_less(face):
    truth = [moved(face, shift=3.0 * step) for step in range(40)]
    frames = noisy(truth)
    left = [smooth(frames) - truth + face, frames - truth + face]
    smoothed, raw = (shake(part[5:-5]) for part in left)
    assert smoothed < 0.5 * raw


def test_a_sudden_start_is_followed_at_once(face):
    truth = [moved(face, shift=complex(4 * max(0, step - 20))) for step in range(40)]
    error = np.abs(smooth(noisy(truth, 0.1)) - truth).mean(axis=(1, 2))
    assert error.max() < 1.5


@pytest.mark.parametrize('amplitude', [3.0, 6.0, 9.0])
@pytest.mark.parametrize(
    ('which', 'upper', 'lower', 'sign'),
    [(LIDS, UPPER_LID, LOWER_LID, 1), (JAW, UPPER_LIP, LOWER_LIP, 1)],
    ids=['blink', 'mouth'],
)
def test_expressions_of_four_frames_survive(face, amplitude, which, upper, lower, sign):
    frames = np.repeat(face[None], 40, axis=0)
    for step, part in enumerate(BLINK):
        frames[20 + step, list(which), 1] += amplitude * part
    opening = [(points[lower] - points[upper])[1] for points in smooth(noisy(frames, 0.1))]
    kept = np.abs(np.array(opening[20:24]) - np.mean(opening[:18])).max()
    assert 0.8 * amplitude < kept < 1.15 * amplitude


def test_eyes_keep_to_their_place_while_the_head_moves(face):
    truth = [moved(face, shift=5.0 * step) for step in range(30)]
    result = smooth(noisy(truth, 0.1))
    middle = np.array(result)[:, list(LEFT_EYE)].mean(axis=1)
    expected = np.array(truth)[:, list(LEFT_EYE)].mean(axis=1)
    assert np.abs(middle - expected).max() < 0.3


def test_one_frame_alone(face):
    np.testing.assert_allclose(FaceSmoother()([face], 0), face, atol=1e-3)
