"""What is held before a face or stuck on it, painted by chance: hands, microphones, small things.

Each function paints one thing on a brush; lengths are in distances between the eyes.
"""

import numpy as np

from apgan_jax.data import swatches
from apgan_jax.data.brush import Brush, Line
from apgan_jax.data.outlines import curve, point, rotated, rounded_box, tapered
from apgan_jax.face import landmarks as points

_SKINS = ((235, 200, 180), (220, 175, 150), (195, 145, 115), (150, 100, 75), (95, 62, 45))
_FOAMS = ((30, 30, 34), (85, 85, 90), (20, 20, 25), (150, 30, 35), (40, 60, 130))
# Where hands go: mouth, chin, either cheek, nose, either eye and temple, forehead.
_TOUCHED = (13, 0, 152, 50, 280, 205, 425, 1, 159, 386, 127, 356, 9)
_MOUTH = (13, 14)
# Of a viewer's left and right.
_EARS, _TEMPLES = (234, 454), (127, 356)
# Fingers from the index finger to the little one: where they begin and how long they are.
_KNUCKLES = np.array([[-0.4, -0.42], [-0.13, -0.5], [0.14, -0.47], [0.4, -0.36]])
_FINGERS = np.array([0.85, 1.0, 0.92, 0.7])
_PALM = np.array(
    [[-0.52, -0.42], [0.0, -0.55], [0.5, -0.38], [0.52, 0.2], [0.36, 0.75], [-0.36, 0.75]]
)


def paint_hand(brush: Brush, rng: np.random.Generator) -> None:
    """A hand from below or from the side, its fingers together, spread or bent."""
    angle = rng.uniform(-1.7, 1.7)
    place = brush.at(swatches.pick(_TOUCHED, rng)) + rng.normal(0, 0.15, 2)
    reach = rng.uniform(0.2, 1.3)
    _paint_hand_at(brush, place, angle, reach, rng)


def paint_held_thing(brush: Brush, rng: np.random.Generator) -> None:
    """A card, a telephone or a cup before the face, in a hand or without one."""
    place = brush.at(swatches.pick(_TOUCHED, rng)) + rng.normal(0, 0.2, 2) + point(0, 0.2)
    angle = rng.normal(0, 0.4)
    size = rng.uniform(0.3, 0.75), rng.uniform(0.35, 0.8)
    outline = rotated(rounded_box(*size, swatches.pick((2.0, 4.0, 12.0), rng)), angle)
    brush.paint([place + outline], _thing(brush, rng), rim=swatches.pick((0.0, 0.04, 0.15), rng))
    if rng.random() < 0.6:
        below = place + rotated(point(0, size[1] + 0.3), angle)
        _paint_hand_at(brush, below, angle, rng.uniform(0.3, 0.9), rng)


def paint_microphone(brush: Brush, rng: np.random.Generator) -> None:
    """A round head before mouth or chin with its handle, or a small one before a headset."""
    mouth = brush.at(*_MOUTH)
    foam = swatches.noisy(swatches.one_of(_FOAMS, rng), rng, swatches.pick((0.1, 0.3), rng))
    if rng.random() < 0.2:
        side = swatches.pick((-1.0, 1.0), rng)
        ear = brush.at(_EARS[int(side > 0)])
        head = mouth + point(side * rng.uniform(0.2, 0.4), rng.uniform(0, 0.2))
        bow = curve(ear, head + point(side * 0.4, 0.3), head)
        brush.paint([Line(bow, rng.uniform(0.03, 0.06))], swatches.flat((25, 25, 28)))
        brush.paint([head + rounded_box(0.14, 0.1, 2)], foam, rim=0.06)
        return
    head = mouth + point(rng.uniform(-0.45, 0.45), rng.uniform(0.1, 0.6))
    angle, radius = rng.uniform(-1.2, 1.2), rng.uniform(0.2, 0.42)
    handle = np.stack([head, head + rotated(point(0, 3.5), angle)])
    barrel = tapered(handle, radius * rng.uniform(1.0, 1.4), 0.7)
    brush.paint([barrel], swatches.shaded(swatches.one_of(_FOAMS, rng), rng), rim=0.1)
    ball = rotated(rounded_box(radius, radius * rng.uniform(1, 1.3), 2.2), angle)
    brush.paint([head + ball], foam, rim=0.15)
    if rng.random() < 0.5:
        grip = head + rotated(point(0, rng.uniform(1.0, 1.6)), angle)
        _paint_hand_at(brush, grip, angle + swatches.pick((-1.0, 1.0), rng), 0.2, rng)


def paint_small_thing(brush: Brush, rng: np.random.Generator) -> None:
    """A cigarette, a straw, a sticker, a plaster, a caption or a patch before an eye."""
    things = (_cigarette, _straw, _sticker, _plaster, _caption, _eye_patch)
    things[rng.integers(len(things))](brush, rng)


def _paint_hand_at(
    brush: Brush, place: np.ndarray, angle: float, reach: float, rng: np.random.Generator
) -> None:
    """A hand whose arm comes from below, turned by `angle`.

    Args:
      brush: to paint with.
      place: (2,), what it touches.
      angle: clockwise, radians.
      reach: which part of the hand is there: 0 the palm, 1 the finger tips.
      rng: of everything else.
    """
    size, side = rng.uniform(0.8, 1.25), swatches.pick((-1.0, 1.0), rng)
    skin = brush.skin if rng.random() < 0.5 else swatches.one_of(_SKINS, rng)
    swatch = swatches.shaded(skin * rng.uniform(0.75, 1.15), rng, 0.07)

    def placed(corners: np.ndarray) -> np.ndarray:
        return place + rotated((corners + point(0, reach)) * (side * size, size), angle)

    arm = placed(tapered(np.array([[0.0, 0.6], [0.0, 4.5]]), 0.78, 1.2))
    thumb = np.array([[-0.4, 0.3], [-0.75, -0.1], [-0.75 + rng.uniform(0, 0.4), -0.55]])
    brush.paint([arm, placed(_PALM), placed(tapered(curve(*thumb), 0.32, 0.7))], swatch, rim=0.2)
    fingers = [placed(path) for path in _finger_paths(rng)]
    width = size * rng.uniform(0.22, 0.27)
    # Every other one at once: the others lie over them, with their own rims.
    for turn in (fingers[::2], fingers[1::2]):
        brush.paint([Line(path, width) for path in turn], swatch, rim=0.1)
    if rng.random() < 0.5:
        nail = rotated(rounded_box(0.07, 0.09, 2.5), angle)
        nails = [path[-1] + nail for path in fingers]
        brush.paint(nails, swatches.flat(np.minimum(skin * 1.1 + 12, 255)), opacity=0.7)


def _finger_paths(rng: np.random.Generator) -> np.ndarray:
    """Of a hand that points up, its knuckles at `_KNUCKLES`, (4, 8, 2)."""
    spread = swatches.pick((0.0, rng.uniform(0.1, 0.35)), rng) * np.array([-1.5, -0.5, 0.5, 1.5])
    # Bent ones seem shorter.
    stretched = np.where(rng.random(4) < swatches.pick((0.1, 0.5), rng), 0.35, 1.0) * rng.uniform(
        0.85, 1
    )
    along = np.stack([np.sin(spread), -np.cos(spread)], axis=1)
    tips = _KNUCKLES + along * (_FINGERS * stretched)[:, None]
    bends = (_KNUCKLES + tips) / 2 + rng.normal(0, 0.04, (4, 2))
    return curve(_KNUCKLES + point(0, 0.1), bends, tips)


def _thing(brush: Brush, rng: np.random.Generator) -> np.ndarray:
    """What is on a thing: another photo, print, or nothing."""
    kind = rng.integers(4)
    if kind == 0:
        return swatches.of_photo(brush.texture, rng)
    if kind == 1:
        return swatches.lettered(swatches.some_colour(rng), swatches.some_colour(rng), rng)
    if kind == 2:
        return swatches.striped([swatches.some_colour(rng) for _ in range(3)], 6)
    return swatches.shaded(swatches.some_colour(rng), rng)


def _cigarette(brush: Brush, rng: np.random.Generator) -> None:
    lips = brush.at(*_MOUTH) + point(rng.uniform(-0.25, 0.25), 0)
    tip = lips + rotated(point(0, rng.uniform(0.6, 1.0)), rng.uniform(-1.4, 1.4))
    width, along = rng.uniform(0.07, 0.11), (tip - lips)
    brush.paint([Line(np.stack([lips, tip]), width)], swatches.flat((235, 232, 225)), rim=0.03)
    filter_end = lips + 0.3 * along
    brush.paint([Line(np.stack([lips, filter_end]), width)], swatches.flat((200, 140, 80)))
    brush.paint([Line(np.stack([tip, tip + 0.06 * along]), width)], swatches.flat((90, 80, 80)))


def _straw(brush: Brush, rng: np.random.Generator) -> None:
    lips = brush.at(*_MOUTH) + point(rng.uniform(-0.15, 0.15), 0)
    end = lips + rotated(point(0, 3.5), rng.uniform(-0.8, 0.8))
    stripes = swatches.striped([swatches.some_colour(rng), (240, 240, 240)], 18)
    brush.paint([Line(np.stack([lips, end]), rng.uniform(0.07, 0.14))], stripes, rim=0.03)


def _sticker(brush: Brush, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 4)):
        place = brush.at(int(rng.integers(468)))
        outline = rounded_box(rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.3), rng.uniform(1.2, 8))
        brush.paint([place + rotated(outline, rng.uniform(0, np.pi))], _thing(brush, rng))


def _plaster(brush: Brush, rng: np.random.Generator) -> None:
    place, angle = brush.at(swatches.pick(_TOUCHED, rng)), rng.uniform(0, np.pi)
    strip, pad = rounded_box(0.38, 0.12, 5), rounded_box(0.11, 0.1, 8)
    colour = swatches.one_of(((215, 170, 130), (240, 225, 205), *_SKINS), rng)
    brush.paint([place + rotated(strip, angle)], swatches.noisy(colour, rng, 0.04), rim=0.03)
    brush.paint([place + rotated(pad, angle)], swatches.flat(colour * 0.9), opacity=0.8)


def _caption(brush: Brush, rng: np.random.Generator) -> None:
    place = np.array([rng.uniform(-0.5, 0.5), rng.uniform(-1.0, 1.7)])
    half = rng.uniform(0.5, 1.4)
    panel = rotated(rounded_box(half, half * 0.28, 20), rng.normal(0, 0.1))
    swatch = swatches.lettered(swatches.some_colour(rng), swatches.some_colour(rng), rng)
    brush.paint([place + panel], swatch, opacity=swatches.pick((1.0, rng.uniform(0.4, 1)), rng))


def _eye_patch(brush: Brush, rng: np.random.Generator) -> None:
    left = rng.random() < 0.5
    eye = brush.at(*(points.LEFT_EYE if left else points.RIGHT_EYE))
    side = -1.0 if left else 1.0
    colour = swatches.one_of(((20, 20, 22), (90, 60, 40), (230, 228, 222)), rng)
    strap = np.stack([brush.at(_TEMPLES[int(not left)]), eye, eye + point(-side * 1.1, -0.75)])
    brush.paint([Line(strap, rng.uniform(0.05, 0.1))], swatches.flat(colour * 0.9))
    patch = rounded_box(rng.uniform(0.28, 0.42), rng.uniform(0.26, 0.38), rng.uniform(2, 3.5))
    brush.paint([eye + patch], swatches.shaded(colour, rng), rim=0.06)
