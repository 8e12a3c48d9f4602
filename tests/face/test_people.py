"""People are known again by their faces, and for a moment by where they should be."""

import json

import numpy as np
import pytest

from apgan_jax.face.locations import Location
from apgan_jax.face.people import SAME_PERSON, People, Person

ANN, BOB = np.eye(192)[:2]


def at_angle(cosine):
    """A vector of length 1 with this cosine to `ANN`."""
    return cosine * ANN + np.sqrt(1 - cosine**2) * BOB


def crowd(*vectors):
    """People that were seen once, each 1000 pixels from the next."""
    people = People()
    for number, vector in enumerate(vectors):
        assert people.add() == number
        people[number].learn(vector)
        people[number].seen(Location(1000.0 * number + 0j, 100.0), 0.0)
    return people


def test_faces_are_known_again_wherever_they_are():
    people = crowd(ANN, BOB)
    assert people.recognise(ANN, Location(5000 + 0j, 30.0), 60.0) == 0
    assert people.recognise(BOB, Location(5000 + 0j, 30.0), 60.0) == 1
    assert people.recognise(-ANN, Location(5000 + 0j, 30.0), 60.0) is None


def test_whom_one_may_be_is_restricted_by_number():
    people = crowd(ANN, at_angle(0.9), BOB)
    assert people.recognise(ANN, Location(0j, 100.0), 60.0) == 0
    assert people.recognise(ANN, Location(0j, 100.0), 60.0, besides={0}) == 1
    assert people.recognise(ANN, Location(0j, 100.0), 60.0, among=[2]) is None
    assert People().recognise(ANN, Location(0j, 100.0), 0.0) is None


def test_a_doubtful_face_is_taken_for_who_was_just_there():
    doubtful = at_angle(SAME_PERSON - 0.02)
    people = crowd(ANN)
    assert people.recognise(doubtful, Location(10 + 0j, 100.0), 0.1) == 0
    assert people.recognise(doubtful, Location(900 + 0j, 100.0), 0.1) is None
    assert people.recognise(doubtful, Location(10 + 0j, 100.0), 10.0) is None


def test_without_vectors_place_size_and_time_decide():
    people = crowd(None, None)
    assert people.recognise(None, Location(990 + 5j, 100.0), 0.1) == 1
    assert people.recognise(None, Location(500 + 0j, 100.0), 0.1) is None
    assert people.recognise(None, Location(1000 + 0j, 300.0), 0.1) is None
    assert people.recognise(None, Location(1000 + 0j, 100.0), 5.0) is None


def test_a_steady_motion_is_learnt_and_continued():
    person, velocity = Person(), 200 - 100j
    for frame in range(40):
        person.seen(Location(velocity * frame / 25, 50.0), frame / 25)
    assert person.velocity == pytest.approx(velocity, rel=0.01)
    assert person.expected(2.0) == pytest.approx(velocity * 2.0, rel=0.01)
    # After a pause nobody knows where it goes.
    person.seen(Location(0j, 50.0), 10.0)
    assert person.velocity == 0


def test_the_mean_vector_has_length_1_and_follows():
    person = Person()
    person.learn(None)
    assert person.vector is None
    for _ in range(30):
        person.learn(ANN)
    np.testing.assert_allclose(person.vector, ANN)
    person.learn(BOB)
    assert np.linalg.norm(person.vector) == pytest.approx(1)
    assert person.vector @ ANN > person.vector @ BOB > 0


def test_a_state_comes_back_and_does_not_change_later():
    people = crowd(ANN, None)
    state = people.state()
    before = json.dumps(state, default=np.ndarray.tolist)
    people[0].learn(BOB)
    people[1].seen(Location(7j, 3.0), 1.0)
    people.add()
    assert json.dumps(state, default=np.ndarray.tolist) == before
    again = People()
    again.restore(state)
    assert again.vectors().keys() == {0, 1}
    np.testing.assert_array_equal(again[0].vector, ANN)
    assert again[1].expected(3.0) == 1000 + 0j
    assert again.add() == 2
