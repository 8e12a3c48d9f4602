"""What is held or stuck on touches the face."""

import numpy as np
import pytest

from apgan_jax.data import occluders_held as held
from apgan_jax.data.brush import Brush

PAINTERS = [
    held.paint_hand,
    held.paint_held_thing,
    held.paint_microphone,
    held.paint_small_thing,
]


def brushes(face, painter, count=30):
    for seed in range(count):
        brush = Brush(face.crop, face.landmarks, face.crop, softness=0.6)
        painter(brush, np.random.default_rng(seed))
        yield brush


@pytest.mark.parametrize('painter', PAINTERS)
def test_it_touches_the_face_mostly_and_never_hides_it(aligned_head, painter):
    columns, rows = np.rint(aligned_head.landmarks[:468]).astype(int).T
    shares = [brush.covers[rows, columns].mean() for brush in brushes(aligned_head, painter)]
    assert np.mean(np.array(shares) > 0.002) > 0.85
    assert max(shares) < 0.8


def test_a_hand_may_have_the_colour_of_the_face_or_another(aligned_head):
    colours = []
    for brush in brushes(aligned_head, held.paint_hand):
        whole = brush.covers == 1
        if whole.sum() > 100:
            colours.append(np.median(brush.picture[whole], axis=0))
    skin = Brush(aligned_head.crop, aligned_head.landmarks, aligned_head.crop, 0.6).skin
    apart = np.abs(np.array(colours) - skin).max(axis=1)
    assert (apart < 45).sum() >= 3 and (apart > 80).sum() >= 3


def test_a_microphone_is_before_mouth_or_chin(aligned_head):
    columns, rows = np.rint(aligned_head.landmarks[[13, 17, 152, 200]]).astype(int).T
    covers = [
        brush.covers[rows, columns].max() for brush in brushes(aligned_head, held.paint_microphone)
    ]
    assert np.mean(np.array(covers) > 0.5) > 0.6


def test_small_things_are_of_all_sizes_and_small(aligned_head):
    covered = [brush.covers.mean() for brush in brushes(aligned_head, held.paint_small_thing)]
    assert np.median(covered) < 0.05
    assert max(covered) > 3 * np.median(covered)
