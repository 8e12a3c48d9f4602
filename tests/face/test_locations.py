"""Places of faces: when two are of one face."""

from apgan_jax.face.landmarks import location_of
from apgan_jax.face.locations import Location


def test_a_rectangles_centre_and_longer_side():
    place = Location.of_rectangle(10, 20, 4, 8)
    assert place == (complex(12, 24), 8.0, 0.0)
    assert place.box == (8, 20, 16, 28)


def test_places_of_one_face():
    place = Location(0j, 100)
    assert place.is_same(Location(complex(30, 20), 90))
    assert not place.is_same(Location(complex(60, 0), 90))
    assert not Location(0j, 20).is_same(Location(complex(30, 0), 30))
    # Whichever of them is larger.
    large = Location(complex(60, 0), 160)
    assert place.is_same(large)
    assert large.is_same(place)


def test_a_place_among_others():
    place = Location(0j, 100)
    others = [Location(complex(500, 0), 100), Location(complex(10, 0), 80)]
    assert place.is_among(others)
    assert not place.is_among(others[:1])
    assert not place.is_among([])


def test_the_place_of_landmarks_is_about_them(portrait_face):
    place = location_of(portrait_face.landmarks)
    left, top, right, bottom = place.box
    assert portrait_face.landmarks[:, 0].min() >= left - 1e-3
    assert portrait_face.landmarks[:, 0].max() <= right + 1e-3
    assert portrait_face.landmarks[:, 1].min() >= top - 1e-3
    assert portrait_face.landmarks[:, 1].max() <= bottom + 1e-3
    assert abs(place.roll) < 10
