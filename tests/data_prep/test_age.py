"""Ages of people whose age is known, and the network's file."""

import os
from pathlib import Path

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face import landmarks
from apgan_jax.files.image_files import read_image
from data_prep import age
from data_prep.filtering import FaceFilter, FaceRules
from support.faces import portrait


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
