"""What bundles make of targets, as clips to be measured: the files that `apgan swap` writes."""

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from apgan_jax.errors import UserError
from apgan_jax.evaluation.clip_report import ClipOfPerson
from apgan_jax.evaluation.clips import CROP_SPEC
from apgan_jax.evaluation.people import Galleries, crops_of, person_of, read_person
from apgan_jax.evaluation.pictures import Clip
from apgan_jax.files.image_files import images_in, is_image
from apgan_jax.inference.jobs import swap_job
from apgan_jax.inference.sources import read_source_pictures, usable
from apgan_jax.inference.swap import Output, swap_file
from apgan_jax.inference.swapper import Swapper
from apgan_jax.inference.targets import count_frames
from apgan_jax.video.reader import probe


@dataclasses.dataclass(frozen=True)
class SourcePerson:
    """Who is to be seen: photos, or a video.

    Attributes:
      name: for people.
      files: photos of the person, or one video.
    """

    name: str
    files: tuple[Path, ...]

    @property
    def key(self) -> str:
        """By what galleries know the person."""
        return person_of(self.files[0])

    @classmethod
    def of(cls, paths: Sequence[Path]) -> 'SourcePerson':
        """Of photos, a folder of photos, or a video.

        Raises:
          UserError: a file is missing, or videos are mixed with others.
        """
        for path in paths:
            if path.suffix == '.safetensors':
                raise UserError(f'--source {path}: has no faces to compare with; give photos')
            if not path.exists():
                raise UserError(f'--source {path}: no such file or folder')
        if len(paths) == 1 and paths[0].is_dir():
            if not (photos := images_in(paths[0])):
                raise UserError(f'--source {paths[0]}: holds no photos; give a folder of them')
            return cls(paths[0].name, tuple(photos))
        if len(paths) > 1 and not all(map(is_image, paths)):
            raise UserError(f'--source {paths[0]} …: give photos, a folder of photos or one video')
        return cls(paths[0].stem, tuple(paths))

    @property
    def is_video(self) -> bool:
        """Whether frames are taken of a video."""
        return not is_image(self.files[0])

    def given(self, k: int) -> list[Path]:
        """The files that k-shot inference reads.

        Raises:
          UserError: there are fewer photos.
        """
        if not self.is_video and len(self.files) < k:
            raise UserError(f'--k {k}: {self.name} has {len(self.files)} photos; give more')
        return list(self.files) if self.is_video else list(self.files[:k])

    def given_crops(self, k: int) -> np.ndarray:
        """Faces that k-shot inference takes, RGB uint8 (n, 256, 256, 3).

        Raises:
          UserError: there are fewer photos, or none shows a face.
        """
        crops = crops_of(usable(read_source_pictures(self.given(k), CROP_SPEC, video_frames=k)))
        if not len(crops):
            raise UserError(f'--source {self.files[0]}: no face found; give a clear, large face')
        return crops

    def all_crops(self) -> np.ndarray:
        """Faces for a gallery."""
        if self.is_video:
            return read_person(self.files[0])
        return crops_of(read_source_pictures(self.files, CROP_SPEC))


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A swap to be made.

    Attributes:
      name: of the clip.
      target: photo or video.
      source: whom it is to show.
    """

    name: str
    target: Path
    source: SourcePerson


def make_swaps(
    swapper: Swapper,
    wanted: Sequence[Wanted],
    k: int,
    galleries: Galleries,
    *,
    limit: int | None = None,
) -> Iterator[ClipOfPerson]:
    """Swaps one target after the other; the file of each is gone when the next is asked for.

    Args:
      swapper: the model.
      wanted: the swaps.
      k: photos or frames a source.
      galleries: for the identity rows.
      limit: of frames, the first of a video; None: all.

    Raises:
      UserError: a file cannot be read, or a source has fewer photos.
    """
    for each in wanted:
        with tempfile.TemporaryDirectory() as folder:
            still = is_image(each.target)
            output = Path(folder) / f'{each.name}{".png" if still else ".mp4"}'
            _swap(swapper, each, k, output, Output(end=None if still else _end(each.target, limit)))
            metrics = galleries.metrics(each.source.key, each.source.given_crops(k))
            clip = Clip(each.name, each.target, output, is_sequence=not still)
            yield ClipOfPerson(clip, metrics, swapper.bundle)


def _swap(swapper: Swapper, wanted: Wanted, k: int, output: Path, how: Output) -> None:
    job, _ = swap_job(swapper, wanted.source.given(k), video_frames=k)
    with tqdm(
        total=count_frames(wanted.target, how.start, how.end),
        desc=f'swap {wanted.name}',
        unit='frame',
        disable=None,
        leave=False,
    ) as bar:
        swap_file(wanted.target, output, job=job, how=how, on_frame=bar.update)


def _end(target: Path, limit: int | None) -> float | None:
    """When the first `limit` frames of a video are over, seconds; None: with the video."""
    rate = probe(target).frame_rate
    return limit / rate if limit and rate else None
