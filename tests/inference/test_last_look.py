"""Nobody is recognisable in what is written, and nobody is seen for a frame between two."""

import json

import numpy as np
import pytest

from apgan_jax.face import blending
from apgan_jax.face.locations import Location
from apgan_jax.files import array_tree
from apgan_jax.inference.face_counts import FaceCounts
from apgan_jax.inference.frame_swapper import Swapped
from apgan_jax.inference.last_look import LastLook
from apgan_jax.networks.recognisers import SFaceRecogniser
from support.scenes import Frame, add_face, clip, empty

PLACE = (640, 330)


@pytest.fixture(scope='module')
def sface():
    return SFaceRecogniser()


def unchanged(pictures, start=0):
    for frame in clip(pictures, noise=0, start=start):
        yield Swapped(frame, [], FaceCounts(1)), frame.number


def looked_at(last_look, frames):
    return [done for done, _ in last_look.run(frames)]


def hides(done, place):
    """Whether a patch covers a place."""
    covered = np.zeros((*done.frame.rgb.shape[:2], 3), np.uint8)
    for patch in done.patches:
        white = np.full_like(patch.picture, 255)
        blending.paste(covered, blending.Patch(white, patch.mask, patch.picture_from_frame))
    return covered[place[1], place[0], 0] > 250


def replaced(target, other):
    """A target whose picture is to become the other one, all of it."""
    mask = np.ones(target.shape[:2], np.float32)
    mask[[0, -1]] = mask[:, [0, -1]] = 0
    patch = blending.Patch(other, mask, np.eye(2, 3))
    return Swapped(Frame(target, 0.0, 0), [patch], FaceCounts(1))


def test_a_face_that_was_left_is_hidden(sface):
    (done,) = looked_at(LastLook(sface), unchanged([add_face(empty(), PLACE, 180)]))
    assert hides(done, PLACE)
    again = Swapped(Frame(done.frame.rgb, 0.0, 0), done.patches, FaceCounts(1))
    ((after, _),) = LastLook(sface).run([(again, None)])
    assert after.counts.blurred == 0
    assert done.counts.blurred == 1
    assert done.counts.doubtful == []


def test_a_stranger_in_their_place_stays(sface, stranger):
    target = add_face(empty(), PLACE, 180)
    done = replaced(target, add_face(empty(), PLACE, 180, stranger))
    ((after, companion),) = LastLook(sface).run([(done, 'companion')])
    assert (len(after.patches), after.counts.blurred, companion) == (1, 0, 'companion')


def test_a_swap_that_left_the_person_is_hidden(sface):
    target = add_face(empty(), PLACE, 180)
    same = np.clip(add_face(empty(), PLACE, 180) * 0.8 + 20, 0, 255).astype(np.uint8)
    ((after, _),) = LastLook(sface).run([(replaced(target, same), None)])
    assert after.counts.blurred == 1


@pytest.mark.parametrize('place, width', [((640, 330), 40), ((200, 600), 24), ((20, 330), 180)])
def test_small_ones_and_those_at_the_border(sface, place, width):
    (done,) = looked_at(LastLook(sface), unchanged([add_face(empty(), place, width)]))
    assert hides(done, (max(place[0], 30), place[1]))


def test_upside_down(sface):
    (done,) = looked_at(LastLook(sface), unchanged([add_face(empty(), PLACE, 180, roll=180)]))
    assert hides(done, PLACE)


def vanishing(place, visible):
    """A face that is there by this part: it comes and goes, and is not cut in."""
    canvas = empty(110)
    return np.uint8(canvas + (add_face(canvas.copy(), place, 180) - canvas.astype(float)) * visible)


def test_nobody_is_seen_before_after_and_between(sface):
    """Seen from 16 to 19 and from 24 to 26; 12 frames about that are hidden, no more."""
    faint = [vanishing(PLACE, 0.04)]
    pictures = faint * 16 + [vanishing(PLACE, 0.3)] * 4 + faint * 4
    pictures += [vanishing((700, 330), 0.3)] * 3 + faint * 16
    dones = looked_at(LastLook(sface), unchanged(pictures))
    hidden = [hides(done, PLACE) or hides(done, (700, 330)) for done in dones]
    assert hidden == [4 <= number < 39 for number in range(len(pictures))]
    # Halfway in time and in space.
    assert all(hides(done, (670, 330)) for done in dones[20:24])


def test_a_picture_in_the_picture_that_is_cut_in_is_followed_for_two_frames(sface):
    pictures = [empty(200)] * 5 + [add_face(empty(200), PLACE, 180)] * 2 + [empty(200)] * 5
    dones = looked_at(LastLook(sface), unchanged(pictures))
    assert [hides(done, PLACE) for done in dones] == [3 <= number < 9 for number in range(12)]


def test_not_over_a_cut(sface):
    dark, light = empty(40), empty(200)
    pictures = [dark] * 3 + [add_face(light, PLACE, 180)] * 2 + [dark] * 3
    dones = looked_at(LastLook(sface), unchanged(pictures))
    assert [bool(done.patches) for done in dones] == [False] * 3 + [True] * 2 + [False] * 3


def test_whom_the_tracker_knows_is_looked_at_closely(sface):
    """Where no face can be seen, but somebody follows one, nothing is hidden either."""
    frame = Frame(empty(), 0.0, 0)
    location = Location(complex(*PLACE), 180.0)
    done = Swapped(frame, [], FaceCounts(1), {0: location})
    ((after, _),) = LastLook(sface).run([(done, None)])
    assert after.patches == []


def test_it_is_late_by_its_reach_and_in_order(sface):
    given = []

    def frames():
        for done, number in unchanged([empty()] * 9):
            given.append(number)
            yield done, number

    for expected, (_, number) in enumerate(LastLook(sface, reach=3).run(frames())):
        assert number == expected
        assert len(given) == min(9, expected + 4)


@pytest.mark.parametrize('cut', [5, 8, 11])
def test_who_goes_on_hides_the_same(sface, cut):
    pictures = [add_face(empty(), PLACE, 180)] * 4 + [empty()] * 5
    pictures += [add_face(empty(), (720, 330), 180)] * 3 + [empty()] * 4
    straight = looked_at(LastLook(sface), unchanged(pictures))
    first = LastLook(sface)
    for _, number in first.run(unchanged(pictures)):
        if number == cut:
            document, arrays = array_tree.split(first.state())
            break
    second = LastLook(sface)
    second.restore(array_tree.join(json.loads(json.dumps(document)), arrays))
    rest = looked_at(second, unchanged(pictures[cut + 1 :], start=cut + 1))
    for one, other in zip(straight[cut + 1 :], rest, strict=True):
        places = [each.picture_from_frame.tolist() for each in one.patches]
        assert [each.picture_from_frame.tolist() for each in other.patches] == places
