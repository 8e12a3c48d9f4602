"""Who becomes whom: one source, people by number or by photo, everybody anonymous."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face.aligned import align_face
from apgan_jax.face.tracking import Embed
from apgan_jax.identity_file import bank_files, load_identity
from apgan_jax.inference.anonymity import TooAlike
from apgan_jax.inference.blend import DEFAULT_BLEND, Blend
from apgan_jax.inference.casting import (
    Anonymous,
    ByNumber,
    FaceSelector,
    Like,
    Mapped,
    OneSource,
    parse_selector,
)
from apgan_jax.inference.frame_swapper import FrameSwapper
from apgan_jax.inference.identity_means import IdentityMeans
from apgan_jax.inference.last_look import LastLook
from apgan_jax.inference.sources import VIDEO_FRAMES, Source, load_source
from apgan_jax.inference.swap import Job
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.identity import IdentityEmbedding
from apgan_jax.networks.recognisers import SFaceRecogniser


def swap_job(
    swapper: Swapper,
    paths: Sequence[Path],
    *,
    face: str = 'largest',
    blend: Blend = DEFAULT_BLEND,
    video_frames: int = VIDEO_FRAMES,
) -> tuple[Job, Source]:
    """One source for the faces that `--face` names; of its videos so many frames.

    Raises:
      UserError: a source is unreadable or shows no face, or `face` is no choice.
    """
    # Before the sources are read: a wrong word is found at once.
    choose = _choosing(swapper, face)
    source = load_source(paths, swapper, video_frames=video_frames)
    return _source_job(swapper, source.identity, choose, face, blend), source


def identity_job(
    swapper: Swapper,
    identity: IdentityEmbedding,
    *,
    face: str = 'largest',
    blend: Blend = DEFAULT_BLEND,
) -> Job:
    """As `swap_job`, with an identity that is known.

    Raises:
      UserError: `face` is no choice.
    """
    return _source_job(swapper, identity, _choosing(swapper, face), face, blend)


def people_job(
    swapper: Swapper,
    identities: Mapping[int, IdentityEmbedding],
    *,
    blend: Blend = DEFAULT_BLEND,
) -> Job:
    """An identity for each of some people of a target, by their numbers, from 1."""

    def begin() -> FrameSwapper:
        means = IdentityMeans(swapper.embed)
        return FrameSwapper(swapper, ByNumber(identities), means, blend=blend)

    people = {str(number): _hash(identity) for number, identity in sorted(identities.items())}
    fingerprint = {'people': people, **dataclasses.asdict(blend)}
    return Job(swapper, begin, _face_embedder(swapper), fingerprint=fingerprint)


def _choosing(swapper: Swapper, face: str) -> Callable[[IdentityMeans], FaceSelector]:
    """What makes the selector that `--face` names, which is one."""
    like_vector = functools.cache(functools.partial(_photo_vector, swapper=swapper))

    def choose(means: IdentityMeans) -> FaceSelector:
        return parse_selector(face, like=lambda path: Like(like_vector(path), means))

    choose(IdentityMeans(swapper.embed))
    return choose


def _source_job(
    swapper: Swapper,
    identity: IdentityEmbedding,
    choose: Callable[[IdentityMeans], FaceSelector],
    face: str,
    blend: Blend,
) -> Job:
    def begin() -> FrameSwapper:
        means = IdentityMeans(swapper.embed)
        return FrameSwapper(swapper, OneSource(identity, choose(means)), means, blend=blend)

    fingerprint = {'source': _hash(identity), 'face': face, **dataclasses.asdict(blend)}
    selector = choose(IdentityMeans(swapper.embed))
    if isinstance(selector, Like):
        # Another photo under the same name is another person.
        fingerprint['like'] = hashlib.sha256(selector.vector.tobytes()).hexdigest()
    return Job(swapper, begin, _face_embedder(swapper), fingerprint=fingerprint)


def map_job(
    swapper: Swapper,
    people: Mapping[Path, IdentityEmbedding],
    *,
    blend: Blend = DEFAULT_BLEND,
) -> Job:
    """An identity for each of some people of a target, by photos of them.

    Raises:
      UserError: a photo is unreadable or shows no face.
    """
    vectors = np.stack([_photo_vector(photo, swapper) for photo in people])
    identities = list(people.values())

    def begin() -> FrameSwapper:
        means = IdentityMeans(swapper.embed)
        casting = Mapped(vectors, identities, means)
        return FrameSwapper(swapper, casting, means, blend=blend)

    fingerprint = {
        'map': [_hash(identity) for identity in identities],
        'like': hashlib.sha256(vectors.tobytes()).hexdigest(),
        **dataclasses.asdict(blend),
    }
    return Job(swapper, begin, _face_embedder(swapper), fingerprint=fingerprint)


def anonymise_job(swapper: Swapper, *, blend: Blend = DEFAULT_BLEND) -> Job:
    """Everybody gets an identity of the shipped bank, and each generated face is checked.

    Raises:
      UserError: the bank was made with another identity encoder than the model has.
    """
    encoder = swapper.bundle.identity_encoder
    identities = [load_identity(path, encoder) for path in bank_files()]
    vectors = np.stack([np.asarray(identity.vector)[0] for identity in identities])
    sface = SFaceRecogniser()
    window = swapper.bundle.crop_spec.arcface_window

    def embed_sface(crops: np.ndarray) -> IdentityEmbedding:
        return IdentityEmbedding(jnp.asarray(sface.embed(crops, window)), {})

    # The frame's own detail is the person's.
    blend = dataclasses.replace(blend, detail=False)

    def begin() -> FrameSwapper:
        means = IdentityMeans(swapper.embed)
        check = TooAlike(swapper, means, IdentityMeans(embed_sface), sface)
        casting = Anonymous(vectors, identities, means)
        return FrameSwapper(swapper, casting, means, blend=blend, check=check)

    fingerprint = {
        'bank': [_hash(identity) for identity in identities],
        **dataclasses.asdict(blend),
    }
    return Job(
        swapper,
        begin,
        _face_embedder(swapper),
        look=functools.partial(LastLook, sface),
        kind='anonymised',
        fingerprint=fingerprint,
    )


def _face_embedder(swapper: Swapper) -> Embed:
    """Unit vectors (d,) of faces in frames, for the tracker."""

    def embed(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
        crop = align_face(picture, points, swapper.bundle.crop_spec).crop
        return swapper.embed_vectors(crop[None])[0]

    return embed


def _photo_vector(path: Path, swapper: Swapper) -> np.ndarray:
    if not path.is_file():
        raise UserError(f'{path}: no such file; give a photo of the person in the target')
    return np.asarray(load_source([path], swapper).identity.vector)[0]


def _hash(identity: IdentityEmbedding) -> str:
    parts = b''.join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(identity))
    return hashlib.sha256(parts).hexdigest()
