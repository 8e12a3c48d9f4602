"""Which face of a frame becomes whom.

A casting is asked frame by frame, in order, and answers with a role for each face that is to be
changed. Faces without a role stay as they are. A casting of one source has a face selector, which
says which faces those are. What either remembers of earlier frames it gives and takes by `state`
and `restore`, so that a run that was cut off goes on as if it had not been.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.people import SAME_PERSON
from apgan_jax.face.tracking import TrackedFace
from apgan_jax.files.documents import file_name, list_of, mapping, parse_toml_file
from apgan_jax.inference.identity_means import IdentityMeans
from apgan_jax.inference.remembering import Remembering
from apgan_jax.models.identity import IdentityEmbedding

# A face is called the largest until another one is larger by this much: two that are about equal
# would take turns.
_LARGER = 1.5
_FILES = list_of(file_name(), 1, 1000)
_PEOPLE = list_of(mapping(), 1, 1000)._replace(says='[[person]] tables, at most 1000')
_MOST_DIGITS = 6
_LONGEST_SHOWN = 80
_SELECTORS = ('largest', 'all', 'left', 'right')


class Role(NamedTuple):
    """A face and who it becomes.

    Attributes:
      face: of the frame.
      identity: leading axis 1.
      number: of the identity among the casting's: the same one for as long as it is meant to stay.
    """

    face: TrackedFace
    identity: IdentityEmbedding
    number: int = 0


class Casting(Remembering, Protocol):
    """Gives roles."""

    def __call__(self, faces: Sequence[TrackedFace]) -> list[Role]:
        """Roles for the faces of the next frame."""


class FaceSelector(Remembering, Protocol):
    """Chooses faces."""

    def __call__(self, faces: Sequence[TrackedFace]) -> list[TrackedFace]:
        """Those of the next frame that are to be changed."""


def _area(face: TrackedFace) -> float:
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top)


def _middle(face: TrackedFace) -> float:
    left, _, right, _ = face.box
    return (left + right) / 2


@dataclasses.dataclass
class OneSource:
    """One source for the faces that a rule chooses.

    Attributes:
      identity: of the source, leading axis 1.
      select: the faces of a frame that get it.
    """

    identity: IdentityEmbedding
    select: FaceSelector

    def __call__(self, faces: Sequence[TrackedFace]) -> list[Role]:
        """Roles for the chosen faces."""
        return [Role(face, self.identity) for face in self.select(faces)]

    def state(self) -> Any:
        """See `Remembering`."""
        return self.select.state()

    def restore(self, state: Any) -> None:
        """See `Remembering`."""
        self.select.restore(state)


class _Forgetful:
    """What needs nothing but the frame."""

    def state(self) -> None:
        """See `Remembering`."""

    def restore(self, state: None) -> None:
        """See `Remembering`."""


class EveryFace(_Forgetful):
    """All faces."""

    def __call__(self, faces: Sequence[TrackedFace]) -> list[TrackedFace]:
        """All of them."""
        return list(faces)


class Outermost(_Forgetful):
    """The face that is farthest to one side.

    Args:
      side: 'left' or 'right'.
    """

    def __init__(self, side: str) -> None:
        self._pick = min if side == 'left' else max

    def __call__(self, faces: Sequence[TrackedFace]) -> list[TrackedFace]:
        """At most one face."""
        return [self._pick(faces, key=_middle)] if faces else []


class Largest:
    """The largest face, which stays the largest until another one is clearly larger."""

    def __init__(self) -> None:
        self._person: int | None = None

    def __call__(self, faces: Sequence[TrackedFace]) -> list[TrackedFace]:
        """At most one face."""
        if not faces:
            return []
        largest = max(faces, key=_area)
        for face in faces:
            if face.person == self._person and _area(largest) < _LARGER * _area(face):
                return [face]
        self._person = largest.person
        return [largest]

    def state(self) -> int | None:
        """See `Remembering`: who it was last."""
        return self._person

    def restore(self, state: int | None) -> None:
        """See `Remembering`."""
        self._person = state


class Numbered(_Forgetful):
    """The n-th person, in order of appearance, from the left within a frame.

    Args:
      number: from 1.
    """

    def __init__(self, number: int) -> None:
        self._person = number - 1

    def __call__(self, faces: Sequence[TrackedFace]) -> list[TrackedFace]:
        """At most one face."""
        return [face for face in faces if face.person == self._person]


class Like(_Forgetful):
    """Whoever looks like a photo.

    Args:
      vector: of the photo's face.
      means: of the clip's people, those of the frame among them.

    Attributes:
      vector: the same.
    """

    def __init__(self, vector: np.ndarray, means: IdentityMeans) -> None:
        self.vector = vector
        self._means = means

    def __call__(self, faces: Sequence[TrackedFace]) -> list[TrackedFace]:
        """At most one face: the most alike of those that are alike."""
        alike = [(float(self._means.vector(face.person) @ self.vector), face) for face in faces]
        best = max(alike, key=lambda pair: pair[0], default=(0.0, None))
        return [best[1]] if best[1] is not None and best[0] >= SAME_PERSON else []


def parse_selector(text: str, *, like: Callable[[Path], FaceSelector]) -> FaceSelector:
    """The face selector that `--face TEXT` names.

    Args:
      text: 'largest', 'all', 'left', 'right', a number (people in the order in which they
        appear, from the left, from 1) or 'like:PHOTO'.
      like: makes the selector for a photo.

    Raises:
      UserError: it is none of these.
    """
    if text == 'largest':
        return Largest()
    if text == 'all':
        return EveryFace()
    if text in ('left', 'right'):
        return Outermost(text)
    if photo := photo_of(text):
        return like(photo)
    # Longer ones are nobody's number, and Python refuses to read them from 4,300 digits on.
    if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) > 0:
        return Numbered(int(text))
    raise UserError(
        f'--face {text[:_LONGEST_SHOWN]}: must be one of {", ".join(_SELECTORS)}, a number from 1, '
        'or like:PHOTO'
    )


def photo_of(text: str) -> Path | None:
    """The photo that a `--face` text names; None if it names none."""
    name = text.removeprefix('like:')
    return Path(name) if name and name != text else None


@dataclasses.dataclass(frozen=True)
class MapEntry:
    """One person of a mapping file.

    Attributes:
      like: a photo of the person in the target.
      source: photos, videos or an identity file of who they become.
    """

    like: Path
    source: tuple[Path, ...]


def read_map(path: Path) -> list[MapEntry]:
    """Reads a mapping file; paths in it are relative to it.

        [[person]]
        like = "anna.jpg"
        source = ["somebody-1.jpg", "somebody-2.jpg"]

    Raises:
      UserError: it is missing or not of this form.
    """
    where, remedy = f'--map {path}', 'see docs/swap.md'
    document = parse_toml_file(path, where=where, remedy=remedy)
    entries: Any = document.get('person')
    if set(document) != {'person'} or not _PEOPLE.is_met(entries):
        raise UserError(f'{where}: must consist of {_PEOPLE.says}; {remedy}')
    people = [_entry(path, number, entry) for number, entry in enumerate(entries, start=1)]
    for each, count in Counter(person.like for person in people).items():
        if count > 1:
            raise UserError(f'{where}: has {each.name} for {count} people; leave one')
    return people


def _entry(path: Path, number: int, entry: Any) -> MapEntry:
    sources = entry.get('source')
    sources = sources if isinstance(sources, list) else [sources]
    is_good = _FILES.is_met(sources) and file_name().is_met(entry.get('like'))
    if set(entry) != {'like', 'source'} or not is_good:
        raise UserError(
            f'--map {path}: person {number} must have like = "PHOTO" and source = "FILE" or a list '
            'of files, and nothing else'
        )
    like, *source = (path.parent / name for name in (entry['like'], *sources))
    return MapEntry(like, tuple(source))


@dataclasses.dataclass
class ByNumber(_Forgetful):
    """Some of the people, each with a source of their own.

    Attributes:
      identities: of the sources, leading axis 1 each, by the person's number as of `Numbered`.
    """

    identities: Mapping[int, IdentityEmbedding]

    def __call__(self, faces: Sequence[TrackedFace]) -> list[Role]:
        """Roles for the faces of those people."""
        numbered = ((face, face.person + 1) for face in faces)
        return [
            Role(face, self.identities[number], number)
            for face, number in numbered
            if number in self.identities
        ]


@dataclasses.dataclass
class Mapped(_Forgetful):
    """Several people, each with a source of their own.

    Attributes:
      vectors: of the photos of the people in the target, (n, d), unit length.
      identities: of their sources, leading axis 1 each.
      means: of the clip's people, those of the frame among them.
    """

    vectors: np.ndarray
    identities: Sequence[IdentityEmbedding]
    means: IdentityMeans

    def __call__(self, faces: Sequence[TrackedFace]) -> list[Role]:
        """Roles for the faces that are somebody of the map; nobody is in a frame twice."""
        alike = {
            (place, entry): cosine
            for place, face in enumerate(faces)
            for entry, cosine in enumerate(self.vectors @ self.means.vector(face.person))
        }
        roles: list[Role] = []
        taken: set[tuple[str, int]] = set()
        for (place, entry), cosine in sorted(alike.items(), key=lambda item: -item[1]):
            if cosine >= SAME_PERSON and not taken & {('face', place), ('entry', entry)}:
                taken |= {('face', place), ('entry', entry)}
                roles.append(Role(faces[place], self.identities[entry], entry))
        return roles


@dataclasses.dataclass
class Anonymous:
    """Everybody becomes somebody of a bank: the same throughout, and each another.

    Attributes:
      vectors: of the bank, (n, d), unit length.
      identities: of the bank, leading axis 1 each.
      means: of the clip's people, those of the frame among them.
    """

    vectors: np.ndarray
    identities: Sequence[IdentityEmbedding]
    means: IdentityMeans
    _given: dict[int, int] = dataclasses.field(default_factory=dict, init=False)

    def __call__(self, faces: Sequence[TrackedFace]) -> list[Role]:
        """A role for every face."""
        return [self._role(face) for face in faces]

    def _role(self, face: TrackedFace) -> Role:
        if face.person not in self._given:
            self._given[face.person] = self._least_alike(self.means.vector(face.person))
        number = self._given[face.person]
        return Role(face, self.identities[number], number)

    def _least_alike(self, vector: np.ndarray) -> int:
        """Who of the bank is least like a person; nobody twice before everybody once."""
        order = np.argsort(self.vectors @ vector)
        given = list(self._given.values())
        uses = np.array([given.count(int(number)) for number in order])
        return int(order[np.argmin(uses)])

    def state(self) -> dict[str, Any]:
        """See `Remembering`: who each of the people became."""
        return {str(person): number for person, number in self._given.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Remembering`."""
        self._given = {int(person): number for person, number in state.items()}
