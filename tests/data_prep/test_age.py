"""Ages of people whose age is known, what is cut of a face, and the network's file."""

import dataclasses
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face import alignment, landmarks
from apgan_jax.files.image_files import read_image
from data_prep import age
from data_prep.filtering import FaceFilter, FaceRules
from support.faces import mirrored, portrait


def needs_age_network():
    try:
        age.AGE_NETWORK.find()
    except UserError as error:
        pytest.skip(str(error))


def test_the_age_network_has_the_published_size():
    """face-api's documentation: about 420 kB, one byte a weight."""
    needs_age_network()
    assert 400_000 < sum(each.size for each in age.read_weights().values()) < 440_000


def test_an_astronaut_is_grown_up(portrait_face):
    """Eileen Collins was in her forties."""
    needs_age_network()
    years = age.AgeNetwork().years(portrait(), portrait_face.landmarks)
    assert 25 < years < 55
    with FaceFilter(FaceRules(min_age=22)) as adults:
        assert adults.fault_of(portrait(), portrait_face) is None
    with FaceFilter(FaceRules(min_age=90)) as nobody:
        assert nobody.fault_of(portrait(), portrait_face).startswith('looks young: ')


def test_a_mirrored_face_is_as_old(image_landmarker, portrait_face):
    needs_age_network()
    network = age.AgeNetwork()
    mirrored = np.ascontiguousarray(portrait()[:, ::-1])
    (face,) = image_landmarker.detect(mirrored)
    years = network.years(portrait(), portrait_face.landmarks)
    assert network.years(mirrored, face.landmarks) == pytest.approx(years, abs=2)


def test_members_of_congress_are_adults(image_landmarker):
    """They are 25 at least; one in forty may look younger to the network."""
    needs_age_network()
    if 'APGAN_DATA' not in os.environ:
        pytest.skip('APGAN_DATA is unset: it would hold faces/congress')
    network = age.AgeNetwork()
    photos = sorted((Path(os.environ['APGAN_DATA']) / 'faces' / 'congress').iterdir())[:400:10]
    ages = []
    for photo in map(read_image, photos):
        face = landmarks.largest(image_landmarker.detect(photo))
        ages.append(network.years(photo, face.landmarks))
    assert np.mean(np.array(ages) < 22) <= 1 / 40
    assert 40 < np.median(ages) < 70


def test_a_missing_network_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv(age.AGE_NETWORK.variable, str(tmp_path / 'none.tgz'))
    with pytest.raises(
        UserError, match=r'none\.tgz: the age network was not found; run .*npm pack'
    ):
        FaceRules(min_age=22).require_models()
    FaceRules(clear=True).require_models()


def difference(chip, other):
    return np.abs(chip.astype(int) - other).mean()


def test_a_face_is_cut_upright_however_it_lies(portrait_face):
    chip = age.cut_chip(portrait(), portrait_face.landmarks)
    assert chip.shape == (112, 112, 3)
    matrix = cv2.getRotationMatrix2D((225.0, 115.0), 30, 1.5)
    rolled = cv2.warpAffine(portrait(), matrix, (512, 512), flags=cv2.INTER_CUBIC)
    points = alignment.transform_points(matrix, portrait_face.landmarks)
    assert difference(age.cut_chip(rolled, points), chip) < 4


def test_a_mirrored_face_is_cut_mirrored(portrait_face):
    chip = age.cut_chip(portrait(), portrait_face.landmarks)
    picture = np.ascontiguousarray(portrait()[:, ::-1])
    points = mirrored(portrait_face.landmarks, 512)
    # The template of the five points is not quite symmetric.
    assert difference(age.cut_chip(picture, points), chip[:, ::-1]) < 5
    assert difference(chip, chip[:, ::-1]) > 20


def test_the_face_is_five_sixths_of_what_is_cut(portrait_face):
    """Dots at brows, chin and cheeks stay, the farthest two of them 112 / 1.2 px apart."""
    points = portrait_face.landmarks
    canvas = np.zeros((2048, 2048, 3), np.uint8)
    for x, y in points[:468]:
        cv2.circle(canvas, (round(4 * float(x)), round(4 * float(y))), 4, (255, 255, 255), -1)
    rows, columns = np.nonzero(age.cut_chip(canvas, 4 * points)[..., 0] > 100)
    # The forehead, above the brows, is left out of the measure.
    assert columns.max() - columns.min() <= 112 / 1.2 + 3
    assert rows.max() == pytest.approx(111 / 2 + 112 / 2.4, abs=3)


def write_package(path, manifest, data):
    """A package as npm serves it, with these weights."""
    with tarfile.open(path, 'w:gz') as package:
        for name, content in (
            ('-weights_manifest.json', json.dumps([{'weights': manifest}]).encode()),
            ('.bin', data),
        ):
            member = tarfile.TarInfo(f'package/model/age_gender_model{name}')
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    return path


def test_weights_of_a_byte_are_steps_from_their_least(tmp_path, monkeypatch):
    floats = np.array([[1.5, -2.0, 0.25]], np.float32)
    manifest = [
        {'name': 'a', 'shape': [2, 2], 'quantization': {'scale': 0.5, 'min': -1.0}},
        {'name': 'b', 'shape': [1, 3]},
    ]
    data = bytes([0, 1, 2, 255]) + floats.tobytes()
    path = write_package(tmp_path / 'face-api.tgz', manifest, data)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(age, 'AGE_NETWORK', dataclasses.replace(age.AGE_NETWORK, sha256=digest))
    weights = age.read_weights(path)
    np.testing.assert_array_equal(weights['a'], [[-1, -0.5], [0, 126.5]])
    np.testing.assert_array_equal(weights['b'], floats)


def test_another_package_is_refused(tmp_path):
    path = write_package(tmp_path / 'face-api.tgz', [], b'')
    with pytest.raises(UserError, match=r'sha256 .* is not that of vladmandic-face-api'):
        age.read_weights(path)
