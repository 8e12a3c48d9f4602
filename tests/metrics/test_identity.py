"""Identity metrics whose answers are known without them."""

import numpy as np
import pytest

from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.metrics.identity import (
    identity_discrepancy,
    mean_match_score,
    source_similarity,
    target_similarity,
)
from apgan_jax.networks.recognisers import MobileFaceNetRecogniser, SFaceRecogniser
from support.faces import portrait


@pytest.fixture(scope='module')
def seen(portrait_face) -> SeenFace:
    aligned = align_face(portrait(), portrait_face.landmarks, CropSpec(128))
    return SeenFace(aligned.crop, aligned.landmarks, portrait_face)


def pair(target: SeenFace, swapped: SeenFace | None) -> FacePair:
    return FacePair(target, target.crop, swapped)


@pytest.mark.parametrize('kind', [SFaceRecogniser, MobileFaceNetRecogniser])
def test_identical_faces_have_cosine_one_and_discrepancy_zero(kind, seen):
    pytest.importorskip('onnxruntime')
    recogniser = kind()
    vector = recogniser.embed(seen.crop[None], seen.arcface_window)[0]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    similar = [
        source_similarity(recogniser, vector),
        target_similarity(recogniser),
        mean_match_score(recogniser, vector),
    ]
    for metric in similar:
        assert metric.measure(pair(seen, seen)) == pytest.approx(1, abs=1e-5)
        assert metric.key.endswith(recogniser.key)
        assert metric.network == recogniser.info
    discrepancy = identity_discrepancy(recogniser, vector)
    assert discrepancy.measure(pair(seen, seen)) == pytest.approx(0, abs=1e-5)
    assert [metric.measure(pair(seen, None)) for metric in (*similar, discrepancy)] == [None] * 4


def test_discrepancy_of_opposite_vectors_is_two(seen):
    pytest.importorskip('onnxruntime')
    recogniser = SFaceRecogniser()
    opposite = -recogniser.vector(seen)
    assert identity_discrepancy(recogniser, opposite).measure(pair(seen, seen)) == pytest.approx(2)
    assert mean_match_score(recogniser, opposite).measure(pair(seen, seen)) == pytest.approx(-1)
