"""Things in front of a face: what is painted, what is covered, and nothing else."""

import cv2
import numpy as np
import pytest

from apgan_jax.data.occluders import KINDS, Kind, paint_occluder

SEEDS = range(12)
# To the right and down.
SHIFT = np.array([16, 8])
kinds = pytest.mark.parametrize('kind', KINDS)


@pytest.fixture(scope='module')
def face(aligned_head):
    """The portrait's crop at 128 px and its landmarks."""
    return aligned_head.crop, aligned_head.landmarks


def paint(picture, points, kind, seed):
    texture = np.random.default_rng(99).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return paint_occluder(
        picture, points, texture, np.random.default_rng(seed), {kind: KINDS[kind]}
    )


def resized(face, size):
    crop, points = face
    return cv2.resize(crop, (size, size)), (points + 0.5) * size / 128 - 0.5


@kinds
@pytest.mark.parametrize('size', [64, 128, 256])
def test_what_is_not_covered_is_unchanged(face, kind, size):
    picture, points = resized(face, size)
    before, covered = picture.copy(), []
    for seed in SEEDS:
        painted = paint(picture, points, kind, seed)
        assert painted.picture.dtype == np.uint8 and painted.covers.dtype == np.float32
        assert painted.covers.min() >= 0 and painted.covers.max() <= 1
        bare = painted.covers == 0
        np.testing.assert_array_equal(painted.picture[bare], picture[bare])
        covered.append(painted.covers.mean())
    np.testing.assert_array_equal(picture, before)
    # Sometimes it is beside the face or outside of the crop.
    assert 0.005 < np.mean(covered) < 0.5
    assert np.std(covered) > 0.001


@kinds
def test_edges_are_soft(face, kind):
    painted = [paint(*face, kind, seed).covers for seed in SEEDS]
    assert np.mean([((covers > 0.1) & (covers < 0.9)).sum() for covers in painted]) > 15


@pytest.mark.parametrize('kind', ['mask', 'hat'])
def test_an_opaque_thing_does_not_show_what_is_behind(face, kind):
    crop, points = face
    for seed in SEEDS:
        dark, light = (paint(np.full_like(crop, value), points, kind, seed) for value in (0, 255))
        np.testing.assert_array_equal(dark.covers, light.covers)
        whole = dark.covers == 1
        assert whole.sum() > 50
        np.testing.assert_array_equal(dark.picture[whole], light.picture[whole])


@kinds
def test_the_state_of_chance_decides(face, kind):
    first, again = (paint(*face, kind, 5) for _ in range(2))
    np.testing.assert_array_equal(first.picture, again.picture)
    np.testing.assert_array_equal(first.covers, again.covers)
    assert (paint(*face, kind, 6).picture != first.picture).any()


def test_each_kind_is_drawn_as_often_as_its_weight_says(face):
    drawn = []

    def recorder(name):
        return lambda brush, rng: drawn.append(name)

    recorded = {name: Kind(recorder(name), kind.weight) for name, kind in KINDS.items()}
    rng = np.random.default_rng(0)
    for _ in range(2000):
        painted = paint_occluder(*face, face[0], rng, recorded)
    np.testing.assert_array_equal(painted.picture, face[0])
    # Seldom two.
    assert 2200 < len(drawn) < 2400
    total = sum(kind.weight for kind in KINDS.values())
    for name, kind in KINDS.items():
        assert drawn.count(name) / len(drawn) == pytest.approx(kind.weight / total, rel=0.3)


def test_without_a_choice_every_kind_may_come(face):
    rng = np.random.default_rng(0)
    painted = [paint_occluder(*face, face[0], rng) for _ in range(60)]
    assert len({each.picture.tobytes() for each in painted}) > 55


@kinds
def test_it_moves_with_the_landmarks(face, kind):
    crop, points = face
    for seed in range(4):
        still, moved = (paint(crop, place, kind, seed) for place in (points, points + SHIFT))
        inner, shifted = still.covers[30:100, 20:90], moved.covers[38:108, 36:106]
        # An edge may come to lie on the next quarter of a pixel.
        np.testing.assert_allclose(inner, shifted, atol=0.26)
        assert np.abs(inner - shifted).mean() < 1e-3


def strange_faces(points):
    middle = points.mean(axis=0)
    yield middle + (points - middle) * (0.15, 1)  # turned aside
    yield (points - middle) @ np.array([[0, 1], [-1, 0]]) + middle  # lying on its side
    yield middle + (points - middle) * 0.02  # tiny
    yield middle + (points - middle) * 50
    yield points + 10 * SHIFT
    yield points - 1e6
    yield np.full_like(points, 30)
    yield points[:, ::-1] * (-1, 1)


@kinds
def test_any_landmarks_will_do(face, kind):
    crop, points = face
    for strange in strange_faces(points):
        for seed in range(4):
            painted = paint(crop, strange, kind, seed)
            assert np.isfinite(painted.covers).all()
            bare = painted.covers == 0
            np.testing.assert_array_equal(painted.picture[bare], crop[bare])


def test_a_picture_need_not_be_square(face):
    crop, points = face
    for seed, kind in enumerate(KINDS):
        painted = paint(np.ascontiguousarray(crop[:90]), points, kind, seed)
        assert painted.picture.shape == (90, 128, 3) and painted.covers.shape == (90, 128)
