"""Who a face becomes: photos, a video or a saved identity → one embedding (k-shot, paper IV-D).

Blurred faces, faces turned away and pictures without a face teach the wrong identity. They are left
out of the average and named; where nothing better is left, what shows a face at all is taken.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face import landmarks
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.finding import FaceFinder
from apgan_jax.face.people import SAME_PERSON
from apgan_jax.face.quality import fault_of
from apgan_jax.files.image_files import images_in
from apgan_jax.files.photos import is_photo, read_photo
from apgan_jax.identity_file import load_identity
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.identity import IdentityEmbedding
from apgan_jax.networks.recognisers import unit_vectors
from apgan_jax.video.sampling import sample_frames

VIDEO_FRAMES = 10
# A face of this part of the largest one's size is somebody whom the photo is of, too.
_ALSO_SHOWN = 1 / 3
_TAKEN = 'taken for want of a better one'
_CROWD = 'shows {} people, the largest face is taken; cut the others out if it is another one'
_STRANGER = 'may be somebody else than the other pictures show; leave it out if it is'


@dataclasses.dataclass(frozen=True)
class Source:
    """A person to become.

    Attributes:
      identity: leading axis 1.
      used: pictures in the average; 0 for a saved identity.
      left_out: 'name: reason' of the others.
      doubts: likewise, why pictures in the average may be wrong ones.
    """

    identity: IdentityEmbedding
    used: int = 0
    left_out: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What to tell of it on a terminal."""
        left_out = (f'source: left out {line}' for line in self.left_out)
        return [*left_out, *(f'source: {line}' for line in self.doubts)]


@dataclasses.dataclass(frozen=True, eq=False)
class SourcePicture:
    """A photo of a source, or a frame of its video.

    Attributes:
      name: for people.
      crop: RGB uint8 (size, size, 3); None without a face.
      fault: why it is a bad source; None for a good one.
      people: that it shows.
    """

    name: str
    crop: np.ndarray | None
    fault: str | None
    people: int = 1


def load_source(
    given: Sequence[Path | np.ndarray], swapper: Swapper, *, video_frames: int = VIDEO_FRAMES
) -> Source:
    """The mean over photos and frames of videos of one person, or a saved identity.

    Args:
      given: photos, videos, folders of photos and pictures, RGB uint8 (h, w, 3); or one identity
        file.
      swapper: the model.
      video_frames: evenly spaced ones of each video.

    Raises:
      UserError: a file is unreadable, none shows a face, or the identity file does not fit.
    """
    paths = [each for each in given if isinstance(each, Path)]
    saved = [path for path in paths if path.suffix == '.safetensors']
    if saved:
        if len(given) > 1:
            raise UserError(
                f'--source {saved[0]}: an identity file stands alone; give either one identity '
                'file or photos and videos'
            )
        return Source(load_identity(saved[0], swapper.bundle.identity_encoder))
    files = [file for each in given for file in _files(each)]
    pictures = read_source_pictures(files, swapper.bundle.crop_spec, video_frames=video_frames)
    return _average(pictures, paths, swapper)


def read_source_pictures(
    given: Sequence[Path | np.ndarray], spec: CropSpec, *, video_frames: int = VIDEO_FRAMES
) -> list[SourcePicture]:
    """The largest face of each photo or picture and of evenly spaced frames of each video.

    Raises:
      UserError: a file is unreadable.
    """
    with FaceFinder(expressions=True) as finder:
        return [
            _look_at(name, picture, finder, spec)
            for number, each in enumerate(given, start=1)
            for name, picture in _pictures(each, number, video_frames)
        ]


def usable(pictures: Sequence[SourcePicture]) -> list[SourcePicture]:
    """Those without a fault; where there is none, all that show a face: poor ones beat none."""
    good = [each for each in pictures if each.crop is not None and each.fault is None]
    return good or [each for each in pictures if each.crop is not None]


def _pictures(
    path: Path | np.ndarray, number: int, video_frames: int
) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(path, np.ndarray):
        yield f'picture {number}', path
        return
    if is_photo(path):
        yield str(path), read_photo(path).rgb
        return
    for frame in sample_frames(path, video_frames):
        yield f'{path} at {frame.time:.2f} s', frame.rgb


def _files(path: Path | np.ndarray) -> Sequence[Path | np.ndarray]:
    if isinstance(path, np.ndarray) or not path.is_dir():
        return [path]
    files = images_in(path)
    if not files:
        raise UserError(f'--source {path}: holds no photo; give a folder of one person')
    return files


def _look_at(name: str, picture: np.ndarray, finder: FaceFinder, spec: CropSpec) -> SourcePicture:
    faces = finder.detect(picture)
    face = landmarks.largest(faces)
    if face is None:
        return SourcePicture(name, None, 'no face')
    crop = align_face(picture, face.landmarks, spec).crop
    people = sum(each.location.size > _ALSO_SHOWN * face.location.size for each in faces)
    return SourcePicture(name, crop, fault_of(picture, face), people)


def _average(pictures: Sequence[SourcePicture], paths: Sequence[Path], swapper: Swapper) -> Source:
    used = usable(pictures)
    if not used:
        names = ' '.join(map(str, paths)) or 'pictures'
        raise UserError(f'--source {names}: no face found; give a photo with a clear, large face')
    crops = [each.crop for each in used if each.crop is not None]
    left_out = [f'{each.name}: {each.fault}' for each in pictures if each not in used]
    doubts = [
        *(f'{each.name}: {each.fault}, {_TAKEN}' for each in used if each.fault),
        *(f'{each.name}: {_CROWD.format(each.people)}' for each in used if each.people > 1),
        *(f'{used[number].name}: {_STRANGER}' for number in _strangers(crops, swapper)),
    ]
    return Source(swapper.embed_source(crops), len(used), tuple(left_out), tuple(doubts))


def _strangers(crops: Sequence[np.ndarray], swapper: Swapper) -> list[int]:
    """Which faces are unlike all the others together."""
    if len(crops) < 2:
        return []
    # One at a time, as in `embed_source`.
    vectors = np.concatenate([swapper.embed_vectors(crop[None]) for crop in crops])
    others = unit_vectors(vectors.sum(axis=0) - vectors)
    return [int(number) for number in np.flatnonzero((vectors * others).sum(1) < SAME_PERSON)]
