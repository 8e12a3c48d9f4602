"""What of the target stays over a generated face."""

import numpy as np
import pytest

from apgan_jax.face import landmarks as points
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.hair import without_hair
from support.faces import portrait

SIZE = 128


@pytest.fixture(scope='module')
def aligned(portrait_face):
    return align_face(portrait(), portrait_face.landmarks, CropSpec(size=SIZE))


@pytest.fixture
def skin():
    return np.full((SIZE, SIZE, 3), (200, 160, 140), np.uint8)


def eye_line(landmarks):
    return landmarks[[*points.LEFT_EYE, *points.RIGHT_EYE]].mean(axis=0)


def eye_distance(landmarks):
    left, right = (landmarks[list(eye)].mean(axis=0) for eye in (points.LEFT_EYE, points.RIGHT_EYE))
    return np.linalg.norm(right - left)


def test_the_same_picture_is_shown_everywhere(aligned):
    shown = without_hair(aligned.crop, aligned.crop, aligned.landmarks)
    assert (shown.shape, shown.dtype) == ((SIZE, SIZE), np.float32)
    np.testing.assert_array_equal(shown, 1)


def test_another_skin_is_no_hair(aligned, skin):
    darker = (skin * 0.5).astype(np.uint8)
    assert without_hair(skin, darker, aligned.landmarks).min() > 0.99


@pytest.mark.parametrize('whose', ['target', 'generated'])
def test_a_fringe_stays_as_the_target_has_it(aligned, skin, whose):
    """Whether the target has one and the generator none, or the other way round."""
    middle, unit = eye_line(aligned.landmarks), eye_distance(aligned.landmarks)
    fringe = skin.copy()
    bottom = round(middle[1] - 0.8 * unit)
    fringe[:bottom] = (50, 40, 30)
    pair = (fringe, skin) if whose == 'target' else (skin, fringe)
    shown = without_hair(*pair, aligned.landmarks)
    column = round(middle[0])
    assert shown[: bottom - 4, column].max() < 0.01
    assert shown[bottom + 5 :, column].min() > 0.99


def test_the_features_are_the_generated_ones_whatever_they_are(aligned, skin):
    other = skin.copy()
    other[:] = np.random.default_rng(0).integers(0, 255, other.shape)
    shown = without_hair(skin, other, aligned.landmarks)
    features = [*points.LEFT_EYE, *points.RIGHT_EYE, *points.OUTER_LIP, *points.NOSE_BRIDGE]
    x, y = np.rint(aligned.landmarks[features]).astype(int).T
    np.testing.assert_array_equal(shown[y, x], 1)


def test_it_mirrors_with_the_face(aligned):
    generated = np.full_like(aligned.crop, 150)
    shown = without_hair(aligned.crop, generated, aligned.landmarks)
    assert shown.min() < 0.01
    flipped = aligned.landmarks * np.float32([-1, 1]) + np.float32([SIZE - 1, 0])
    mirrored = without_hair(aligned.crop[:, ::-1], generated, flipped)
    assert np.abs(mirrored[:, ::-1] - shown).mean() < 1e-3


def test_points_that_coincide_do_no_harm(skin):
    shown = without_hair(skin, skin, np.full((points.NUM_LANDMARKS, 2), 60, np.float32))
    assert np.isfinite(shown).all()


def test_the_soft_rim_of_painted_hair_goes_with_it(aligned, skin):
    """A hairline that fades over ten pixels leaves no line on a bare forehead."""
    middle, unit = eye_line(aligned.landmarks), eye_distance(aligned.landmarks)
    bottom = round(middle[1] - 0.9 * unit)
    painted = skin.astype(np.float32)
    fade = np.clip((bottom + 5 - np.arange(SIZE)) / 10, 0, 1)[:, None, None]
    painted = (painted * (1 - fade) + np.float32([50, 40, 30]) * fade).astype(np.uint8)
    shown = without_hair(skin, painted, aligned.landmarks)[..., None]
    pasted = skin + shown * (painted.astype(np.float32) - skin)
    column = round(middle[0])
    assert np.abs(pasted - skin)[: bottom + 5, column].max() < 40
