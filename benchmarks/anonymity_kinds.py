"""The kinds of scenes that are hard on an anonymiser; each builder makes several cases of its kind.

A photo is the same scene with one frame, somewhere on the way.
"""

import dataclasses

import cv2
import numpy as np

from benchmarks.anonymity_scenes import Scene, Sprite
from benchmarks.anonymity_stage import Kind, Stage

_SMALL, _LARGE, _PHOTO = (360, 640), (720, 1280), (900, 1200)
_FRAMES, _FEW_FRAMES = 24, 15


def insets(stage: Stage) -> Scene:
    """A photo wanders about while somebody speaks."""
    t = stage.times()
    speaker = stage.head(stage.about(0.4, 0.55, 0.2))
    return stage.scene(speaker, stage.square(0.15 + 0.7 * t, 0.2 + 0.05 * np.sin(9 * t), 0.3))


def insets_entering(stage: Stage) -> Scene:
    """A photo slides in from each side in turn."""
    t = np.clip(1.6 * stage.times(), 0, 1)
    side = stage.number % 4
    inwards = np.where(side < 2, -0.1 + 0.3 * t, 1.1 - 0.3 * t)
    x, y = (inwards, 0.75 + 0 * t) if side % 2 else (0.8 + 0 * t, inwards)
    return stage.scene(stage.head(stage.about(0.5, 0.5, 0.16)), stage.square(x, y, 0.35))


def tiles(stage: Stage) -> Scene:
    """A conference of sixteen."""
    cells = [((column + 0.5) / 4, (row + 0.5) / 4) for row in range(4) for column in range(4)]
    sway = 0.004 * np.sin(6 * stage.times())
    return stage.scene(*(stage.square(x + sway, y + 0 * sway, 0.24) for x, y in cells))


def group(stage: Stage) -> Scene:
    """Twenty people in four rows."""
    cells = [((column + 0.5) / 5, (row + 0.55) / 4) for row in range(4) for column in range(5)]
    width = 0.09 * stage.size[0] / stage.size[1]
    return stage.scene(
        *(stage.head(stage.about(x, y, width * stage.rng.uniform(0.9, 1.2))) for x, y in cells)
    )


def border(stage: Stage) -> Scene:
    """A face that each border in turn cuts, somebody else in the middle of every second one."""
    width = (0.1, 0.18)[stage.number // 4 % 2]
    depth = 0.25 * width * (1 - 1.4 * stage.times())
    aspect = stage.size[1] / stage.size[0]
    along = 0.3 + 0 * depth
    x, y = (
        (depth, along),
        (1 - depth, along),
        (along, depth * aspect),
        (along, 1 - depth * aspect),
    )[stage.number % 4]
    heads = [stage.head(stage.path(x, y, width))]
    if stage.number % 2:
        heads.append(stage.head(stage.about(0.6, 0.5, 0.15)))
    return stage.scene(*heads)


def poster(stage: Stage) -> Scene:
    """A large photo on the wall behind somebody."""
    still = 0 * stage.times()
    wall = stage.square(0.62 + still, 0.42 + still, (0.5, 0.7)[stage.number % 2])
    return stage.scene(wall, stage.head(stage.about(0.4, 0.55, 0.17)))


def overlap(stage: Stage) -> Scene:
    """Two people cross, or one stands half behind the other."""
    t = stage.times() if stage.number % 2 == 0 else 0.36 + 0 * stage.times()
    behind = stage.head(stage.path(0.3 + 0.4 * t, 0.48 + 0 * t, 0.15))
    return stage.scene(behind, stage.head(stage.path(0.7 - 0.4 * t, 0.54 + 0 * t, 0.17)))


def cuts(stage: Stage) -> Scene:
    """Somebody else, elsewhere, every few frames."""
    length = (4, 2)[stage.number % 2]
    sprites = []
    for start in range(0, stage.frames, length):
        x, y, width = stage.rng.uniform((0.2, 0.35, 0.08), (0.8, 0.65, 0.25))
        poses = stage.about(x, y, width)
        away = [frame // length != start // length for frame in range(stage.frames)]
        sprites.append(stage.head([None if a else p for a, p in zip(away, poses, strict=True)]))
    return stage.scene(*sprites)


def flashes(stage: Stage) -> Scene:
    """Cameras flash, or lights go out, every sixth frame."""
    level, strength = (255.0, 0.75) if stage.number % 2 == 0 else (0.0, 0.85)

    def effect(picture: np.ndarray, frame: int) -> np.ndarray:
        if frame % 6 != 3:
            return picture
        return (picture + strength * (level - picture)).astype(np.uint8)

    heads = stage.head(stage.about(0.35, 0.5, 0.15)), stage.head(stage.about(0.72, 0.45, 0.08))
    return stage.scene(*heads, effect=effect)


def roll(stage: Stage) -> Scene:
    """Heads on their sides and upside down; the first one of a clip turns about."""
    angles = (180, 90, -30, 30, -90)
    if stage.number % 6 == 0 and stage.frames > 1:
        (start,) = stage.about(0.5, 0.5, 0.17)[:1]
        turns = [dataclasses.replace(start, angle=float(a)) for a in 360 * stage.times()]
        return stage.scene(stage.head(turns))
    angle = float(angles[(stage.number - 1) % 5])
    return stage.scene(stage.head(stage.about(0.5, 0.5, 0.17, angle=angle)))


def mirrored(stage: Stage) -> Scene:
    """Somebody beside a mirror."""
    person = stage.head(stage.about(0.33, 0.5, 0.14))
    image = stage.about(0.68, 0.45, (0.1, 0.06)[stage.number % 2], mirrored=True)
    return stage.scene(person, Sprite(person.portrait, image))


def dark(stage: Stage) -> Scene:
    """Little light, and the noise that goes with it."""
    gain, seed = (0.22, 0.12)[stage.number % 2], int(stage.rng.integers(1 << 30))

    def effect(picture: np.ndarray, frame: int) -> np.ndarray:
        noise = np.random.default_rng(seed + frame).normal(0, 2, picture.shape)
        return np.clip(picture * gain + noise, 0, 255).astype(np.uint8)

    return stage.scene(stage.head(stage.about(0.5, 0.5, 0.17)), effect=effect)


def fast(stage: Stage) -> Scene:
    """A face crosses the picture in six frames, or falls through it; somebody may be sitting by."""
    start = 6
    t = (np.arange(stage.frames) - start) / 6
    along, still = 1.3 * t - 0.15, 0.4 + 0 * t
    x, y = (along, still) if stage.number % 2 == 0 else (still, along)
    poses = stage.path(x, y, 0.12)
    sprites = [
        stage.head([pose if 0 <= p < 1.1 else None for pose, p in zip(poses, t, strict=True)])
    ]
    if stage.number % 3 == 1:
        sprites.append(stage.head(stage.about(0.7, 0.6, 0.12)))
    return stage.scene(*sprites)


def closeup(stage: Stage) -> Scene:
    """A face that is 80 to 130 % as wide as the picture."""
    width = (0.8, 1.0, 1.3)[stage.number % 3]
    return stage.scene(Sprite(next(stage.sharp), stage.about(0.5, 0.5, width), whole=True))


def far(stage: Stage) -> Scene:
    """Faces of 24 to 60 pixels, one or three of them."""
    pixels = ((24, 36, 60), (30,), (48,), (24,))[stage.number % 4]
    heads = [
        stage.head(stage.about(x, stage.rng.uniform(0.3, 0.7), size / stage.size[1]))
        for x, size in zip((0.5, 0.2, 0.8), pixels, strict=False)
    ]
    return stage.scene(*heads)


def small_beside_large(stage: Stage) -> Scene:
    """Somebody far behind the one who is filmed."""
    pixels = (36, 56, 28)[stage.number % 3]
    small = stage.head(stage.about(0.75, 0.35, pixels / stage.size[1]))
    return stage.scene(small, stage.head(stage.about(0.35, 0.55, 0.22)))


def blurred(stage: Stage) -> Scene:
    """Out of focus, or shaken."""
    pixels = 0.13 * stage.size[1]
    sigma = 0.035 * pixels
    kernel = np.full((1, 2 * round(0.08 * pixels) + 1), 1.0)

    def effect(picture: np.ndarray, frame: int) -> np.ndarray:
        if stage.number % 2 == 0:
            return cv2.GaussianBlur(picture, (0, 0), sigma)
        return cv2.filter2D(picture, -1, kernel / kernel.sum())

    return stage.scene(stage.head(stage.about(0.5, 0.5, 0.13)), effect=effect)


def leaving(stage: Stage) -> Scene:
    """One goes out to the right and another comes in from the left, at different times."""
    t = stage.times()
    gone = stage.path(0.6 + 1.2 * np.clip(t - 0.1, 0, 0.4), 0.5 + 0 * t, 0.14)
    come = stage.path(-0.1 + 1.2 * np.clip(t - 0.5, 0, 0.4), 0.5 + 0 * t, 0.14)
    return stage.scene(stage.head(gone), stage.head(come))


def talking(stage: Stage) -> Scene:
    """A real clip of somebody speaking, a photo beside the head in every second one."""
    clip = stage.clip(stage.number, stage.frames)
    stage = dataclasses.replace(stage, size=clip.frames[0].shape[:2])
    still = 0 * stage.times()
    insets = [stage.square(0.14 + still, 0.8 + still, 0.3)] if stage.number % 2 else []
    return Scene(
        clip.frames,
        insets,
        stage.frames,
        background=clip.truths,
        people=[clip.portrait],
    )


_UPRIGHT = (640, 360)
_BOTH = (_SMALL, _LARGE)
KINDS = {
    'insets': Kind(insets, _BOTH, _FRAMES),
    'insets_entering': Kind(insets_entering, _BOTH, _FRAMES),
    'tiles': Kind(tiles, (_LARGE,), _FEW_FRAMES),
    'group': Kind(group, (_LARGE,), _FEW_FRAMES),
    'border': Kind(border, _BOTH, _FRAMES),
    'poster': Kind(poster, _BOTH, _FEW_FRAMES),
    'overlap': Kind(overlap, _BOTH, _FRAMES),
    'cuts': Kind(cuts, _BOTH, _FRAMES),
    'flashes': Kind(flashes, _BOTH, _FRAMES),
    'roll': Kind(roll, (_SMALL,), _FRAMES),
    'mirrored': Kind(mirrored, _BOTH, _FEW_FRAMES),
    'dark': Kind(dark, _BOTH, _FEW_FRAMES),
    'fast': Kind(fast, _BOTH, 18),
    'closeup': Kind(closeup, (_UPRIGHT, _SMALL), _FEW_FRAMES),
    'far': Kind(far, (_LARGE,), _FRAMES),
    'small_beside_large': Kind(small_beside_large, (_LARGE,), _FRAMES),
    'blurred': Kind(blurred, _BOTH, _FEW_FRAMES),
    'leaving': Kind(leaving, _BOTH, _FRAMES),
    'talking': Kind(talking, (_SMALL,), _FRAMES),
}
_NOT_PHOTOS = ('insets_entering', 'cuts', 'flashes', 'fast', 'leaving', 'talking')
KINDS |= {
    f'{name}_photo': Kind(kind.build, (_PHOTO,), 1)
    for name, kind in KINDS.items()
    if name not in _NOT_PHOTOS
}
KINDS['closeup_photo'] = Kind(closeup, (_PHOTO[::-1], _PHOTO), 1)
