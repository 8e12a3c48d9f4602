"""What the landmark reader is trained on, and the command that trains one."""

import json

import jax
import numpy as np
import pytest

from apgan_jax.data import augmentation, png
from apgan_jax.data.example import serialise_example
from apgan_jax.data.pipeline import open_dataset
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import HEAD_V1_WINDOW
from apgan_jax.face.landmarks import LEFT_EYE, NOSE_TIP, NUM_LANDMARKS, RIGHT_EYE
from apgan_jax.files.image_files import encode_image
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.images import normalise_image
from apgan_jax.models.landmark_reader import INPUT_SIZE, LandmarkReader
from data_prep import train_landmark_reader
from support.faces import make_records, write_dataset


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


def test_counterparts_are_found_by_the_mean_face(aligned_head):
    # The portrait is turned: with its mirrored self beside it the mean is symmetric.
    noise = np.random.default_rng(0).normal(0, 1e-3, (50, NUM_LANDMARKS, 2))
    order = train_landmark_reader.mirrored_order((aligned_head.landmarks + 0.5) / 128 + noise)
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


def moved_portraits(folder, face, count):
    """A data set of the portrait, turned and scaled, with its landmarks."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(count):
        degrees, scale = rng.uniform(-25, 25), rng.uniform(0.85, 1.15)
        turned = np.radians(degrees)
        matrix = scale * np.array(
            [[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]]
        )
        image = augmentation.move(face.crop, degrees=degrees, scale=scale, shift=np.zeros(2))
        records.append(
            serialise_example(
                {
                    'image': encode_image(image, '.jpg'),
                    'boundary_map': png.encode_map(face.boundary_map),
                    'landmarks': ((face.landmarks - 63.5) @ matrix.T + 63.5).astype(np.float32),
                    'five_points': np.zeros((5, 2), np.float32),
                    'crop_from_frame': np.eye(2, 3, dtype=np.float32),
                    'identity': f'{number}'.encode(),
                    'file_name': f'{number}.jpg'.encode(),
                }
            )
        )
    return write_dataset(folder / 'data', records, size=128)


def test_the_command_trains_a_reader(tmp_path, aligned_head, capsys):
    # A twentieth is held out: of fewer, the variance to be explained would be chance.
    data, output = moved_portraits(tmp_path, aligned_head, 160), tmp_path / 'reader.safetensors'
    arguments = ['--data_dir', str(data), '--output', str(output), '--steps', '60']
    assert train_landmark_reader.main(arguments) == 0
    card = json.loads(capsys.readouterr().out)
    assert card['photos'] == 152
    assert min(card['explained_variance']) > 0.5, card
    read = LandmarkReader.load(output).read(
        normalise_image(aligned_head.crop[None]), HEAD_V1_WINDOW
    )[0]
    assert np.abs(read - (aligned_head.landmarks + 0.5) / 128).mean() < 0.02


def test_few_photos_are_refused(tmp_path, aligned_head, capsys):
    data, output = moved_portraits(tmp_path, aligned_head, 5), tmp_path / 'reader.safetensors'
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


def test_inner_faces_are_cut_as_the_network_takes_them(aligned_head):
    inner = np.asarray(
        train_landmark_reader._inner_faces(
            [aligned_head.crop, aligned_head.crop[:, ::-1]], HEAD_V1_WINDOW
        )
    )
    assert inner.shape == (2, INPUT_SIZE, INPUT_SIZE, 3)
    np.testing.assert_array_equal(inner[0], aligned_head.crop[40:104, 32:96])


def test_a_changed_picture_is_the_picture_still_less_a_blank_patch():
    noise = np.random.default_rng(0).random((8, 4, 4, 3), np.float32)
    pictures = noise.repeat(16, axis=1).repeat(16, axis=2)
    changed = np.asarray(jax.jit(train_landmark_reader.change)(pictures, jax.random.key(0)))
    for picture, other in zip(pictures, changed, strict=True):
        blank = (other == 0).all(axis=-1)
        # A square of 19 or 20 px, part of which may be outside.
        assert 0 < blank.sum() <= 20**2
        assert np.corrcoef(picture[~blank].ravel(), other[~blank].ravel())[0, 1] > 0.5
