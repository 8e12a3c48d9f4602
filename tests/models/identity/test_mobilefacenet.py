"""The shipped identity encoder.

The golden numbers are LiteRT's, run on the original .tflite file. With that file at hand
(`APGAN_DATA`), this prints them anew: `python -m tests.models.identity.test_mobilefacenet`.
"""

import os
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from apgan_jax.models.identity import load_identity_encoder
from data_prep.port.tflite import open_interpreter, reference_embeddings
from data_prep.port_arcface import probe_images

FEATURE_TENSORS = {
    '56': 'Conv2d_2_InvResBlock_0/Conv/add',
    '28': 'Conv2d_3_InvResBlock_0/Conv/add',
    '14': 'Conv2d_5_InvResBlock_0/Conv/add',
    '7': 'Conv2d_7/add',
}

GOLDEN = [
    [-0.003325, 0.006952, 0.008019, -0.007653, -0.005348, -0.087387, -0.069217, 0.060795],
    [0.003824, 0.026086, 0.015246, -0.006641, -0.061085, 0.01414, -0.023329, 0.027912],
]


def golden_images():
    """A face and a smooth pattern, (2, 112, 112, 3) float32 in [-1, 1]."""
    face = cv2.resize(skimage.data.astronaut()[60:180, 165:285], (112, 112))
    return np.stack([face.astype(np.float32) / 127.5 - 1, probe_images()[0]])


def litert_embeddings(interpreter, images):
    embeddings = reference_embeddings(interpreter, images)
    return embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)


def tflite_file():
    return Path(os.environ['APGAN_DATA']) / 'weights' / 'mobilefacenet_arcface.tflite'


@pytest.fixture(scope='module')
def encoder():
    return load_identity_encoder()


@pytest.fixture(scope='module')
def embedding(encoder):
    return jax.jit(encoder.embed)(encoder.params, golden_images())


def test_golden_embeddings(embedding):
    np.testing.assert_allclose(embedding.vector[:, :8], GOLDEN, rtol=0, atol=1e-5)


def test_shapes_and_unit_norm(embedding):
    assert embedding.vector.shape == (2, 192)
    shapes = {stage: feature.shape for stage, feature in embedding.features.items()}
    assert shapes == {'56': (2, 128), '28': (2, 256), '14': (2, 512), '7': (2, 512)}
    np.testing.assert_allclose(jnp.linalg.norm(embedding.vector, axis=-1), 1, atol=1e-6)


def test_vector_and_stage_features_equal_litert(encoder):
    if 'APGAN_DATA' not in os.environ:
        pytest.skip('APGAN_DATA is unset: it would hold weights/mobilefacenet_arcface.tflite')
    interpreter = open_interpreter(tflite_file(), keep_all=True)
    indices = {tensor['name']: tensor['index'] for tensor in interpreter.get_tensor_details()}
    images = np.concatenate([golden_images(), probe_images()])
    ours = jax.jit(encoder.embed)(encoder.params, images)
    for i, image in enumerate(images):
        vector = litert_embeddings(interpreter, image[None])[0]
        np.testing.assert_allclose(ours.vector[i], vector, rtol=0, atol=1e-4)
        for stage, name in FEATURE_TENSORS.items():
            theirs = interpreter.get_tensor(indices[f'MobileFaceNet/MobileFaceNet/{name}'])[0]
            theirs = theirs.mean(axis=(0, 1))
            atol = 1e-4 * np.abs(theirs).max()
            np.testing.assert_allclose(ours.features[stage][i], theirs, rtol=0, atol=atol)


def test_gradient_with_respect_to_the_images_equals_a_finite_difference(encoder):
    images = jnp.asarray(golden_images())
    towards = np.random.default_rng(0).normal(size=192).astype(np.float32)

    def score(images):
        return jnp.sum(encoder.embed(encoder.params, images).vector @ towards)

    gradient = np.asarray(jax.jit(jax.grad(score))(images))
    assert np.isfinite(gradient).all()
    # Parts of the gradient itself: along other directions PReLU's kinks outweigh the slope.
    upper, red, first = (np.zeros_like(gradient) for _ in range(3))
    upper[:, :56], red[..., 0], first[0] = gradient[:, :56], gradient[..., 0], gradient[0]
    compiled = jax.jit(score)
    for direction in (gradient, upper, red, first):
        step = 5e-4 * direction / np.abs(direction).max()
        measured = (compiled(images + step) - compiled(images - step)) / 2
        np.testing.assert_allclose(measured, np.vdot(gradient, step), rtol=0.02)


if __name__ == '__main__':
    rows = litert_embeddings(open_interpreter(tflite_file()), golden_images())[:, :8]
    print('GOLDEN =', [[round(float(value), 6) for value in row] for row in rows])
