"""Rows of what a viewer sees, of pairs with known answers."""

import numpy as np
import pytest

from apgan_jax.evaluation import seen
from apgan_jax.evaluation.occluders import draw_occluder
from apgan_jax.face.face_pair import FacePair, SeenFace
from support.faces import brighter, portrait


@pytest.fixture
def pair(portrait_face):
    """A portrait, its 'swap' a little darker."""
    target = SeenFace(portrait(), portrait_face.landmarks)
    return FacePair(target, brighter(portrait(), 0.9), None)


@pytest.fixture
def unchanged(portrait_face):
    return FacePair(SeenFace(portrait(), portrait_face.landmarks), portrait(), None)


def test_of_swaps(pair, unchanged):
    rows = seen.SeenRows()
    for _ in range(9):
        rows.add_swap(unchanged, 'clips')
    rows.add_swap(pair)
    values = rows.values()
    assert values['sharpness'].count == 10 and values['sharpness_clips'].count == 9
    assert 'sharpness_portraits' not in values
    assert values['sharpness_clips'].mean == 1.0 and 0.98 < values['sharpness'].mean < 1.0
    assert values['smear'].mean == 0.0
    # The tenth of ten, of which nine are 0: a tenth of it on average, a tenth of the way at 90 %.
    assert values['skin_de'].mean == pytest.approx(values['skin_de_p90'].mean)
    assert 0.2 < values['skin_de'].mean < 1.0


def test_of_swaps_with_known_answers(pair, unchanged, monkeypatch):
    monkeypatch.setattr(seen, '_find_network', lambda: (None, 'left out: no weights'))
    rows = seen.SeenRows()
    rows.add_self(unchanged)
    rows.add_same_person(pair)
    occluded = draw_occluder(portrait(), pair.target.landmarks, 6)
    rows.add_occluded(occluded.picture, occluded)
    rows.add_occluded(portrait(), occluded)
    values = rows.values()
    assert values.keys() == {'self_ssim', 'occluder_error'}
    assert values['self_ssim'].mean == pytest.approx(1.0)
    covered = np.abs(portrait().astype(int) - occluded.picture)[occluded.mask].mean()
    assert values['occluder_error'].mean == pytest.approx(covered / 2, rel=0.1)
    warned = [row.key for row in rows.descriptions() if row.warning]
    assert warned == ['self_lpips', 'same_person_lpips']


def test_every_row_is_described(pair):
    rows = seen.SeenRows()
    rows.add_swap(pair, 'portraits')
    rows.add_swap(pair, 'clips')
    rows.add_self(pair)
    keys = {row.key for row in rows.descriptions()}
    assert rows.values().keys() <= keys
