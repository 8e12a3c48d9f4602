"""Smears that are painted on, and what is none."""

import numpy as np
import pytest

from apgan_jax.face.areas import forehead_band
from apgan_jax.metrics.forehead_smear import forehead_smear
from support.faces import portrait


def painted(points, part, levels):
    """The portrait, the upper part of its forehead darker or lighter."""
    photo = portrait().astype(np.int16)
    band = forehead_band(points, photo.shape[:2])
    rows = np.cumsum(band.sum(axis=1)) / band.sum()
    band[np.searchsorted(rows, part) :] = False
    # Room for a difference that is not clipped.
    photo = np.clip(photo, 60, 190)
    swapped = photo.copy()
    swapped[band] += levels
    return swapped.astype(np.uint8), photo.astype(np.uint8)


@pytest.mark.parametrize(
    ('part', 'levels', 'expected'),
    [(0.4, -40, 1.0), (0.4, 40, 1.0), (0.1, -40, 0.0), (0.4, 20, 0.0), (0.0, 0, 0.0)],
)
def test_a_fifth_of_the_band_by_30_levels(part, levels, expected, portrait_face):
    points = portrait_face.landmarks
    assert forehead_smear(*painted(points, part, levels), points) == expected


def test_another_complexion_is_no_smear(portrait_face):
    points = portrait_face.landmarks
    darker = np.clip(portrait(), 60, 190)
    lighter = darker + np.array([50, 45, 40], np.uint8)
    assert forehead_smear(lighter, darker, points) == 0.0
    assert forehead_smear(lighter, darker, points + 5000) is None


def test_what_lies_below_does_not_count(portrait_face):
    points, photo = portrait_face.landmarks, portrait()
    below = photo.copy()
    below[round(float(points[1, 1])) :] = 0
    assert forehead_smear(below, photo, points) == 0.0
