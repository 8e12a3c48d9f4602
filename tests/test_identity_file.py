"""Saved identities come back, name their encoder, and are told from other files."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import load_file

from apgan_jax import identity_file
from apgan_jax.errors import UserError
from apgan_jax.files import safetensors_file
from apgan_jax.identity_file import SHIPPED_IDENTITY, bank_files, load_identity
from support.identities import random_identity


@pytest.fixture(scope='module')
def identity():
    return random_identity()


@pytest.fixture
def saved_identity(tiny_bundle, identity, tmp_path):
    path = tmp_path / 'identity.safetensors'
    identity_file.save_identity(path, identity, tiny_bundle.identity_encoder)
    return path


def test_an_identity_comes_back(tiny_bundle, identity, saved_identity):
    loaded = load_identity(saved_identity, tiny_bundle.identity_encoder)
    np.testing.assert_array_equal(loaded.vector, identity.vector)
    assert loaded.features.keys() == identity.features.keys()
    for stage, value in identity.features.items():
        np.testing.assert_array_equal(loaded.features[stage], value)


def test_the_identity_file_holds_what_the_design_says(saved_identity):
    tensors = load_file(saved_identity)
    assert set(tensors) == {
        'identity_vector',
        *(f'identity_features/{stage}' for stage in ('56', '28', '14', '7')),
    }
    assert tensors['identity_vector'].shape == (192,)


def test_an_identity_of_another_encoder_is_refused(tiny_bundle, saved_identity):
    other = dataclasses.replace(tiny_bundle.identity_encoder, sha256='ab' * 32)
    with pytest.raises(UserError, match=rf'{saved_identity}: .*abababababab…'):
        load_identity(saved_identity, other)


def test_a_bundle_is_no_identity(tiny_bundle, tiny_bundle_file):
    with pytest.raises(UserError, match='holds no identity_vector'):
        load_identity(tiny_bundle_file, tiny_bundle.identity_encoder)


def test_the_bank_has_32_people_unlike_each_other(tiny_bundle):
    files = bank_files()
    encoder = tiny_bundle.identity_encoder
    vectors = np.stack([np.asarray(load_identity(path, encoder).vector)[0] for path in files])
    assert len(files) >= 32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert (vectors @ vectors.T)[np.triu_indices(len(files), 1)].max() < 0.3


def test_the_vector_for_the_bank_and_the_words_for_people_are_kept(tiny_bundle, identity, tmp_path):
    path, sface = tmp_path / 'identity.safetensors', np.linspace(-1, 1, 128)
    encoder = tiny_bundle.identity_encoder
    identity_file.save_identity(path, identity, encoder, sface_vector=sface, description='Nobody')
    tensors, document = safetensors_file.read(path, 'identity')
    np.testing.assert_array_equal(tensors['sface_vector'], sface.astype(np.float32))
    assert document['description'] == 'Nobody'
    assert load_identity(path, encoder).features.keys() == identity.features.keys()


def test_the_shipped_identity_is_of_the_shipped_encoder(tiny_bundle):
    identity = load_identity(SHIPPED_IDENTITY, tiny_bundle.identity_encoder)
    assert identity.vector.shape == (1, 192)
    assert np.linalg.norm(identity.vector) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(
    ('name', 'change', 'problem'),
    [
        ('identity_vector', lambda array: array * np.nan, 'no finite numbers'),
        ('identity_vector', lambda array: array * 0, 'has the length 0, not about 1'),
        ('identity_vector', lambda array: array * 1e10, r'has the length .*, not about 1'),
        ('identity_vector', lambda array: array[:5], r'is \(5,\), not \(192,\)'),
        ('identity_vector', lambda array: array.astype(np.int32), 'is int32, not float32'),
        ('identity_features/7', lambda array: array * np.inf, 'no finite numbers'),
        ('identity_features/3', lambda _: np.zeros(3), 'surplus identity_features/3'),
    ],
)
def test_an_identity_of_other_numbers_is_refused(
    tiny_bundle, saved_identity, name, change, problem
):
    tensors, document = safetensors_file.read(saved_identity, 'identity')
    with np.errstate(invalid='ignore'):
        tensors[name] = change(tensors.get(name))
    safetensors_file.write(saved_identity, tensors, document)
    with pytest.raises(UserError, match=problem):
        load_identity(saved_identity, tiny_bundle.identity_encoder)
