"""Photos swapped to somebody else, each with the photo itself as the truth: pairs to learn from.

    python -m data_prep.reverse --source folder:PHOTOS --labels labels.tsv --output DIR --size 128

A bundle gives each photo another person's identity. The swapped photo is a target for training,
another photo of the same person is the source, and the photo itself, which is real, is what a
generator should make of the two. So only people of whom the labels name two photos are of use.

Photos are swapped as `apgan swap` does it, but for one thing: the new face does not get the photo's
own detail. That is the truth's, and a generator would learn to look for it in the target.

Records are those of data_prep.build with two features more: `truth`, the photo's own crop, and
`made_by`, the SHA-256 of the bundle that made `image`. The swapped pictures show real people, who
were not asked: they are for training alone and never leave the data set. The metadata, each record
and each JPEG say that they are synthetic.
"""

import argparse
import contextlib
import dataclasses
import itertools
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow_datasets as tfds

from apgan_jax.bundle import load_bundle
from apgan_jax.data.records import DATASET_NAME, SYNTHETIC_KEY
from apgan_jax.errors import UserError
from apgan_jax.face import blending
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.finding import FaceFinder
from apgan_jax.face.landmarks import Face
from apgan_jax.face.tracking import TrackedFace
from apgan_jax.files.image_files import encode_image
from apgan_jax.inference.blend import Blend
from apgan_jax.inference.casting import Role
from apgan_jax.inference.frame_swapper import FrameSwapper
from apgan_jax.inference.prefetch import prefetch
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.identity import IdentityEmbedding
from apgan_jax.provenance import xmp
from apgan_jax.runtime import use_compilation_cache
from data_prep import build
from data_prep.build import FaceRecordBuilder, RejectedPhotoError, Selection
from data_prep.filtering import FaceFilter
from data_prep.sources import Photo

# The product's own choices, but the truth's detail stays out of the target.
BLEND = Blend(detail=False)
_BATCH = 8
# Photos of other people that are looked at until one shows a face that may be used.
_DRAWS = 10
_ALONE = 'no other photo of the person'


@dataclasses.dataclass(frozen=True)
class SwapTask:
    """A photo and who it becomes.

    Attributes:
      number: of the photo.
      photo: where it came from.
      rgb: RGB uint8 (h, w, 3).
      face: in it.
      identity: of somebody else, leading axis 1.
    """

    number: int
    photo: Photo
    rgb: np.ndarray
    face: Face
    identity: IdentityEmbedding


def photos_with_another(photos: Sequence[Photo]) -> list[int]:
    """Numbers of the photos whose person is on another one too.

    Raises:
      UserError: there are none, or they all are of the only person known.
    """
    shown = Counter(photo.identity for photo in photos if photo.identity)
    numbers = [number for number, photo in enumerate(photos) if shown[photo.identity] > 1]
    if not numbers or len(shown) < 2:
        raise UserError(
            f'{len(photos)} photos of {len(shown)} labelled people: two people are needed, and two '
            'photos of one of them; name them with --labels, or give --source vggface2:PATH'
        )
    return numbers


def draw_photos(
    photos: Sequence[Photo], numbers: Sequence[int], limit: int | None, seed: int
) -> list[int]:
    """Draws some of the photos: of many people, and two of each, sources for one another.

    Args:
      photos: all.
      numbers: those to draw from.
      limit: how many; None: all.
      seed: of the draw.

    Returns:
      Their numbers, in order.
    """
    people: dict[str, list[int]] = defaultdict(list)
    for number in random.Random(seed).sample(numbers, len(numbers)):
        people[photos[number].identity].append(number)
    turns = [(place // 2, number) for own in people.values() for place, number in enumerate(own)]
    # Python's sort is stable: within a turn people stay together.
    turns.sort(key=lambda turn: turn[0])
    return sorted(number for _, number in turns[:limit])


class Strangers:
    """Draws photos of other people, each person as often as any other.

    Args:
      photos: to draw from; those without a label might show anybody and are left out.
      seed: of the draws.
    """

    def __init__(self, photos: Iterable[Photo], seed: int) -> None:
        self._seed = seed
        self._photos: dict[str, list[Photo]] = defaultdict(list)
        for photo in photos:
            if photo.identity:
                self._photos[photo.identity].append(photo)
        self._people = sorted(self._photos)

    def draw(self, photo: Photo) -> Iterator[Photo]:
        """Draws for a photo, whatever was drawn for others before; without an end."""
        rng = random.Random(f'{self._seed} {photo.file_name}')
        while True:
            person = rng.choice(self._people)
            if person != photo.identity:
                yield rng.choice(self._photos[person])


class TaskReader:
    """Reads photos, and photos of the people they become; a context manager.

    Args:
      swapper: the model.
      strangers: who photos become.
      face_filter: what is asked of a face; of the other person's too.
      min_face_width: pixels of the photo; likewise.
    """

    def __init__(
        self,
        swapper: Swapper,
        strangers: Strangers,
        face_filter: FaceFilter,
        min_face_width: float = build.MIN_FACE_WIDTH,
    ) -> None:
        self._swapper, self._strangers = swapper, strangers
        self._filter, self._min_face_width = face_filter, min_face_width
        self._finder = FaceFinder(expressions=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._finder.close()

    def read(self, number: int, photo: Photo) -> SwapTask:
        """Reads a photo.

        Raises:
          RejectedPhotoError: it shows no face that may be used, or nobody is found whom it could
            become.
        """
        rgb, face = self._find(photo)
        return SwapTask(number, photo, rgb, face, self._identity(photo))

    def _find(self, photo: Photo) -> tuple[np.ndarray, Face]:
        try:
            data = photo.path.read_bytes()
        except OSError as error:
            raise RejectedPhotoError(str(error)) from error
        return build.find_usable_face(data, self._finder, self._filter, self._min_face_width)

    def _identity(self, photo: Photo) -> IdentityEmbedding:
        """Of the first stranger drawn who shows a face that may be used."""
        for stranger in itertools.islice(self._strangers.draw(photo), _DRAWS):
            try:
                rgb, face = self._find(stranger)
            except RejectedPhotoError:
                continue
            crop = align_face(rgb, face.landmarks, self._swapper.bundle.crop_spec).crop
            return self._swapper.embed(crop[None])
        raise RejectedPhotoError(f'nobody to become: {_DRAWS} photos of others show no usable face')


class _EachTheirOwn:
    """A casting of photos in which the person n becomes the n-th identity."""

    def __init__(self, identities: Sequence[IdentityEmbedding]) -> None:
        self._identities = identities

    def __call__(self, faces: Sequence[TrackedFace]) -> list[Role]:
        return [Role(face, self._identities[face.person]) for face in faces]

    def state(self) -> None:
        """See `Remembering`: nothing."""

    def restore(self, state: None) -> None:
        """See `Remembering`."""


def swap_tasks(swapper: Swapper, tasks: Sequence[SwapTask]) -> list[np.ndarray]:
    """What becomes of the photos of up to eight tasks, RGB uint8 (h, w, 3) each."""
    casting = _EachTheirOwn([task.identity for task in tasks])
    # Made anew each time: it remembers everybody it has seen.
    frame_swapper = FrameSwapper(swapper, casting, batch_size=_BATCH, blend=BLEND)
    faces = ((t, [TrackedFace(person, t.face.landmarks)]) for person, t in enumerate(tasks))
    return [
        blending.with_patches(done.frame.rgb, done.patches) for done in frame_swapper.run(faces)
    ]


def reverse_features(
    task: SwapTask, swapped: np.ndarray, spec: CropSpec, made_by: str
) -> dict[str, Any]:
    """The record of a swapped photo.

    Args:
      task: what was swapped.
      swapped: what became of its photo, RGB uint8 (h, w, 3).
      spec: the crop.
      made_by: SHA-256 of the bundle.
    """
    features = build.face_features(swapped, task.face, spec)
    truth = align_face(task.rgb, task.face.landmarks, spec).crop
    return features | {
        'image': xmp.declared_synthetic(features['image']),
        'truth': encode_image(truth, '.jpg'),
        'made_by': made_by,
        'identity': task.photo.identity,
        'file_name': task.photo.file_name,
    }


class ReverseFaces(FaceRecordBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Records of swapped photos, streamed: a few photos are in memory at a time.

    Args:
      swapper: the model.
      seed: of who photos become, and of which are drawn.
      limit: photos to swap; None: all.
      photos: what to read.
      kwargs: the others of `FaceRecordBuilder`.

    Raises:
      UserError: the photos hold no pair.
    """

    name = DATASET_NAME

    def __init__(
        self,
        *,
        swapper: Swapper,
        seed: int,
        limit: int | None,
        photos: Sequence[Photo],
        **kwargs: Any,
    ) -> None:
        self._swapper, self._seed = swapper, seed
        self._useful = set(photos_with_another(photos))
        self._numbers = draw_photos(photos, sorted(self._useful), limit, seed)
        super().__init__(photos=photos, **kwargs)

    def more_features(self) -> dict[str, Any]:
        """The truth, and who made the image."""
        shape = (self.spec.size, self.spec.size, 3)
        return {
            'truth': tfds.features.Image(shape=shape, encoding_format='jpeg'),
            'made_by': tfds.features.Text(),
        }

    def more_metadata(self) -> dict[str, Any]:
        """That the images are synthetic, and what made them."""
        bundle = self._swapper.bundle
        return {
            SYNTHETIC_KEY: {
                'image': 'photos of real people, swapped; for training alone, not to be shown',
                'bundle': bundle.name,
                'bundle_sha256': bundle.sha256,
                'seed': self._seed,
            }
        }

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager
        return {'train': self._examples()}

    def _examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        rejects = [
            build.rejected_line(photo, _ALONE)
            for number, photo in enumerate(self.photos)
            if number not in self._useful
        ]
        yield from self._swapped(rejects)
        text = ''.join(f'{line}\n' for line in rejects)
        Path(f'{self.rejected_prefix}-0').write_text(text, encoding='utf-8')

    def _swapped(self, rejects: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The records; adds a line for each photo that becomes none."""
        made_by = self._swapper.bundle.sha256
        # The next photos are read while the generator works on these.
        with contextlib.closing(prefetch(_batches(self._tasks(rejects)), ahead=1)) as batches:
            for tasks in batches:
                for task, swapped in zip(tasks, swap_tasks(self._swapper, tasks), strict=True):
                    features = reverse_features(task, swapped, self.spec, made_by)
                    yield f'{task.number:09d}', features

    def _tasks(self, rejects: list[str]) -> Iterator[SwapTask]:
        strangers = Strangers(self.photos, self._seed)
        least = self.selection.min_face_width
        with (
            FaceFilter(self.selection.rules, crop=self.spec.name) as face_filter,
            TaskReader(self._swapper, strangers, face_filter, least) as reader,
        ):
            for number in self._numbers:
                photo = self.photos[number]
                try:
                    yield reader.read(number, photo)
                except RejectedPhotoError as error:
                    rejects.append(build.rejected_line(photo, str(error)))


def _batches(tasks: Iterator[SwapTask]) -> Iterator[list[SwapTask]]:
    while batch := list(itertools.islice(tasks, _BATCH)):
        yield batch


def build_reverse(
    photos: Sequence[Photo],
    *,
    output: Path,
    spec: CropSpec,
    swapper: Swapper,
    selection: Selection = build.EVERYTHING,
    seed: int = 0,
    limit: int | None = None,
) -> Counter[str]:
    """Writes the data set; nothing appears under `output` before it is complete.

    Args:
      photos: what to read.
      output: folder to make.
      spec: the crop of the records, which need not be the bundle's.
      swapper: the model, of a bundle's file, by whose SHA-256 the records are marked.
      selection: which of the photos; near-duplicates are not looked for.
      seed: of who photos become, and of which are drawn.
      limit: photos to swap; None: all.

    Returns:
      Number of photos by outcome: 'records' and each reason for a reject.

    Raises:
      UserError: `output` exists, a network is missing, the labels name no pair, or no photo could
        be used.
    """
    with build.work_folder(output, selection) as work:
        builder = ReverseFaces(
            photos=photos,
            spec=spec,
            swapper=swapper,
            selection=selection,
            seed=seed,
            limit=limit,
            rejected_prefix=work / 'rejected',
            data_dir=work,
        )
        return build.write_dataset(builder, output)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m data_prep.reverse',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_photo_options(parser)
    parser.add_argument('--bundle', type=Path, help='that swaps; the shipped one by default')
    parser.add_argument(
        '--limit', type=int, metavar='N', help='swap N photos, of as many people as can be'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of who photos become, and of which --limit takes'
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parse(arguments)
    build.quieten_beam()
    use_compilation_cache()
    try:
        if options.limit is not None and options.limit < 1:
            raise UserError(f'--limit {options.limit}: must be 1 or more photos')
        spec = build.spec_of_options(options)
        photos = build.photos_of_options(options)
        counts = build_reverse(
            photos,
            output=options.output,
            spec=spec,
            swapper=Swapper(load_bundle(options.bundle)),
            selection=build.selection_of_options(options),
            seed=options.seed,
            limit=options.limit,
        )
    except UserError as error:
        print(f'data_prep.reverse: {error}', file=sys.stderr)
        return 1
    build.print_counts(counts, len(photos), options.output)
    if rest := len(photos) - counts.total():
        print(f'  not taken, for --limit {options.limit}: {rest}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
