"""Fixtures of several files. Caches and credentials are of the tests, never of the user."""

from pathlib import Path

import jax
import pytest

from apgan_jax.bundle import Bundle, save_bundle
from apgan_jax.face import landmarks
from apgan_jax.models import spectral_norm
from apgan_jax.training import experiment
from configs import tiny
from support.faces import BuiltDataset, build_dataset, portrait, random_state


@pytest.fixture(autouse=True, scope='session')
def compilation_cache(tmp_path_factory):
    """One cache for all tests and the processes they start: a step is compiled once."""
    folder = str(tmp_path_factory.mktemp('xla'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('JAX_COMPILATION_CACHE_DIR', folder)
        jax.config.update('jax_compilation_cache_dir', folder)
        yield


@pytest.fixture(autouse=True, scope='session')
def signing_credentials(tmp_path_factory):
    """Tests sign with credentials of their own, never with the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('APGAN_CREDENTIALS', str(tmp_path_factory.mktemp('credentials')))
        yield


@pytest.fixture(scope='session')
def image_landmarker():
    """A landmarker of single images that finds up to four faces."""
    with landmarks.FaceLandmarker(max_faces=4) as landmarker:
        yield landmarker


@pytest.fixture(scope='session')
def portrait_face(image_landmarker) -> landmarks.Face:
    (face,) = image_landmarker.detect(portrait())
    return face


@pytest.fixture(scope='session')
def built_dataset(tmp_path_factory) -> BuiltDataset:
    """The portrait's variations, 64 px, built by TensorFlow Datasets and Beam."""
    return build_dataset(tmp_path_factory.mktemp('built'))


@pytest.fixture(scope='session')
def tiny_model():
    """The networks of configs/tiny.py."""
    return experiment.build_model(tiny.get_config())


@pytest.fixture(scope='session')
def tiny_state(tiny_model):
    """A state before its first step, NumPy arrays; no test may donate its buffers."""
    return random_state(tiny_model)


@pytest.fixture(scope='session')
def tiny_bundle(tiny_model, tiny_state) -> Bundle:
    """A model with random weights."""
    return Bundle(
        generator=tiny_model.generator,
        generator_params=spectral_norm.fold(tiny_state.generator_params),
        identity_encoder=tiny_model.identity_encoder,
        crop_spec=experiment.crop_spec(tiny.get_config()),
        model_card={'name': 'tiny'},
    )


@pytest.fixture(scope='session')
def tiny_bundle_file(tiny_bundle, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('bundle') / 'tiny.safetensors'
    save_bundle(path, tiny_bundle)
    return path
