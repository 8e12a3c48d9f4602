"""Encoders are loaded by their kind, and files that do not fit are refused."""

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from apgan_jax.errors import UserError
from apgan_jax.models import identity
from apgan_jax.models.identity import (
    KINDS,
    IdentityEncoder,
    identity_encoder_from_tensors,
    identity_module,
    load_identity_encoder,
)


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match=r"'facenet'.*mobilefacenet"):
        load_identity_encoder('facenet')


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'none\.safetensors.*port_arcface'):
        load_identity_encoder(path=tmp_path / 'none.safetensors')


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / 'text.safetensors').write_bytes(b'not tensors at all')
    with pytest.raises(UserError, match='not a safetensors file'):
        load_identity_encoder(path=tmp_path / 'text.safetensors')


def test_an_altered_shipped_file_is_refused(tmp_path, monkeypatch):
    path, sha256 = identity._SHIPPED['mobilefacenet']
    altered = tmp_path / path.name
    altered.write_bytes(path.read_bytes()[:-1] + b'\0')
    monkeypatch.setitem(identity._SHIPPED, 'mobilefacenet', (altered, sha256))
    with pytest.raises(UserError, match='reinstall the package'):
        load_identity_encoder()


def test_all_wrong_tensors_are_listed(tmp_path):
    tensors = load_file(identity._SHIPPED['mobilefacenet'][0])
    tensors['extra/kernel'] = np.zeros(1, np.float32)
    tensors['stem/bias'] = tensors['stem/bias'][:-1]
    del tensors['dense/kernel']
    save_file(tensors, tmp_path / 'wrong.safetensors')
    with pytest.raises(UserError) as caught:
        load_identity_encoder(path=tmp_path / 'wrong.safetensors')
    message = str(caught.value)
    assert 'missing dense/kernel' in message
    assert 'surplus extra/kernel' in message
    assert 'stem/bias is (63,), not (64,)' in message


def test_it_is_not_shipped():
    with pytest.raises(UserError, match=r"'sface' is not shipped.*port_arcface.*--kind sface"):
        load_identity_encoder('sface')


def test_tensors_at_hand_make_the_encoder_that_the_file_makes():
    shipped = load_identity_encoder()
    tensors = load_file(identity._SHIPPED['mobilefacenet'][0])
    made = identity_encoder_from_tensors('mobilefacenet', shipped.sha256, tensors, 'a bundle')
    assert (made.kind, made.sha256) == (shipped.kind, shipped.sha256)
    assert jax.tree.structure(made.params) == jax.tree.structure(shipped.params)
    jax.tree.map(np.testing.assert_array_equal, made.params, shipped.params)
    with pytest.raises(UserError, match=r'^a bundle: .*MobileFaceNet \(missing stem/bias\)'):
        del tensors['stem/bias']
        identity_encoder_from_tensors('mobilefacenet', shipped.sha256, tensors, 'a bundle')


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_gives_features_of_four_sizes_and_a_vector(kind):
    module = identity_module(kind)
    images = jax.ShapeDtypeStruct((2, 112, 112, 3), np.float32)
    embedding, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), images)
    assert embedding.vector.shape[0] == 2
    assert set(embedding.features) == {'56', '28', '14', '7'}
    assert {feature.shape[0] for feature in embedding.features.values()} == {2}


@pytest.mark.parametrize('kind', ['mobilefacenet', 'sface', 'iresnet18'])
def test_the_maps_of_a_face_are_what_its_features_are_the_means_of(kind):
    module = identity_module(kind)
    faces = np.float32(np.random.default_rng(0).uniform(-1, 1, (2, 112, 112, 3)))
    params = module.init(jax.random.key(0), faces)['params']
    encoder = IdentityEncoder(kind, '', module, params)
    embedding = jax.jit(encoder.embed)(params, faces)
    maps = jax.jit(encoder.face_maps)(params, faces)
    assert {*maps} == {*embedding.features} == {'56', '28', '14', '7'}
    for size, stage in maps.items():
        assert stage.shape[:3] == (2, int(size), int(size))
        np.testing.assert_allclose(
            stage.mean(axis=(1, 2)), embedding.features[size], rtol=1e-4, atol=1e-6
        )
