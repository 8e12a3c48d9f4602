import numpy as np
import pytest

from apgan_jax.face.landmarks import LEFT_EYE, RIGHT_EYE
from apgan_jax.face.tracking import LandmarkSmoother

RATE = 30.0
EYE_DISTANCE = 60.0


def face():
    """Landmarks (478, 2) whose eyes are 60 px apart."""
    points = np.random.default_rng(0).uniform(100, 300, (478, 2))
    points[list(LEFT_EYE)], points[list(RIGHT_EYE)] = (170, 200), (230, 200)
    return points


def smooth(frames, smoother=None):
    smoother = smoother or LandmarkSmoother()
    return np.stack([smoother(points, number / RATE) for number, points in enumerate(frames)])


def test_noise_on_a_still_face_is_reduced():
    frames = face() + np.random.default_rng(1).normal(0, 0.1, (200, 478, 2))
    result = smooth(frames)
    assert result.dtype == np.float32
    settled = slice(50, None)
    jitter = np.diff(frames[settled], axis=0).std() / np.diff(result[settled], axis=0).std()
    spread = (frames - face())[settled].std() / (result - face())[settled].std()
    assert jitter > 5
    assert spread > 2.5
    assert np.abs(result[settled].mean(axis=0) - face()).max() < 0.1


def test_the_first_frame_is_taken_as_it_is():
    np.testing.assert_allclose(smooth([face()])[0], face(), rtol=1e-6)


def test_a_jump_starts_afresh():
    frames = [face()] * 10 + [face() + np.array([0.6 * EYE_DISTANCE, 0])]
    np.testing.assert_allclose(smooth(frames)[-1], frames[-1], rtol=1e-6)


def test_a_smaller_step_is_smoothed():
    frames = [face()] * 10 + [face() + np.array([0.1 * EYE_DISTANCE, 0])]
    moved = (smooth(frames)[-1] - face())[:, 0]
    assert (moved > 0).all()
    assert (moved < 0.1 * EYE_DISTANCE).all()


@pytest.mark.parametrize('later', [0.6, -0.1, 0.0])
def test_a_gap_or_a_time_that_does_not_rise_starts_afresh(later):
    smoother = LandmarkSmoother()
    for number in range(10):
        smoother(face(), number / RATE)
    shifted = face() + 5
    np.testing.assert_allclose(smoother(shifted, 9 / RATE + later), shifted, rtol=1e-6)


def test_reset_starts_afresh():
    smoother = LandmarkSmoother()
    smoother(face(), 0.0)
    smoother.reset()
    np.testing.assert_allclose(smoother(face() + 5, 1 / RATE), face() + 5, rtol=1e-6)


@pytest.mark.parametrize('speed', [0.2, 1.0, 3.0])
def test_a_moving_face_lags_little(speed):
    """At `speed` eye distances a second, behind by less than 3 % of the eye distance."""
    x = speed * EYE_DISTANCE * np.arange(60) / RATE
    frames = face() + np.stack([x, np.zeros(60)], axis=-1)[:, None]
    lag = (frames - smooth(frames))[30:, :, 0]
    assert lag.max() < 0.03 * EYE_DISTANCE
    assert lag.min() > -0.01 * EYE_DISTANCE
