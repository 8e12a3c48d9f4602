"""The network that reads landmarks, and its loss in a step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import HEAD_V1_WINDOW, CropSpec
from apgan_jax.face.landmarks import LEFT_EYE, NOSE_TIP, NUM_LANDMARKS, RIGHT_EYE
from apgan_jax.files import safetensors_file
from apgan_jax.models.images import normalise_image
from apgan_jax.models.landmark_reader import (
    INPUT_SIZE,
    LandmarkNetwork,
    LandmarkReader,
    cut_inner_face,
)
from apgan_jax.training import losses
from apgan_jax.training.losses import LossWeights
from apgan_jax.training.train_step import train_step
from support.faces import head, random_state
from support.small_step import random_batch, small_model


@pytest.fixture(scope='module')
def shipped():
    return LandmarkReader.load()


def random_reader(num_components=3):
    rng = np.random.default_rng(0)
    picture = jnp.zeros((1, INPUT_SIZE, INPUT_SIZE, 3))
    params = LandmarkNetwork(num_components).init(jax.random.key(0), picture)['params']
    mean, *components = rng.random((1 + num_components, 7, 2), np.float32)
    return LandmarkReader(jax.device_get(params), mean, np.stack(components))


# --- Reading --------------------------------------------------------------------------------------


def test_the_inner_face_of_128_px_is_pixels_as_they_are():
    crops = np.random.default_rng(0).random((2, 128, 128, 3), np.float32)
    inner = cut_inner_face(crops, HEAD_V1_WINDOW)
    np.testing.assert_allclose(inner, crops[:, 40:104, 32:96], atol=1e-6)


def test_the_shipped_reader_finds_what_mediapipe_finds(shipped, aligned_head):
    read = np.asarray(shipped.read(normalise_image(aligned_head.crop[None]), HEAD_V1_WINDOW))[0]
    assert read.shape == (NUM_LANDMARKS, 2)
    wanted = (aligned_head.landmarks + 0.5) / 128
    # A hundredth of the crop is 1.3 px; people differ from their mean by 2.1 hundredths.
    assert np.linalg.norm(read - wanted, axis=1).mean() < 0.013


def test_the_shipped_reader_finds_them_in_a_face_crop(shipped, image_landmarker):
    (found,) = image_landmarker.detect(head())
    spec = CropSpec.named('face-v1', 128)
    aligned = align_face(head(), found.landmarks, spec)
    crops = normalise_image(aligned.crop[None])
    read = np.asarray(shipped.read(crops, spec.arcface_window))[0]
    wanted = (aligned.landmarks + 0.5) / 128
    assert np.linalg.norm(read - wanted, axis=1).mean() < 0.013 * 0.82 / 0.72


def test_the_shipped_reader_sees_a_mirrored_face_mirrored(shipped, aligned_head):
    crops = normalise_image(np.stack([aligned_head.crop, aligned_head.crop[:, ::-1]]))
    face, mirrored = np.asarray(shipped.read(crops, HEAD_V1_WINDOW))
    assert np.abs(mirrored[NOSE_TIP] - ([1, 0] + face[NOSE_TIP] * [-1, 1])).max() < 0.01
    left, right = face[list(LEFT_EYE)].mean(0), mirrored[list(RIGHT_EYE)].mean(0)
    assert np.abs(right - ([1, 0] + left * [-1, 1])).max() < 0.01


@pytest.mark.parametrize('size', [64, 256])
def test_the_crops_size_matters_little(shipped, aligned_head, size):
    crop = jax.image.resize(normalise_image(aligned_head.crop), (size, size, 3), 'linear')
    read = shipped.read(jnp.stack([crop]), HEAD_V1_WINDOW)
    expected = shipped.read(normalise_image(aligned_head.crop[None]), HEAD_V1_WINDOW)
    assert float(jnp.linalg.norm(read - expected, axis=-1).mean()) < 0.01


def test_a_file_gives_back_what_was_saved(tmp_path):
    reader = random_reader()
    reader.save(tmp_path / 'reader.safetensors', {'kind': 'landmark_reader'})
    loaded = LandmarkReader.load(tmp_path / 'reader.safetensors')
    crops = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    read = (each.read(crops, HEAD_V1_WINDOW) for each in (loaded, reader))
    np.testing.assert_array_equal(*read)


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda tensors: tensors.pop('mean'), 'no landmarks in it'),
        (
            lambda tensors: tensors.pop('params/hidden/bias'),
            'does not fit the landmark reader of this version',
        ),
        (
            lambda tensors: tensors.update(extra=np.zeros(1)),
            'does not fit the landmark reader of this version',
        ),
    ],
)
def test_another_file_is_refused(tmp_path, change, message):
    path = tmp_path / 'reader.safetensors'
    random_reader().save(path, {})
    tensors, card = safetensors_file.read(path, 'reader')
    change(tensors)
    safetensors_file.write(path, tensors, card)
    with pytest.raises(UserError, match=message) as error:
        LandmarkReader.load(path)
    assert 'data_prep.train_landmark_reader' in str(error.value)


# --- The loss -------------------------------------------------------------------------------------


def test_the_loss_by_hand():
    landmarks = np.random.default_rng(0).random((3, 5, 2), np.float32)
    # 3 % to the right and 4 % down: 5 % away.
    moved = landmarks + np.float32([0.03, 0.04])
    loss = losses.landmark_loss(swapped_landmarks=moved, target_landmarks=landmarks)
    assert float(loss) == pytest.approx(25, rel=1e-4)
    loss = losses.landmark_loss(swapped_landmarks=landmarks, target_landmarks=landmarks)
    assert float(loss) == 0


def step_with(reader, weight):
    model = dataclasses.replace(
        small_model(),
        landmark_reader=reader,
        weights=LossWeights(landmarks=weight),
        generator_tx=optax.sgd(0.0),
    )
    step = jax.jit(functools.partial(train_step, model))
    _, reported = step(random_state(model), model.identity_encoder.params, random_batch())
    return {name: float(value) for name, value in reported.compute().items()}


def test_a_step_adds_the_weighted_loss_and_nothing_else():
    without, with_loss = step_with(None, 0.0), step_with(random_reader(), 0.5)
    assert 'landmarks' not in without
    assert with_loss['landmarks'] > 0
    assert with_loss['generator'] == pytest.approx(
        without['generator'] + 0.5 * with_loss['landmarks'], rel=1e-4
    )
    for name in without.keys() - {'generator'}:
        assert with_loss[name] == pytest.approx(without[name], rel=1e-5), name


def test_steps_bring_the_landmarks_nearer():
    model = dataclasses.replace(
        small_model(),
        landmark_reader=random_reader(),
        weights=LossWeights(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, landmarks=1.0),
        generator_tx=optax.adam(1e-3, b1=0.0),
    )
    step = jax.jit(functools.partial(train_step, model))
    state, distances = random_state(model), []
    for _ in range(20):
        state, reported = step(state, model.identity_encoder.params, random_batch())
        distances.append(float(reported.landmarks.compute()))
    assert distances[-1] < 0.8 * distances[0], distances
