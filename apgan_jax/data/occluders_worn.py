"""What is worn before a face, painted by chance: glasses, hair, masks, scarves, hats.

Each function paints one thing on a brush; lengths are in distances between the eyes.
"""

import numpy as np

from apgan_jax.data import swatches
from apgan_jax.data.brush import Brush, Line, Shape
from apgan_jax.data.outlines import curve, point, rotated, rounded_box, tapered
from apgan_jax.face import landmarks as points

_FRAMES = ((20, 20, 22), (25, 22, 20), (75, 45, 25), (150, 115, 60), (150, 150, 155), (110, 25, 30))
_TINTS = ((15, 15, 18), (45, 45, 50), (70, 45, 25), (35, 60, 45), (40, 55, 95), (140, 70, 80))
_HAIR = ((22, 18, 16), (45, 30, 22), (85, 55, 35), (125, 80, 45), (190, 155, 105), (150, 150, 150))
_MASKS = ((165, 200, 220), (225, 225, 225), (30, 30, 32), (150, 205, 190), (215, 170, 180))
# Round the jaw from one side of the nose to the other.
_JAW = (117, 147, 172, 150, 152, 379, 397, 376, 346)
_BROWS, _FOREHEAD_TOP = (105, 334), 10
_TEMPLES = (127, 356)
_BRIDGE = 197
# Opacity of the clearest lens and of the darkest one.
_CLEAR, _MOST_CLEAR, _BLACK = 0.1, 0.25, 1.0


def paint_glasses(brush: Brush, rng: np.random.Generator) -> None:
    """Frames of any shape, with or without lenses.

    Without lenses the eyes are not covered, nor by clear ones; behind a tinted one they are one
    thing with it, and are.
    """
    lenses = _lenses(brush, rng)
    if rng.random() < 0.65:
        _paint_lenses(brush, lenses, rng)
    width = swatches.pick((rng.uniform(0.025, 0.06), rng.uniform(0.06, 0.15)), rng)
    colour = swatches.some_colour(rng) if rng.random() < 0.2 else swatches.one_of(_FRAMES, rng)
    swatch = swatches.noisy(colour, rng, swatches.pick((0.03, 0.35), rng))
    brush.paint(_frame(brush, lenses, width, rng), swatch)


def paint_strands(brush: Brush, rng: np.random.Generator) -> None:
    """Strands that hang over the forehead, or beside the cheeks."""
    colour, side = _hair_colour(brush, rng), swatches.pick((-1.0, 1.0), rng)
    for _ in range(rng.integers(1, 4)):
        count = int(rng.integers(1, 7))
        hang = _beside_cheek if rng.random() < 0.35 else _over_forehead
        start, end = hang(brush, side, count, rng)
        bend = (
            (start + end) / 2 + rng.uniform(-0.45, 0.45, 2) + rng.uniform(-0.15, 0.15, (count, 2))
        )
        width = rng.uniform(0.03, 0.18) * rng.uniform(0.6, 1.4, (count, 1))
        locks = tapered(curve(start, bend, end), width, rng.uniform(0.1, 0.6))
        shade = swatches.streaked(colour * rng.uniform(0.75, 1.25), rng)
        brush.paint(list(locks), shade, opacity=rng.uniform(0.7, 1), rim=0.03)


def paint_fringe(brush: Brush, rng: np.random.Generator) -> None:
    """Dense hair over the forehead: cut to a ragged edge, or combed in locks from a parting."""
    edge = _edge_of_fringe(brush, rng)
    top = brush.at(_FOREHEAD_TOP)[1] - rng.uniform(0.4, 1.0)
    colour = _hair_colour(brush, rng)
    paint = _paint_cut_hair if rng.random() < 0.5 else _paint_combed_hair
    paint(brush, edge, top, colour, rng)


def paint_mask(brush: Brush, rng: np.random.Generator) -> None:
    """A surgeon's mask over nose and mouth, its loops to the ears."""
    bridge = brush.at(_BRIDGE)
    upper = bridge + rng.uniform(-0.1, 0.9) * (brush.at(points.NOSE_TIP) - bridge)
    jaw = np.stack([brush.at(landmark) for landmark in _JAW])
    jaw = jaw.mean(axis=0) + (jaw - jaw.mean(axis=0)) * rng.uniform(0.98, 1.12)
    jaw[[0, -1], 1] += max(0.0, upper[1] - 0.3) * 0.6
    colour = swatches.some_colour(rng) if rng.random() < 0.2 else swatches.one_of(_MASKS, rng)
    sides = zip((jaw[1], jaw[-2]), map(brush.at, _TEMPLES), strict=True)
    loops = [Line(np.stack([edge, ear + point(0, 0.2)]), 0.04) for edge, ear in sides]
    if rng.random() < 0.7:
        brush.paint(loops, swatches.flat(colour * 0.9))
    swatch = _cloth(brush, colour, rng) if rng.random() < 0.3 else swatches.pleated(colour, rng)
    brush.paint([np.concatenate([upper[None], jaw])], swatch, rim=0.12)


def paint_scarf(brush: Brush, rng: np.random.Generator) -> None:
    """A scarf or a collar from below, up to the chin, the mouth or the nose."""
    level = swatches.pick((rng.uniform(0.45, 0.8), rng.uniform(0.8, 1.6)), rng)
    across = np.linspace(-2.6, 2.6, 12)
    edge = np.stack([across, level - 0.12 * np.abs(across) + rng.normal(0, 0.04, 12)], axis=1)
    below = np.array([[2.6, 4.5], [-2.6, 4.5]])
    outline = rotated(np.concatenate([edge, below]), rng.uniform(-0.2, 0.2))
    brush.paint([outline], _cloth(brush, swatches.some_colour(rng), rng), rim=0.15)
    if rng.random() < 0.6:
        fold = edge + point(0, rng.uniform(0.25, 0.6)) + rng.normal(0, 0.04, edge.shape)
        shade = swatches.flat(swatches.some_colour(rng) * 0.3)
        brush.paint([Line(fold, rng.uniform(0.03, 0.1))], shade, opacity=0.5)


def paint_hat(brush: Brush, rng: np.random.Generator) -> None:
    """A cap, a brimmed hat, a woollen one or a band, low on the forehead."""
    left, right = brush.at(_TEMPLES[0])[0] - 0.15, brush.at(_TEMPLES[1])[0] + 0.15
    brow, top = brush.at(*_BROWS)[1], brush.at(_FOREHEAD_TOP)[1]
    level = brow - 0.1 - rng.uniform(0, 0.7) * (brow - top)
    sag = rng.uniform(-0.25, 0.25)
    ends = np.array([left, level + sag / 2]), np.array([right, level + sag / 2])
    edge = curve(ends[0], np.array([(left + right) / 2, level - sag]), ends[1])
    colour = swatches.some_colour(rng)
    cloth = _cloth(brush, colour, rng)
    kind = rng.integers(4)
    if kind == 0:
        band = rng.uniform(0.2, 0.5)
        brush.paint([np.concatenate([edge, edge[::-1] - point(0, band)])], cloth, rim=0.05)
        return
    dome = _dome(edge, level - rng.uniform(0.9, 1.6))
    brush.paint([np.concatenate([edge, dome])], cloth, rim=0.15)
    _paint_edge_of_hat(brush, edge, int(kind), colour, rng)


def _edge_of_fringe(brush: Brush, rng: np.random.Generator) -> np.ndarray:
    """From left to right over the brows, (14, 2): level, or higher towards a parting."""
    left, right = (brush.at(temple) for temple in _TEMPLES)
    across = np.linspace(-0.1, 1.1, 14)
    parting, rise = rng.uniform(-0.1, 1.1), swatches.pick((0.0, rng.uniform(0.2, 0.9)), rng)
    lowest = brush.at(*_BROWS)[1] + rng.uniform(-0.3, 0.15)
    heights = lowest - rise * np.maximum(0.8 - 2.2 * np.abs(across - parting), 0)
    edge = np.stack([left[0] + across * (right - left)[0], heights], axis=1)
    return edge + rng.normal(0, 0.035, edge.shape)


def _paint_cut_hair(
    brush: Brush, edge: np.ndarray, top: float, colour: np.ndarray, rng: np.random.Generator
) -> None:
    """One sheet of hair down to an edge, tips below it."""
    longest = rng.uniform(0.05, 0.4)
    drop = np.stack([rng.uniform(-0.12, 0.12, 14), rng.uniform(0, longest, 14)], axis=1)
    roots = edge - point(0, 0.12)
    tips = tapered(curve(roots, roots + point(0, 0.1), edge + drop), np.full((14, 1), 0.16), 0.1)
    swatch = swatches.streaked(colour, rng, 0.1)
    brush.paint([np.concatenate([edge, _dome(edge, top)]), *tips], swatch, rim=0.06)


def _paint_combed_hair(
    brush: Brush, edge: np.ndarray, top: float, colour: np.ndarray, rng: np.random.Generator
) -> None:
    """Locks that bend from a parting down to an edge, lighter ones over darker ones."""
    root = point(edge[int(rng.integers(len(edge))), 0], top)
    for light in (rng.uniform(0.6, 0.9), 1.0):
        tips = edge + rng.normal(0, 0.08, edge.shape)
        roots = root + rng.normal(0, 0.15, edge.shape)
        bends = np.stack([0.8 * tips[:, 0] + 0.2 * roots[:, 0], roots[:, 1] + 0.1], axis=1)
        width = rng.uniform(0.12, 0.35, (len(edge), 1))
        locks = tapered(curve(roots, bends, tips), width, rng.uniform(0.05, 0.5))
        brush.paint(list(locks), swatches.streaked(light * colour, rng, 0.08), rim=0.05)


def _paint_edge_of_hat(
    brush: Brush, edge: np.ndarray, kind: int, colour: np.ndarray, rng: np.random.Generator
) -> None:
    """A cap's peak (1), a brim all round (2) or what is turned up of a woollen hat (3)."""
    middle = edge[len(edge) // 2]
    half = (edge[-1] - edge[0])[0] / 2
    shade = colour * rng.uniform(0.5, 1.0)
    if kind == 1:
        centre = middle + point(rng.uniform(-0.3, 0.3), 0.1)
        peak = rounded_box(half * rng.uniform(0.75, 0.95), rng.uniform(0.15, 0.3), 2.5)
        brush.paint([centre + peak], swatches.shaded(shade, rng), rim=0.06)
    elif kind == 2:
        brim = rotated(rounded_box(half * rng.uniform(1.3, 1.9), 0.22, 2), rng.uniform(-0.15, 0.15))
        brush.paint([middle + brim], swatches.shaded(shade, rng), rim=0.06)
    else:
        height = rng.uniform(0.3, 0.5)
        cuff = np.concatenate([edge + point(0, 0.08), edge[::-1] - point(0, height)])
        brush.paint([cuff], swatches.streaked(shade, rng, 0.12), rim=0.08)


def _dome(edge: np.ndarray, top: float) -> np.ndarray:
    """Round a head above a path from left to right (n, 2): from its end over `top` to its start."""
    first, last = edge[0], edge[-1]
    angles = np.linspace(0, np.pi, 12)[:, None]
    out = np.concatenate([np.cos(angles) * (last - first) * 0.54, np.sin(angles)], axis=1)
    middle = (first + last) / 2
    return middle + np.stack([out[:, 0], -out[:, 2] * (middle[1] - top)], axis=1)


def _lenses(brush: Brush, rng: np.random.Generator) -> list[np.ndarray]:
    """Outlines of the left lens and the right one, or of one pane before both eyes."""
    left, right = brush.at(*points.LEFT_EYE), brush.at(*points.RIGHT_EYE)
    apart = right - left
    height, power = rng.uniform(0.2, 0.42), swatches.pick((2.0, rng.uniform(2.2, 6)), rng)
    down = np.array([0, rng.uniform(-0.03, 0.12)])
    if rng.random() < 0.1:
        visor = rounded_box(abs(apart[0]) * rng.uniform(0.95, 1.1), height, power)
        return [(left + right) / 2 + down + visor]
    # Round ones are as broad as high; from aside all are narrower.
    broad = height if rng.random() < 0.25 else rng.uniform(0.33, 0.46)
    lens = rounded_box(broad * abs(apart[0]), height, power)
    # Narrower below, and drawn up or down outside, on the left; the right one is its mirror image.
    lens[:, 0] *= 1 - rng.uniform(-0.1, 0.5) * lens[:, 1]
    lens[:, 1] += lens[:, 0] * rng.uniform(-0.1, 0.3)
    tilt = rng.uniform(-0.06, 0.06)
    return [
        eye + down + rotated(lens * (side, 1), tilt) for eye, side in ((left, 1.0), (right, -1.0))
    ]


def _paint_lenses(brush: Brush, lenses: list[np.ndarray], rng: np.random.Generator) -> None:
    """Clear, tinted or black ones; lighter below, and with reflections, by chance."""
    tint = swatches.pick(
        (rng.uniform(_CLEAR, _MOST_CLEAR), rng.uniform(0.3, 0.8), rng.uniform(0.85, _BLACK)), rng
    )
    clear = tint <= _MOST_CLEAR
    glow = (200, 215, 225) if clear else swatches.one_of(_TINTS, rng)
    colours = np.repeat(swatches.flat(glow), 64, axis=0).reshape(8, 8, 3)
    opacity = np.full((8, 8), tint)
    if rng.random() < 0.4:
        opacity *= np.linspace(1, rng.uniform(0.3, 1), 8)[:, None]
    if rng.random() < 0.5:
        rows, columns = np.indices((8, 8))
        streak = (columns + rng.integers(1, 3) * rows) % 8 < rng.integers(1, 4)
        colours[streak] = rng.integers(150, 256, 3)
        opacity[streak] = np.maximum(opacity[streak], rng.uniform(0.2, 0.8))
    shown = np.rint(255 * opacity).astype(np.uint8)
    for lens in lenses:
        brush.paint([lens], colours, opacity=shown, clear=clear)


def _frame(
    brush: Brush, lenses: list[np.ndarray], width: float, rng: np.random.Generator
) -> list[Shape]:
    """Rims, bridge and temples; the rims whole, above only, or none."""
    kind = rng.choice(['full', 'half', 'none'], p=[0.7, 0.2, 0.1])
    shapes: list[Shape] = []
    if kind != 'none':
        upper = slice(13, None) if kind == 'half' else slice(None)
        shapes += [Line(lens[upper], width, closed=kind == 'full') for lens in lenses]
    first, last = lenses[0], lenses[-1]
    if len(lenses) == 2:
        inner, other = first[first[:, 0].argmax()], last[last[:, 0].argmin()]
        bend = (inner + other) / 2 - point(0, 0.12)
        shapes.append(Line(curve(inner, bend, other), width * rng.uniform(0.5, 1)))
    ends = first[first[:, 0].argmin()], last[last[:, 0].argmax()]
    ears = brush.at(_TEMPLES[0]), brush.at(_TEMPLES[1])
    # The temple on the far side of a turned head is hidden behind the lens.
    for end, ear, side in zip(ends, ears, (-1, 1), strict=True):
        if side * (ear - end)[0] > 0:
            shapes.append(Line(np.stack([end - point(0, 0.05), ear - point(0, 0.05)]), width * 0.8))
    return shapes


def _hair_colour(brush: Brush, rng: np.random.Generator) -> np.ndarray:
    """That of the person, if it is seen above the forehead, or another."""
    if rng.random() < 0.4:
        return brush.colour_at(brush.at(_FOREHEAD_TOP) - point(0, 0.55)) * rng.uniform(0.9, 1.1)
    return swatches.one_of(_HAIR, rng)


def _over_forehead(
    brush: Brush, side: float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Where strands begin above the forehead and end over brows or eyes, (count, 2) each."""
    brow, top = brush.at(*_BROWS)[1], brush.at(_FOREHEAD_TOP)
    start = top + np.stack(
        [side * rng.uniform(-0.2, 0.8) + rng.normal(0, 0.2, count), -rng.uniform(0.3, 0.8, count)],
        axis=1,
    )
    sweep = rng.uniform(-0.7, 0.7) + rng.normal(0, 0.15, count)
    fall = brow + rng.uniform(-0.25, 0.6) + rng.normal(0, 0.12, count)
    return start, np.stack([start[:, 0] + sweep, fall], axis=1)


def _beside_cheek(
    brush: Brush, side: float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Where strands begin above a temple and end beside the jaw, (count, 2) each."""
    temple = brush.at(_TEMPLES[0] if side < 0 else _TEMPLES[1])
    start = temple + rng.normal(0, 0.1, (count, 2)) - point(side * 0.1, 1.0)
    inwards = rng.uniform(-0.1, 0.5) + rng.normal(0, 0.08, count)
    fall = rng.uniform(0.8, 2.2) + rng.normal(0, 0.15, count)
    return start, temple + np.stack([-side * inwards, fall], axis=1)


def _cloth(brush: Brush, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Plain, woolly, ribbed, striped, or with another photo's pattern."""
    kind = rng.integers(5)
    if kind == 0:
        return swatches.shaded(colour, rng)
    if kind == 1:
        return swatches.noisy(colour, rng)
    if kind == 2:
        return swatches.streaked(colour, rng, 0.1)
    if kind == 3:
        return swatches.striped([colour, swatches.some_colour(rng)], int(rng.integers(4, 12)))
    return swatches.of_photo(brush.texture, rng)
