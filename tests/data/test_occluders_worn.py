"""What is worn lies where its name says."""

import numpy as np
import pytest

from apgan_jax.data import occluders_worn as worn
from apgan_jax.data.brush import Brush


@pytest.fixture(scope='module')
def shares(aligned_head):
    """By painter, the mean cover at any landmark over 30 seeds, (478,)."""

    def measure(painter):
        columns, rows = np.rint(aligned_head.landmarks).astype(int).T
        covers = [painted(aligned_head, painter, seed)[1][rows, columns] for seed in range(30)]
        return np.mean(covers, axis=0)

    return measure


def painted(face, painter, seed):
    brush = Brush(face.crop, face.landmarks, face.crop, softness=0.6)
    painter(brush, np.random.default_rng(seed))
    return brush.picture, brush.covers


@pytest.mark.parametrize(
    'painter, often, never',
    [
        (worn.paint_mask, [13, 17, 1, 152], [468, 473, 10, 151]),
        (worn.paint_fringe, [10], [1, 13, 152]),
        (worn.paint_hat, [10], [1, 13, 152]),
        (worn.paint_scarf, [152], [10, 151, 468]),
        (worn.paint_glasses, [], [10, 13, 152]),
    ],
)
def test_they_lie_where_their_name_says(shares, painter, often, never):
    share = shares(painter)
    assert all(share[often] > 0.5), share[often]
    assert all(share[never] < 0.1), share[never]


def test_strands_lie_over_the_forehead_and_reach_the_eyes(shares):
    share = shares(worn.paint_strands)
    assert share[[10, 67, 297]].mean() > 0.1
    assert share[13] < 0.1


def test_eyes_are_covered_by_a_lens_however_clear_and_not_by_a_frame_alone(aligned_head):
    x, y = np.rint(aligned_head.landmarks[468]).astype(int)
    seen = []
    for seed in range(60):
        picture, covers = painted(aligned_head, worn.paint_glasses, seed)
        apart = np.abs(picture[y, x].astype(int) - aligned_head.crop[y, x]).max()
        seen.append((covers[y, x], apart))
        if covers[y, x] == 0:
            assert apart == 0
    with_lens = [apart for cover, apart in seen if cover > 0.95]
    assert 20 < len(with_lens) < 60
    assert min(with_lens) < 40 < max(with_lens)
    assert any(cover == 0 for cover, _ in seen)
