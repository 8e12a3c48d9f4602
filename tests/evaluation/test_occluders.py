"""Things drawn in front of a face: where they are, and nowhere else."""

import numpy as np
import pytest

from apgan_jax.evaluation.occluders import OCCLUDERS, draw_occluder
from support.faces import portrait

SEEDS = range(len(OCCLUDERS))


@pytest.mark.parametrize('seed', SEEDS)
def test_each_covers_part_of_the_face_and_nothing_else(seed, portrait_face):
    photo, points = portrait(), portrait_face.landmarks
    occluded = draw_occluder(photo, points, seed)
    changed = (occluded.picture != photo).any(axis=2)
    assert occluded.picture.dtype == np.uint8 and occluded.mask.dtype == bool
    assert not (changed & ~occluded.mask).any()
    assert changed[occluded.mask].mean() > 0.9
    low, high = points.min(axis=0).astype(int), points.max(axis=0).astype(int)
    on_face = occluded.mask[low[1] : high[1], low[0] : high[0]].mean()
    assert 0.02 < on_face < 0.6


def test_the_seed_decides(portrait_face):
    photo, points = portrait(), portrait_face.landmarks
    again = [draw_occluder(photo, points, 4).picture for _ in range(2)]
    np.testing.assert_array_equal(*again)
    # The same thing, drawn differently.
    other = draw_occluder(photo, points, 4 + len(OCCLUDERS))
    assert (other.picture != again[0]).any()


def test_they_lie_where_their_name_says(portrait_face):
    photo, points = portrait(), portrait_face.landmarks

    def covers(seed, landmark):
        x, y = np.rint(points[landmark]).astype(int)
        return bool(draw_occluder(photo, points, seed).mask[y, x])

    *_, glasses, sunglasses, _, _, mask = SEEDS
    assert covers(sunglasses, 468) and covers(sunglasses, 473)
    assert not covers(glasses, 468)
    assert covers(mask, 13) and covers(mask, 1) and not covers(mask, 151)


def test_a_small_face_has_some_of_it_too(portrait_face):
    small, points = portrait()[::4, ::4], portrait_face.landmarks / 4
    for seed in SEEDS:
        assert draw_occluder(small, points, seed).mask.sum() > 10
