"""Counts add up, for a person and for all, and survive a file."""

import json

from apgan_jax.inference.face_counts import Doubtful, FaceCounts, PersonCounts


def counts():
    people = {0: PersonCounts(3, swapped=2, blurred=1), 4: PersonCounts(2, left=2)}
    doubtful = [Doubtful(1.5, (10.2, 20.0, 30.0, 40.7))]
    return FaceCounts(5, 1, people, PersonCounts(1, blurred=1), doubtful)


def test_sums():
    assert (counts().swapped, counts().blurred, counts().left) == (2, 2, 2)
    twice = counts()
    twice.add(counts())
    assert twice.people[0] == PersonCounts(6, swapped=4, blurred=2)
    assert (twice.frames, twice.without_face, len(twice.doubtful)) == (10, 2, 2)
    assert (twice.swapped, twice.blurred, twice.left) == (4, 4, 4)


def test_one_face_more():
    changed = counts()
    changed.count('swapped', 4)
    changed.count('blurred')
    assert changed.people[4] == PersonCounts(2, swapped=1, left=2)
    assert changed.others == PersonCounts(2, blurred=2)


def test_forgotten_people_are_still_counted():
    changed = counts()
    changed.forget_people()
    assert changed.people == {}
    assert (changed.swapped, changed.blurred, changed.left) == (2, 2, 2)
    assert changed.others.frames == 6


def test_doubtful_faces_of_a_folder_are_those_of_a_file():
    changed = counts()
    changed.name_file('sub/a.mp4')
    assert changed.lines()[-1] == '  sub/a.mp4 at 1.50 s from 10, 20 to 30, 41'


def test_a_tree_is_json_and_no_view():
    original = counts()
    tree = original.tree()
    again = FaceCounts.of_tree(json.loads(json.dumps(tree)))
    assert again == original
    original.count('swapped', 0)
    assert FaceCounts.of_tree(tree) == counts()


def test_lines():
    lines = counts().lines()
    assert lines[0] == '2 faces swapped in 5 frames'
    assert [line.split() for line in lines[4:8]] == [
        ['person', 'frames', 'swapped', 'blurred', 'left'],
        ['1', '3', '2', '1', '0'],
        ['5', '2', '0', '0', '2'],
        ['others', '1', '0', '1', '0'],
    ]
    assert lines[8:] == [
        '1 faces may be recognisable still:',
        '  at 1.50 s from 10, 20 to 30, 41',
    ]
