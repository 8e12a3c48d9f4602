"""From frames with faces to frames with patches: aligned, generated in batches, steadied, checked.

This is the stage between finding faces and writing frames. It draws nothing: a patch says what is
to be blended where, and the writer does it in the frame's own pixels.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import jax
import numpy as np

from apgan_jax.face import blending
from apgan_jax.face.aligned import AlignedFace, align_face
from apgan_jax.face.colour import is_grey, match_skin, without_colour
from apgan_jax.face.detail import agreement
from apgan_jax.face.hair import without_hair
from apgan_jax.face.locations import Location
from apgan_jax.face.tracking import TrackedFace
from apgan_jax.inference.anonymity import LikenessCheck, blurred_patch
from apgan_jax.inference.blend import DEFAULT_BLEND, Blend
from apgan_jax.inference.casting import Casting, Role
from apgan_jax.inference.face_counts import FaceCounts, PersonCounts
from apgan_jax.inference.identity_means import IdentityMeans, extrapolate
from apgan_jax.inference.prefetch import prefetch
from apgan_jax.inference.steadying import FaceSteadier
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.identity import IdentityEmbedding


class Picture(Protocol):
    """What has pixels: a video's frame, or a photo."""

    @property
    def rgb(self) -> np.ndarray:
        """RGB uint8 (h, w, 3), upright."""


F = TypeVar('F', bound=Picture)


@dataclasses.dataclass
class Swapped(Generic[F]):
    """A frame and what is to be done to it.

    Attributes:
      frame: as it came.
      patches: to be blended into it.
      counts: of this frame.
      locations: of the people that it came with.
    """

    frame: F
    patches: list[blending.Patch]
    counts: FaceCounts
    locations: dict[int, Location] = dataclasses.field(default_factory=dict)

    def hide(self, box: tuple[float, float, float, float]) -> None:
        """Blurs what is in (left, top, right, bottom), pixels."""
        self.patches.append(blurred_patch(self.frame.rgb, box))


class _Face(NamedTuple):
    role: Role
    aligned: AlignedFace
    identity: IdentityEmbedding


class _Moved(NamedTuple):
    """An identity and what it was extrapolated from."""

    source: IdentityEmbedding
    own: IdentityEmbedding
    identity: IdentityEmbedding


class _Work(NamedTuple):
    done: Swapped
    faces: list[_Face]


class _Generated(NamedTuple):
    """Frames, and the generated picture and mask of all their faces, in order."""

    works: Sequence[_Work]
    painted: Sequence[tuple[np.ndarray, np.ndarray]]


class FrameSwapper:
    """Gives the faces of frames their roles and makes the patches.

    Args:
      swapper: the model.
      casting: who becomes whom.
      means: of the people's identities, which the casting may ask too; None: new ones.
      batch_size: faces that go through the generator together where memory is no matter; one
        program is compiled for it.
      blend: how generated faces go into their frames.
      check: of each generated face, for anonymising: what stays too like the person, and what
        cannot be aligned, is blurred. None: no check.
    """

    def __init__(
        self,
        swapper: Swapper,
        casting: Casting,
        means: IdentityMeans | None = None,
        *,
        batch_size: int = 8,
        blend: Blend = DEFAULT_BLEND,
        check: LikenessCheck | None = None,
    ) -> None:
        self._swapper = swapper
        self._crop_spec = swapper.bundle.crop_spec
        self._has_mask = swapper.bundle.generator.mask
        self._casting = casting
        self._means = means or IdentityMeans(swapper.embed)
        self._batch_size = batch_size
        self._blend = blend
        self._check = check
        self._steadiers: dict[tuple[int, int], FaceSteadier] = {}
        self._moved: dict[tuple[int, int], _Moved] = {}

    def state(self) -> dict[str, Any]:
        """See `Remembering`: that of the last frame that `run` was given, once it is yielded.

        Before that, `run` has looked at later frames than the one it yielded last.
        """
        return {
            'means': self._means.state(),
            'casting': self._casting.state(),
            'likeness': self._check and self._check.state(),
            'steadying': [
                {'person': person, 'number': number, 'steadier': steadier.state()}
                for (person, number), steadier in self._steadiers.items()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Remembering`."""
        self._means.restore(state['means'])
        self._casting.restore(state['casting'])
        if self._check is not None:
            self._check.restore(state['likeness'])
        self._steadiers = {}
        for each in state['steadying']:
            steadier = self._steadiers[each['person'], each['number']] = FaceSteadier()
            steadier.restore(each['steadier'])

    def run(
        self, tracked: Iterable[tuple[F, Sequence[TrackedFace]]], *, room: float = 1.0
    ) -> Iterator[Swapped[F]]:
        """Yields every frame, in order, with its patches; at most three batches of frames late.

        Args:
          tracked: frames and who is in them.
          room: share of a whole batch that there is memory for: fewer faces go through the
            generator together then, each a little more slowly.
        """
        size = round(room * self._batch_size) or 1
        batches = self._batches(tracked, size)
        generated: Iterable[_Generated] = (self._generate(works, size) for works in batches)
        # The check asks for means that preparing later frames changes: one after the other.
        if self._check is None:
            generated = prefetch(generated, ahead=1)
        for batch in generated:
            yield from self._finish(batch)

    def _batches(
        self, tracked: Iterable[tuple[F, Sequence[TrackedFace]]], size: int
    ) -> Iterator[Sequence[_Work]]:
        waiting: list[_Work] = []
        for frame, faces in tracked:
            waiting.append(self._prepare(frame, faces))
            num_faces = sum(len(work.faces) for work in waiting)
            if num_faces >= size or len(waiting) >= size:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _prepare(self, frame: F, faces: Sequence[TrackedFace]) -> _Work:
        people = {face.person: PersonCounts(frames=1) for face in faces}
        counts = FaceCounts(1, int(not faces), people)
        locations = {face.person: face.location for face in faces}
        work = _Work(Swapped(frame, [], counts, locations), [])
        aligned = self._aligned(work.done, faces)
        for face, each in aligned:
            self._means.observe(face.person, each.crop)
        # Nobody is in a frame twice.
        crops = {face.person: each for face, each in aligned}
        roles = self._casting([face for face, _ in aligned])
        chosen = {role.face.person for role in roles}
        for person in crops.keys() - chosen:
            counts.count('left', person)
        for role in roles:
            work.faces.append(_Face(role, crops[role.face.person], self._identity(role)))
        return work

    def _aligned(
        self, done: Swapped, faces: Sequence[TrackedFace]
    ) -> list[tuple[TrackedFace, AlignedFace]]:
        """The faces that can be cut out; somebody may be behind the others all the same."""
        aligned = []
        for face in faces:
            try:
                cut = align_face(done.frame.rgb, face.landmarks, self._crop_spec)
            except ValueError:  # Points that coincide.
                self.give_up(done, face.box, face.person)
                continue
            aligned.append((face, cut))
        return aligned

    def _identity(self, role: Role) -> IdentityEmbedding:
        """What the generator is given."""
        if self._blend.strength == 1:
            return role.identity
        source, own = role.identity, self._means.embedding(role.face.person)
        key = role.face.person, role.number
        known = self._moved.get(key)
        # A person's mean changes every few frames only.
        if known is None or known.source is not source or known.own is not own:
            known = _Moved(source, own, extrapolate(source, own, self._blend.strength))
            self._moved[key] = known
        return known.identity

    def _finish(self, batch: _Generated) -> Iterator[Swapped[F]]:
        painted = iter(batch.painted)
        for done, faces in batch.works:
            before, self._steadiers = self._steadiers, {}
            for face in faces:
                swapped, mask = next(painted)
                # Before steadying, so that shades of the colours' own making do not flicker either.
                swapped = self._coloured(face.aligned, swapped, mask)
                if self._blend.steady:
                    swapped = self._steadied(face, swapped, before)
                self._add_patch(done, face, self._patch(face.aligned, swapped, mask))
            yield done

    def _steadied(
        self, face: _Face, swapped: np.ndarray, before: Mapping[tuple[int, int], FaceSteadier]
    ) -> np.ndarray:
        """With what the last frame knew of the same person with the same new identity."""
        key = face.role.face.person, face.role.number
        steadier = before.get(key) or FaceSteadier()
        self._steadiers[key] = steadier
        return steadier(face.aligned.crop, swapped)

    def _generate(self, works: Sequence[_Work], size: int) -> _Generated:
        faces, results = [face for work in works for face in work.faces], []
        for start in range(0, len(faces), size):
            part = faces[start : start + size]
            # Filled up, so that one program serves every batch.
            filled = [*part, *[part[0]] * (size - len(part))]
            painted = self._swapper.swap(
                np.stack([face.aligned.crop for face in filled]),
                np.stack([face.aligned.boundary_map for face in filled]),
                jax.tree.map(
                    lambda *values: np.concatenate(values),
                    *[face.identity for face in filled],
                ),
            )
            results += list(zip(*painted, strict=True))[: len(part)]
        return _Generated(works, results)

    def _add_patch(self, done: Swapped, face: _Face, patch: blending.Patch) -> None:
        check, tracked = self._check, face.role.face
        if check and check(done.frame.rgb, tracked, face.aligned.crop, patch):
            self.give_up(done, tracked.box, tracked.person)
            return
        done.patches.append(patch)
        done.counts.count('swapped', tracked.person)

    def _coloured(self, aligned: AlignedFace, swapped: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """With colours that go with the target's."""
        if not self._blend.keep_colour:
            # Not the composed picture: what is the target's in it would say that all is right.
            swapped = match_skin(swapped, aligned.crop, aligned.landmarks, shown=mask > 127)
        return without_colour(swapped) if is_grey(aligned.crop) else swapped

    def _patch(self, aligned: AlignedFace, swapped: np.ndarray, mask: np.ndarray) -> blending.Patch:
        blend, crop, landmarks = self._blend, aligned.crop, aligned.landmarks
        outline = None if blend.whole_crop else landmarks
        patch = blending.face_patch(
            swapped, aligned.crop_from_frame, outline, name=self._crop_spec.name
        )
        if self._has_mask:
            patch = dataclasses.replace(patch, mask=patch.mask * (mask / np.float32(255)))
        elif not (blend.whole_crop or blend.whole_face):
            shown = without_hair(crop, swapped, landmarks)
            patch = dataclasses.replace(patch, mask=patch.mask * shown)
        if blend.detail:
            # Detail is added to what was generated, where that shows: that is what it must fit.
            detail = agreement(crop, swapped)
            patch = dataclasses.replace(patch, covered=crop, detail=detail)
        return patch

    def give_up(
        self,
        done: Swapped,
        box: tuple[float, float, float, float],
        person: int | None = None,
    ) -> None:
        """Blurs a face that cannot be swapped, if likeness is checked; else it stays as it is.

        Args:
          done: the frame, whose patches and counts are changed.
          box: (left, top, right, bottom) of the face, pixels.
          person: whose it is, if that is known.
        """
        if self._check is None:
            done.counts.count('left', person)
        else:
            done.hide(box)
            done.counts.count('blurred', person)
