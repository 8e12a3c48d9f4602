"""Fixtures of several files. Caches and credentials are of the tests, never of the user."""

from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from apgan_jax.bundle import Bundle, load_bundle, save_bundle
from apgan_jax.face import landmarks
from apgan_jax.face.aligned import AlignedFace, align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.identity_file import SHIPPED_IDENTITY, load_identity
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models import spectral_norm
from apgan_jax.training import experiment
from configs import tiny
from support.faces import BuiltDataset, build_dataset, head, portrait, random_state


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
def aligned_head(image_landmarker) -> AlignedFace:
    """The head, cropped to 128 px."""
    (face,) = image_landmarker.detect(head())
    return align_face(head(), face.landmarks, CropSpec(size=128))


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


@pytest.fixture(scope='session')
def shipped_swapper() -> Swapper:
    """The shipped bundle's."""
    return Swapper(load_bundle(None))


@pytest.fixture(scope='session')
def embed(shipped_swapper):
    """Of faces in frames, by the shipped encoder."""

    def embed(rgb, landmarks):
        crop = align_face(rgb, landmarks, shipped_swapper.bundle.crop_spec).crop
        return np.asarray(shipped_swapper.embed(crop[None]).vector)[0]

    return embed


@pytest.fixture(scope='session')
def stranger(shipped_swapper, image_landmarker) -> np.ndarray:
    """Somebody else: the head with the demo's synthetic identity."""
    (face,) = image_landmarker.detect(head())
    spec = shipped_swapper.bundle.crop_spec
    aligned = align_face(head(), face.landmarks, spec)
    identity = load_identity(SHIPPED_IDENTITY, shipped_swapper.bundle.identity_encoder)
    painted = shipped_swapper.swap(aligned.crop[None], aligned.boundary_map[None], identity)
    swapped = painted.pictures[0]
    size = head().shape[1::-1]
    back = cv2.warpAffine(
        swapped, aligned.crop_from_frame, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    inside = cv2.warpAffine(
        np.ones(swapped.shape[:2], np.uint8),
        aligned.crop_from_frame,
        size,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    return np.where(inside[..., None] > 0, back, head())
