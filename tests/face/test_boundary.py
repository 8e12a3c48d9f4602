import numpy as np
import pytest

from apgan_jax.face import boundary, landmarks
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from support.faces import mirrored, portrait

COLOURS = {
    name: np.array(getattr(boundary, name)) for name in dir(boundary) if name.endswith('_COLOUR')
}


@pytest.fixture(scope='module')
def aligned(portrait_face):
    """The portrait's landmarks in a crop of the given size."""
    return lambda size: (
        align_face(portrait(), portrait_face.landmarks, CropSpec(size=size)).landmarks
    )


def pixels_of(boundary_map, colour):
    return (np.abs(boundary_map.astype(int) - colour).max(axis=-1) == 0).sum()


@pytest.mark.parametrize('size', [64, 128, 256])
def test_shape_background_and_determinism(aligned, size):
    drawn = boundary.draw_boundary_map(aligned(size), size)
    assert drawn.shape == (size, size, 3)
    assert drawn.dtype == np.uint8
    assert (drawn == 0).all(axis=-1).mean() > 0.8
    border = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
    assert not border.any()
    np.testing.assert_array_equal(drawn, boundary.draw_boundary_map(aligned(size), size))


def test_every_feature_has_a_colour_of_its_own(aligned):
    assert len(COLOURS) == 7
    assert len({tuple(colour) for colour in COLOURS.values()}) == 7
    drawn = boundary.draw_boundary_map(aligned(256), 256)
    counts = {name: pixels_of(drawn, colour) for name, colour in COLOURS.items()}
    assert min(counts.values()) >= 20, counts


def test_features_are_drawn_where_the_landmarks_are(aligned):
    points = aligned(256)
    drawn = boundary.draw_boundary_map(points, 256)
    for iris, colour in (
        (landmarks.LEFT_IRIS, boundary.LEFT_IRIS_COLOUR),
        (landmarks.RIGHT_IRIS, boundary.RIGHT_IRIS_COLOUR),
    ):
        x, y = np.round(points[iris[0]]).astype(int)
        assert tuple(drawn[y, x]) == colour
    x, y = np.round(points[landmarks.NOSE_TIP]).astype(int)
    assert tuple(drawn[y, x]) == boundary.NOSE_BRIDGE_COLOUR
    x, y = np.round(points[landmarks.LEFT_MOUTH_CORNER]).astype(int)
    red, green, blue = drawn[y, x].astype(int)
    assert green > 100 > max(red, blue)


@pytest.mark.parametrize('size', [64, 128, 256])
def test_the_map_of_a_mirrored_face_is_the_mirrored_map(aligned, size):
    points = aligned(size)
    drawn = boundary.draw_boundary_map(mirrored(points, size), size).astype(int)
    expected = boundary.mirror(boundary.draw_boundary_map(points, size)).astype(int)
    difference = np.abs(drawn - expected)
    # OpenCV rounds lines to one side: single pixels of an edge may differ.
    assert difference.mean() < 0.05 * expected.mean()
    assert (difference > 16).mean() < 2e-3


def test_mirroring_twice_changes_nothing(aligned):
    drawn = boundary.draw_boundary_map(aligned(128), 128)
    assert (boundary.mirror(drawn) != drawn).any()
    np.testing.assert_array_equal(boundary.mirror(boundary.mirror(drawn)), drawn)


def test_mirror_exchanges_left_and_right_colours():
    picture = np.zeros((1, 4, 3), np.uint8)
    picture[0, 0] = boundary.LEFT_EYE_COLOUR
    picture[0, 1] = boundary.LEFT_IRIS_COLOUR
    picture[0, 2] = boundary.OUTER_LIP_COLOUR
    result = boundary.mirror(picture)[0]
    assert tuple(result[3]) == boundary.RIGHT_EYE_COLOUR
    assert tuple(result[2]) == boundary.RIGHT_IRIS_COLOUR
    assert tuple(result[1]) == boundary.OUTER_LIP_COLOUR


def test_a_closed_eye_shows_no_iris(aligned):
    points = aligned(256).copy()
    half = len(landmarks.LEFT_EYE) // 2
    lower, upper = landmarks.LEFT_EYE[1:half], landmarks.LEFT_EYE[:half:-1]
    points[list(upper)] = points[list(lower)]
    drawn = boundary.draw_boundary_map(points, 256)
    assert pixels_of(drawn, COLOURS['LEFT_IRIS_COLOUR']) == 0
    assert pixels_of(drawn, COLOURS['LEFT_EYE_COLOUR']) >= 20
    assert pixels_of(drawn, COLOURS['RIGHT_IRIS_COLOUR']) >= 20


def test_eye_opening_by_hand():
    points = np.array([[5.0, 2.0], [5.0, 5.0], [0.0, 4.0], [10.0, 4.0]])
    assert boundary.eye_opening(points, 0, 1, 2, 3) == pytest.approx(0.3)
