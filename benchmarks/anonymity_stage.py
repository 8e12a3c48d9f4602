"""What the builders of scenes work with: people, chance, and ways across the picture.

Places and widths are in parts of the picture's width and height unless a name says pixels.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.anonymity_judge import Finder
from benchmarks.anonymity_people import SHARP, RealClip, load_clip, load_portraits
from benchmarks.anonymity_scenes import Portrait, Pose, Scene, Sprite, texture

Effect = Callable[[np.ndarray, int], np.ndarray]
# By frame, or for all frames.
Places = np.ndarray | float
_PEOPLE, _SHARP_PEOPLE, _STRANGERS = 80, 12, 12


@dataclasses.dataclass
class Stage:
    """What a builder has for one case.

    Attributes:
      rng: its chance.
      portraits: people, never the same one twice.
      sharp: others, for large faces.
      size: height and width, pixels.
      frames: 1 for a photo.
      number: of the case within its kind.
      clip: a real clip by number.
    """

    rng: np.random.Generator
    portraits: Iterator[Portrait]
    sharp: Iterator[Portrait]
    size: tuple[int, int]
    frames: int
    number: int
    clip: Callable[[int, int], RealClip]

    def times(self) -> np.ndarray:
        """From 0 to 1 by frame; of a photo, some moment of the middle."""
        if self.frames == 1:
            return self.rng.uniform(0.3, 0.7, 1)
        return np.linspace(0, 1, self.frames)

    def path(self, x: Places, y: Places, width: Places, **fixed: float | bool) -> list[Pose]:
        """Poses from places by frame, or from numbers that hold for all."""
        height, columns = self.size
        rows = np.broadcast_arrays(x, y, width, self.times())[:3]
        return [
            Pose(float(a) * columns, float(b) * height, float(c) * columns, **fixed)
            for a, b, c in zip(*rows, strict=True)
        ]

    def about(self, x: float, y: float, width: float, **fixed: float | bool) -> list[Pose]:
        """Poses of somebody who hardly moves."""
        sway = 0.012 * np.sin(2 * np.pi * self.times() + self.rng.uniform(0, 6))
        return self.path(x + sway, y + sway / 2, width, **fixed)

    def scene(self, *sprites: Sprite, effect: Effect | None = None) -> Scene:
        """The sprites over a new backdrop."""
        more = {'effect': effect} if effect else {}
        return Scene([texture(self.rng, *self.size)], sprites, self.frames, **more)

    def head(self, poses: Sequence[Pose | None]) -> Sprite:
        """Somebody new, without the photo's background."""
        return Sprite(next(self.portraits), poses)

    def square(self, x: Places, y: Places, side: float) -> Sprite:
        """Somebody's whole photo about places, `side` in parts of the picture's height."""
        portrait = next(self.portraits)
        rows, columns = portrait.rgb.shape[:2]
        height, width = self.size
        scale = side * height / rows
        a, b = portrait.centre[0] - columns / 2, portrait.centre[1] - rows / 2
        poses = self.path(
            x + a * scale / width, y + b * scale / height, portrait.size[0] * scale / width
        )
        return Sprite(portrait, poses, whole=True)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of cases.

    Attributes:
      build: its scenes.
      sizes: of its pictures in turn, pixels.
      frames: of a clip; 1 for photos.
    """

    build: Callable[[Stage], Scene]
    sizes: tuple[tuple[int, int], ...]
    frames: int


@dataclasses.dataclass(frozen=True)
class Cast:
    """Everybody.

    Attributes:
      seed: of the cases.
      people: photos for all sizes.
      sharp: larger photos.
      strangers: who are in no case.
      finder: the judge's detector, for the faces of real clips.
    """

    seed: int
    people: Sequence[Portrait]
    sharp: Sequence[Portrait]
    strangers: Sequence[Portrait]
    finder: Finder

    def stage(self, kind: Kind, name: str, number: int) -> Stage:
        """Of one case: the same one, whichever others are asked for."""
        rng = np.random.default_rng([self.seed, number, *name.encode()])
        return Stage(
            rng=rng,
            portraits=_in_any_order(self.people, rng),
            sharp=_in_any_order(self.sharp, rng),
            size=kind.sizes[number % len(kind.sizes)],
            frames=kind.frames,
            number=number,
            clip=functools.partial(load_clip, self.finder),
        )


def _in_any_order(portraits: Sequence[Portrait], rng: np.random.Generator) -> Iterator[Portrait]:
    return iter([portraits[place] for place in rng.permutation(len(portraits))])


def load_cast(finder: Finder, seed: int) -> Cast:
    """Draws everybody from APGAN_DATA.

    Raises:
      UserError: see `load_portraits`.
    """
    rng = np.random.default_rng(seed)
    people = load_portraits(finder, _PEOPLE + _STRANGERS, rng)
    sharp = load_portraits(finder, _SHARP_PEOPLE, rng, SHARP)
    return Cast(seed, people[_STRANGERS:], sharp, people[:_STRANGERS], finder)
