"""The network that reads landmarks, its loss in a step, and the command that trains it."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from apgan_jax.data import augmentation, png
from apgan_jax.data.example import serialise_example
from apgan_jax.data.pipeline import open_dataset
from apgan_jax.errors import UserError
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.landmarks import LEFT_EYE, NOSE_TIP, NUM_LANDMARKS, RIGHT_EYE
from apgan_jax.files import safetensors_file
from apgan_jax.files.image_files import encode_image
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.images import normalise_image, resize_window
from apgan_jax.models.landmark_reader import (
    INNER_FACE,
    INPUT_SIZE,
    LandmarkNetwork,
    LandmarkReader,
)
from apgan_jax.training import losses
from apgan_jax.training.losses import LossWeights
from apgan_jax.training.train_step import train_step
from data_prep import train_landmark_reader
from support.faces import head, make_records, random_state, write_dataset
from support.small_step import random_batch, small_model


@pytest.fixture(scope='module')
def shipped():
    return LandmarkReader.load()


@pytest.fixture(scope='module')
def aligned(image_landmarker):
    (face,) = image_landmarker.detect(head())
    return align_face(head(), face.landmarks, CropSpec(size=128))


def random_reader(num_components=3):
    rng = np.random.default_rng(0)
    picture = jnp.zeros((1, INPUT_SIZE, INPUT_SIZE, 3))
    params = LandmarkNetwork(num_components).init(jax.random.key(0), picture)['params']
    mean, *components = rng.random((1 + num_components, 7, 2), np.float32)
    return LandmarkReader(jax.device_get(params), mean, np.stack(components))


# --- Reading --------------------------------------------------------------------------------------


def test_the_inner_face_of_128_px_is_pixels_as_they_are():
    crops = np.random.default_rng(0).random((2, 128, 128, 3), np.float32)
    inner = resize_window(crops, INNER_FACE, INPUT_SIZE)
    np.testing.assert_allclose(inner, crops[:, 40:104, 32:96], atol=1e-6)


def test_the_shipped_reader_finds_what_mediapipe_finds(shipped, aligned):
    read = np.asarray(shipped.read(normalise_image(aligned.crop[None])))[0]
    assert read.shape == (NUM_LANDMARKS, 2)
    wanted = (aligned.landmarks + 0.5) / 128
    # A hundredth of the crop is 1.3 px; people differ from their mean by 2.1 hundredths.
    assert np.linalg.norm(read - wanted, axis=1).mean() < 0.013


def test_the_shipped_reader_sees_a_mirrored_face_mirrored(shipped, aligned):
    crops = normalise_image(np.stack([aligned.crop, aligned.crop[:, ::-1]]))
    face, mirrored = np.asarray(shipped.read(crops))
    assert np.abs(mirrored[NOSE_TIP] - ([1, 0] + face[NOSE_TIP] * [-1, 1])).max() < 0.01
    left, right = face[list(LEFT_EYE)].mean(0), mirrored[list(RIGHT_EYE)].mean(0)
    assert np.abs(right - ([1, 0] + left * [-1, 1])).max() < 0.01


@pytest.mark.parametrize('size', [64, 256])
def test_the_crops_size_matters_little(shipped, aligned, size):
    crop = jax.image.resize(normalise_image(aligned.crop), (size, size, 3), 'linear')
    read = shipped.read(jnp.stack([crop]))
    expected = shipped.read(normalise_image(aligned.crop[None]))
    assert float(jnp.linalg.norm(read - expected, axis=-1).mean()) < 0.01


def test_a_file_gives_back_what_was_saved(tmp_path):
    reader = random_reader()
    reader.save(tmp_path / 'reader.safetensors', {'kind': 'landmark_reader'})
    loaded = LandmarkReader.load(tmp_path / 'reader.safetensors')
    crops = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(loaded.read(crops), reader.read(crops))


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


# --- Training a reader ----------------------------------------------------------------------------


def test_components_are_the_directions_of_most_variance():
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(10, 3)))[0].T.reshape(3, 5, 2)
    drawn = rng.normal(size=(20_000, 3)) * [0.3, 0.2, 0.1]
    landmarks = 0.5 + np.tensordot(drawn, directions, 1)
    mean, components = train_landmark_reader.principal_components(landmarks)
    np.testing.assert_allclose(mean, 0.5, atol=0.01)
    np.testing.assert_allclose(np.linalg.norm(components, axis=(1, 2)), [0.3, 0.2, 0.1], rtol=0.05)
    found = train_landmark_reader.coordinates(landmarks, mean, components)
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=0.01)
    np.testing.assert_allclose(mean + np.tensordot(found, components, 1), landmarks, atol=1e-5)


def test_counterparts_are_found_by_the_mean_face(aligned):
    # The portrait is turned: with its mirrored self beside it the mean is symmetric.
    noise = np.random.default_rng(0).normal(0, 1e-3, (50, NUM_LANDMARKS, 2))
    order = train_landmark_reader.mirrored_order((aligned.landmarks + 0.5) / 128 + noise)
    np.testing.assert_array_equal(order[order], np.arange(NUM_LANDMARKS))
    assert order[NOSE_TIP] == NOSE_TIP
    assert {*order[list(LEFT_EYE)]} <= {*RIGHT_EYE, *range(NUM_LANDMARKS)} - {*LEFT_EYE}


def test_a_face_mirrored_twice_is_itself():
    rng = np.random.default_rng(0)
    faces = train_landmark_reader.LabelledFaces(
        rng.integers(0, 256, (2, 4, 4, 3), np.uint8), rng.random((2, 3, 2), np.float32)
    )
    order = np.array([1, 0, 2])
    once = train_landmark_reader.mirror_faces(faces, order)
    np.testing.assert_allclose(once.landmarks[:, 0, 0], 1 - faces.landmarks[:, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(once.landmarks[:, 2, 1], faces.landmarks[:, 2, 1])
    for part, original in zip(train_landmark_reader.mirror_faces(once, order), faces, strict=True):
        np.testing.assert_allclose(part, original, atol=1e-6)


def moved_portraits(folder, aligned, count):
    """A data set of the portrait, turned and scaled, with its landmarks."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(count):
        degrees, scale = rng.uniform(-25, 25), rng.uniform(0.85, 1.15)
        turned = np.radians(degrees)
        matrix = scale * np.array(
            [[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]]
        )
        image = augmentation.move(aligned.crop, degrees=degrees, scale=scale, shift=np.zeros(2))
        records.append(
            serialise_example(
                {
                    'image': encode_image(image, '.jpg'),
                    'boundary_map': png.encode_map(aligned.boundary_map),
                    'landmarks': ((aligned.landmarks - 63.5) @ matrix.T + 63.5).astype(np.float32),
                    'five_points': np.zeros((5, 2), np.float32),
                    'crop_from_frame': np.eye(2, 3, dtype=np.float32),
                    'identity': f'{number}'.encode(),
                    'file_name': f'{number}.jpg'.encode(),
                }
            )
        )
    return write_dataset(folder / 'data', records, size=128)


def test_the_command_trains_a_reader(tmp_path, aligned, capsys):
    # A twentieth is held out: of fewer, the variance to be explained would be chance.
    data, output = moved_portraits(tmp_path, aligned, 160), tmp_path / 'reader.safetensors'
    arguments = ['--data_dir', str(data), '--output', str(output), '--steps', '60']
    assert train_landmark_reader.main(arguments) == 0
    card = json.loads(capsys.readouterr().out)
    assert card['photos'] == 152
    assert min(card['explained_variance']) > 0.5, card
    read = LandmarkReader.load(output).read(normalise_image(aligned.crop[None]))[0]
    assert np.abs(read - (aligned.landmarks + 0.5) / 128).mean() < 0.02


def test_few_photos_are_refused(tmp_path, aligned, capsys):
    data, output = moved_portraits(tmp_path, aligned, 5), tmp_path / 'reader.safetensors'
    assert train_landmark_reader.main(['--data_dir', str(data), '--output', str(output)]) == 1
    assert capsys.readouterr().err == f'error: {data}: 5 photos; at least 40 are needed\n'
    assert not output.exists()


def test_swapped_faces_have_landmarks_of_their_own(tiny_bundle, built_dataset):
    dataset = open_dataset(built_dataset.folder)
    faces = train_landmark_reader.swap_photos(dataset, Swapper(tiny_bundle), 16, seed=0)
    assert 1 <= len(faces.inner) <= 16
    assert faces.inner.shape[1:] == (INPUT_SIZE, INPUT_SIZE, 3)
    # In parts of the size: the nose is in the middle, not 30 px from the corner.
    assert np.abs(faces.landmarks[:, NOSE_TIP] - [0.5, 0.56]).max() < 0.15


def test_a_bundle_that_makes_no_faces_is_refused(tiny_bundle, tmp_path):
    blank = make_records(4, identity=str, size=64)
    dataset = open_dataset(write_dataset(tmp_path / 'data', blank, size=64))
    with pytest.raises(UserError, match='tiny: no face in 16 swapped pictures'):
        train_landmark_reader.swap_photos(dataset, Swapper(tiny_bundle), 16, seed=0)


def test_inner_faces_are_cut_as_the_network_takes_them(aligned):
    inner = np.asarray(train_landmark_reader._inner_faces([aligned.crop, aligned.crop[:, ::-1]]))
    assert inner.shape == (2, INPUT_SIZE, INPUT_SIZE, 3)
    np.testing.assert_array_equal(inner[0], aligned.crop[40:104, 32:96])
