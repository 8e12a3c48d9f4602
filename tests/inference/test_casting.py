import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.tracking import TrackedFace
from apgan_jax.inference import casting
from apgan_jax.inference.casting import (
    Anonymous,
    EveryFace,
    Like,
    Mapped,
    OneSource,
    parse_selector,
)
from apgan_jax.inference.identity_means import IdentityMeans
from support.embeddings import VECTORS, crop_of, embed_by_colour


def face(person, left, size=20.0):
    corners = np.array([[left, 10.0], [left + size, 10.0 + size]], np.float32)
    return TrackedFace(person, corners)


def asked(cast, means, *frames):
    """The answers of a casting or a selector, frame by frame; who a face is, its place tells."""
    answers = []
    for faces in frames:
        for face in faces:
            means.observe(face.person, crop_of(int(face.landmarks[0, 0]) // 10))
        answers.append(cast(faces))
    return answers


def choose(text, *frames):
    means = IdentityMeans(embed_by_colour)
    rule = parse_selector(text, like=lambda path: Like(VECTORS[int(path.stem)], means))
    return [[chosen.person for chosen in answer] for answer in asked(rule, means, *frames)]


LEFT, MIDDLE, RIGHT = face(5, 10), face(6, 50, 40), face(7, 120)


def test_all_left_and_right():
    frame = [MIDDLE, RIGHT, LEFT]
    assert choose('all', frame, []) == [[6, 7, 5], []]
    assert choose('left', frame, []) == [[5], []]
    assert choose('right', frame, []) == [[7], []]


def test_the_largest_stays_until_another_one_is_clearly_larger():
    first = [face(1, 10, 30), face(2, 60, 28)]
    a_little_larger = [face(1, 10, 30), face(2, 60, 33)]
    much_larger = [face(1, 10, 30), face(2, 60, 50)]
    alone = [face(2, 60, 5)]
    frames = (first, a_little_larger, much_larger, alone, [])
    assert choose('largest', *frames) == [[1], [1], [2], [2], []]


def test_numbers_are_those_that_people_are_followed_by_from_one():
    frame = [face(1, 10), face(0, 60), face(2, 90)]
    assert [choose(text, frame, []) for text in '123'] == [[[0], []], [[1], []], [[2], []]]


def test_like_a_photo():
    assert choose('like:5.jpg', [LEFT, MIDDLE], [LEFT]) == [[6], []]


@pytest.mark.parametrize('text', ['biggest', '0', '-1', 'like', ''])
def test_other_words_are_refused(text):
    with pytest.raises(UserError, match=f'--face {text}: must be one of largest, all'):
        choose(text, [])


def identities(count):
    return [f'identity {number}' for number in range(count)]


def test_one_source_is_for_all_that_are_chosen():
    cast = OneSource('somebody', EveryFace())
    assert cast([LEFT, MIDDLE]) == [(LEFT, 'somebody', 0), (MIDDLE, 'somebody', 0)]
    cast = OneSource('somebody', parse_selector('left', like=None))
    assert cast([LEFT, MIDDLE]) == [(LEFT, 'somebody', 0)]


def test_a_map_gives_everybody_of_it_their_own():
    means = IdentityMeans(embed_by_colour)
    cast = Mapped(VECTORS[[1, 5]], identities(2), means)
    (roles,) = asked(cast, means, [MIDDLE, RIGHT, LEFT])
    assert {role.face.person: role.identity for role in roles} == {
        5: 'identity 0',
        6: 'identity 1',
    }


def test_nobody_of_a_map_is_in_a_frame_twice():
    means = IdentityMeans(embed_by_colour)
    cast = Mapped(VECTORS[[1]], identities(1), means)
    (roles,) = asked(cast, means, [face(1, 10), face(2, 12)])
    assert len(roles) == 1


def test_everybody_anonymous_is_somebody_else_and_stays_so():
    means = IdentityMeans(embed_by_colour)
    cast = Anonymous(VECTORS[:3], identities(3), means)
    frames = [[face(0, 10), face(1, 50)], [face(1, 52)], [face(1, 52), face(0, 11), face(2, 70)]]
    answers = asked(cast, means, *frames)
    given = [{role.face.person: role.identity for role in roles} for roles in answers]
    assert given[0].keys() == {0, 1}
    assert given[1][1] == given[0][1]
    assert given[2][0] == given[0][0]
    assert len(set(given[2].values())) == 3
    # Who they are themselves (vector 1) is not what the first one becomes.
    assert given[0][0] != 'identity 1'


def test_a_bank_that_is_used_up_starts_again():
    means = IdentityMeans(embed_by_colour)
    cast = Anonymous(VECTORS[:2], identities(2), means)
    (roles,) = asked(cast, means, [face(number, 40) for number in range(4)])
    assert sorted(role.identity for role in roles) == ['identity 0'] * 2 + ['identity 1'] * 2


def test_identities_given_are_restored():
    means = IdentityMeans(embed_by_colour)
    cast = Anonymous(VECTORS[:3], identities(3), means)
    ((before,),) = asked(cast, means, [face(4, 10)])
    again = Anonymous(VECTORS[:3], identities(3), means)
    again.restore(cast.state())
    ((after,),) = asked(again, means, [face(4, 70)])
    assert after.identity == before.identity


def write_map(tmp_path, text):
    path = tmp_path / 'who.toml'
    path.write_text(text)
    return path


def test_a_map_file(tmp_path):
    text = '[[person]]\nlike = "a.jpg"\nsource = "x.jpg"\n'
    text += '[[person]]\nlike = "b.jpg"\nsource = ["y.jpg", "z.mp4"]\n'
    assert casting.read_map(write_map(tmp_path, text)) == [
        casting.MapEntry(tmp_path / 'a.jpg', (tmp_path / 'x.jpg',)),
        casting.MapEntry(tmp_path / 'b.jpg', (tmp_path / 'y.jpg', tmp_path / 'z.mp4')),
    ]


@pytest.mark.parametrize(
    'text, message',
    [
        ('[[person', 'is no TOML'),
        ('', r'must consist of \[\[person\]\] tables'),
        ('[person]\nlike = "a"', r'must consist of \[\[person\]\] tables'),
        ('[[person]]\nlike = "a.jpg"', 'person 1 must have like'),
        ('[[person]]\nlike = 3\nsource = "a"', 'person 1 must have like'),
        ('[[person]]\nlike = "a"\nsource = []', 'person 1 must have like'),
        ('[[person]]\nlike = "a"\nsource = "b"\nsourse = "c"', 'person 1 must have like'),
        (2 * '[[person]]\nlike = "a.jpg"\nsource = "b"\n', r'has a\.jpg for 2 people; leave one'),
        ('person = ["anna"]', r'must consist of \[\[person\]\] tables'),
        ('person = ' + '[' * 5000, 'is no TOML'),
        ('[[person]]\nlike = "a\\u0000"\nsource = "b"', 'person 1 must have like'),
        (f'[[person]]\nlike = "a"\nsource = "{"b" * 300}"', 'person 1 must have like'),
    ],
)
def test_wrong_map_files_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        casting.read_map(write_map(tmp_path, text))
    assert '\n' not in str(caught.value)


def test_a_missing_map_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'who\.toml: cannot be read'):
        casting.read_map(tmp_path / 'who.toml')
