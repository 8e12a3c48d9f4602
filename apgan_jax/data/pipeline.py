"""Training batches by Grain: pairs of records, uint8, without TensorFlow.

A batch is a dict of NumPy arrays: uint8 (n, size, size, 3) `source`, `target` and `boundary_map`
(of the target), bool (n,) `same_image`. With `PairOptions.truths`, beside them uint8 (n, size,
size, 3) `truth`, what the swapped picture should be where bool (n,) `has_truth`, and uint8 (n,
size, size) `mask`, how far the generator's own mask should be open, of 255. With
`PairOptions.most_shift`, int32 (n, 2) `offsets`, by how many pixels the target is moved down and to
the right in another frame of it.

A pair is numbered: the number and the seed decide all of it. Processes share the numbers out, so
pairs are the same however many processes there are, and an iterator's state is one number.
"""

import dataclasses
import functools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import grain
import numpy as np

from apgan_jax.data.augmentation import NO_JITTER, SourceJitter
from apgan_jax.data.occluders import paint_occluder
from apgan_jax.data.records import FaceRecord, RecordDataset, show_different_people
from apgan_jax.data.tfrecord import CorruptRecordError
from apgan_jax.errors import UserError
from apgan_jax.face import boundary
from apgan_jax.face.alignment import inside_photo
from apgan_jax.face.blending import outline_mask
from apgan_jax.face.quality import looks_turned

Batch = dict[str, np.ndarray]
T = TypeVar('T')
# Makes a pair's own generator, the same one at every call.
_MakeRng = Callable[[], np.random.Generator]

# Draws of somebody else, or of a record that is not corrupt, before the sampler gives up.
_MAX_DRAWS = 16


@dataclasses.dataclass(frozen=True)
class PairOptions:
    """How sources and targets are paired and changed.

    Attributes:
      same_image_share: part of the pairs whose source is the target's photo (eq. 7's first case).
      same_identity_share: part of the pairs whose source is another photo of the target's person
        (eq. 7's second case); of somebody else where no other is labelled.
      mirror: whether source and target are mirrored at random, independently unless they are the
        same photo.
      source_jitter: of the source's picture. A pair of one photo stays one: what eq. 7 asks for is
        the target, which is still right, and less can be copied.
      reverse_share: part of the pairs whose target is a record of the reverse data set: a photo
        that was swapped to somebody else. The source is another photo of its person, and the photo
        itself is the truth.
      turned_share: part of the targets that are drawn from the turned heads alone.
      occluder_share: part of the targets that something is painted on.
      truths: whether batches have `truth`, `has_truth` and `mask`.
      most_shift: pixels of `offsets`, each way; 0: batches have none.
    """

    same_image_share: float = 0.2
    same_identity_share: float = 0.0
    mirror: bool = True
    source_jitter: SourceJitter = NO_JITTER
    reverse_share: float = 0.0
    turned_share: float = 0.0
    occluder_share: float = 0.0
    truths: bool = False
    most_shift: int = 0

    def __post_init__(self) -> None:
        shares = self.same_image_share, self.same_identity_share, self.reverse_share
        if min(shares) < 0 or sum(shares) > 1:
            raise UserError(
                'config.data.same_image_share={}, same_identity_share={} and reverse_share={}: '
                'must be 0 or more, 1 or less together; the rest are pairs of different '
                'people'.format(*shares)
            )
        for name in ('turned_share', 'occluder_share'):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f'config.data.{name}={getattr(self, name)}: must be from 0 to 1')


def training_batches(
    dataset: RecordDataset,
    *,
    batch_size: int,
    seed: int,
    options: PairOptions,
    num_threads: int = 1,
    prefetch: int = 64,
    shard: tuple[int, int] = (0, 1),
    max_corrupt_share: float = 0.01,
    reverse: RecordDataset | None = None,
) -> grain.DatasetIterator:
    """An endless iterator of batches; its state can be checkpointed.

    Every record is a target once an epoch, in an order that the seed decides and that differs from
    epoch to epoch, but for those whose place a reversed pair or a turned head takes. Epochs follow
    each other without a gap: where processes or batches do not divide the number of records, a
    batch takes its last pairs from the next epoch.

    A corrupt record is warned of, counted in `dataset.corrupt` and replaced by another one that the
    pair's own chance draws.

    Args:
      dataset: what to read.
      batch_size: of this process.
      seed: decides order, pairing and changes.
      options: of pairing.
      num_threads: that read and decode, each a batch at a time.
      prefetch: pairs held ready, rounded up to batches, one a thread at least.
      shard: (index, count) of this process: pair k is of process k modulo count.
      max_corrupt_share: of the records read; more raise a UserError.
      reverse: swapped photos with their truth, for `options.reverse_share`.

    Returns:
      Grain's iterator.
    """
    index, count = shard
    sampler = PairSampler(dataset, options, seed, max_corrupt_share, reverse)
    # Grain's `shuffle` and `random_map` would cost 75 µs a pair (a cipher makes its permutation),
    # its `batch` copies what was decoded: together as much as decoding two pictures.
    batches = grain.MapDataset.source(Batches(sampler, batch_size, index, count))
    ready = max(num_threads, -(-prefetch // batch_size))
    read_options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=ready)
    return iter(batches.to_iter_dataset(read_options))


@dataclasses.dataclass(frozen=True)
class Batches:
    """One process's endless sequence of batches, any of them by its number.

    Attributes:
      sampler: of the pairs.
      batch_size: of this process.
      index: of this process.
      count: of processes.
    """

    sampler: 'PairSampler'
    batch_size: int
    index: int
    count: int

    def __len__(self) -> int:
        return sys.maxsize // (self.batch_size * self.count)

    def __getitem__(self, number: int) -> Batch:
        """Draws the pairs straight into the arrays of the batch."""
        batch = self._empty()
        for place in range(self.batch_size):
            pair = (int(number) * self.batch_size + place) * self.count + self.index
            # With the ellipsis, a number of `same_image` too is an array that can be written to.
            self.sampler.draw(pair, {name: array[place, ...] for name, array in batch.items()})
        return batch

    def _empty(self) -> Batch:
        size, truths = self.sampler.dataset.crop_spec.size, self.sampler.options.truths
        shape = (self.batch_size, size, size)
        pictures = ('source', 'target', 'boundary_map', *(('truth',) if truths else ()))
        batch: Batch = {name: np.empty((*shape, 3), np.uint8) for name in pictures}
        batch['same_image'] = np.empty(self.batch_size, np.bool_)
        if truths:
            batch['has_truth'] = np.empty(self.batch_size, np.bool_)
            batch['mask'] = np.empty(shape, np.uint8)
        if self.sampler.options.most_shift:
            batch['offsets'] = np.empty((self.batch_size, 2), np.int32)
        return batch


class _Epoch(NamedTuple):
    """What chance decides for an epoch, by the place in it.

    Attributes:
      targets: uint32 (records,), each number once.
      sources: uint32 (records,), any numbers.
      chances: float32 (records, 3) in [0, 1), of kind of pair, mirrored target, mirrored source.
    """

    targets: np.ndarray
    sources: np.ndarray
    chances: np.ndarray


class _Pair(NamedTuple):
    """What was read.

    Attributes:
      target: its record.
      same_image: whether the source is the target's photo.
      same_person: whether it is one of the target's person.
      is_reversed: whether the target was swapped before, and its truth was read too.
    """

    target: FaceRecord
    same_image: bool
    same_person: bool
    is_reversed: bool = False


class PairSampler:
    """The endless sequence of training pairs of a seed, any of them by its number."""

    def __init__(
        self,
        dataset: RecordDataset,
        options: PairOptions,
        seed: int,
        max_corrupt_share: float,
        reverse: RecordDataset | None = None,
    ) -> None:
        """The arguments are those of `training_batches`."""
        self.dataset = dataset
        self.options = options
        self._reverse = reverse
        self._seed = seed
        self._max_corrupt_share = max_corrupt_share
        # An epoch's, and that of the next one, which threads that read ahead may be in already.
        self._drawn_epoch = functools.lru_cache(maxsize=2)(self._draw_epoch)
        self._read_index = functools.cache(functools.partial(index_of, dataset))
        # Neither cache keeps threads that come at once from making the same thing each.
        self._lock = threading.Lock()
        if options.same_identity_share or options.reverse_share or options.turned_share:
            self._index()

    def draw(self, number: int, into: Batch) -> None:
        """Picks, decodes and changes one pair; the seed and `number` decide all of it.

        Args:
          number: 0 or more.
          into: what to fill, arrays of a batch without its first axis.
        """
        options = self.options
        turn, place = divmod(number, len(self.dataset))
        epoch = self._epoch(turn)
        kind, mirror_target, mirror_source = epoch.chances[place]
        # For what is seldom asked for; made only then, because that takes 20 µs.
        rng = functools.cache(lambda: np.random.default_rng([self._seed, turn, place]))
        numbers = int(epoch.targets[place]), int(epoch.sources[place])
        pair = kind >= 1 - options.reverse_share and self._read_reversed(rng, into)
        pair = pair or self._read_pair(kind, *numbers, rng, into)
        if options.truths:
            self._add_truths(pair, rng, into)
        if options.mirror and mirror_target < 0.5:
            _mirror_target(into)
        if options.mirror and (mirror_target if pair.same_image else mirror_source) < 0.5:
            _mirror(into['source'])
        if options.source_jitter != NO_JITTER:
            into['source'][...] = options.source_jitter.apply(into['source'], rng())
        if options.most_shift:
            into['offsets'][...] = rng().integers(-options.most_shift, options.most_shift + 1, 2)
        into['same_image'][...] = pair.same_image

    def _read_pair(
        self, kind: float, target_number: int, source_number: int, rng: _MakeRng, into: Batch
    ) -> _Pair:
        """A photo as the target, and a source of the kind that chance asks for."""
        options = self.options
        if options.turned_share and rng().random() < options.turned_share:
            turned = self._index().turned
            target_number = int(rng().choice(turned)) if len(turned) else target_number
        target = self._read_target(target_number, rng, into)
        same_image = kind < options.same_image_share
        same_person = False
        if not same_image:
            same_identity = kind < options.same_image_share + options.same_identity_share
            same_person = same_identity and self._read_same_person(target, rng, into)
            same_image = not (same_person or self._read_other(target, source_number, rng, into))
        if same_image:
            into['source'][...] = into['target']
        return _Pair(target, same_image, same_image or same_person)

    def _read_reversed(self, rng: _MakeRng, into: Batch) -> _Pair | None:
        """A swapped photo, its truth, and another photo of its person; None if there is none."""
        reverse = self._reverse
        if reverse is None:
            return None

        def decode(record: FaceRecord) -> FaceRecord:
            record.decode_image(into['target'])
            record.decode_boundary_map(into['boundary_map'])
            record.decode_truth(into['truth'])
            return record

        number = int(rng().integers(len(reverse)))
        target = self._first_usable([number], decode, reverse)
        if target is None or not self._read_same_person(target, rng, into):
            return None
        return _Pair(target, same_image=False, same_person=True, is_reversed=True)

    def _add_truths(self, pair: _Pair, rng: _MakeRng, into: Batch) -> None:
        """What the swapped picture and the mask should be, and what is painted on the target."""
        target, size = pair.target, self.dataset.crop_spec.size
        mask = outline_mask(target.landmarks, size)
        if target.photo_size is not None:
            mask = mask * inside_photo(target.crop_from_frame, target.photo_size, size)
        if self.options.occluder_share and rng().random() < self.options.occluder_share:
            mask = mask * (1 - self._paint(pair, rng, into))
        if not pair.is_reversed:
            into['truth'][...] = into['target']
        into['mask'][...] = np.rint(255 * mask)
        into['has_truth'][...] = pair.same_person

    def _paint(self, pair: _Pair, rng: _MakeRng, into: Batch) -> np.ndarray:
        """Paints one thing on the target, and on a truth of its own; float32, what it covers."""
        landmarks, seed = pair.target.landmarks, int(rng().integers(2**63))
        covers = np.zeros(0, np.float32)
        for name in ('truth', 'target') if pair.is_reversed else ('target',):
            painted = paint_occluder(
                into[name], landmarks, into['source'], np.random.default_rng(seed)
            )
            into[name][...], covers = painted
        return covers

    def _epoch(self, number: int) -> '_Epoch':
        with self._lock:
            return self._drawn_epoch(number)

    def _index(self) -> 'Index':
        with self._lock:
            return self._read_index()

    def _draw_epoch(self, epoch: int) -> '_Epoch':
        rng, count = np.random.default_rng([self._seed, epoch]), len(self.dataset)
        targets = np.arange(count, dtype=np.uint32)
        rng.shuffle(targets)
        return _Epoch(
            targets,
            sources=rng.integers(count, size=count, dtype=np.uint32),
            chances=rng.random((count, 3), dtype=np.float32),
        )

    def _read_target(self, number: int, rng: _MakeRng, into: Batch) -> FaceRecord:
        """Reads the target, or another one where this record is corrupt."""

        def decode(record: FaceRecord) -> FaceRecord:
            record.decode_image(into['target'])
            record.decode_boundary_map(into['boundary_map'])
            return record

        found = self._first_usable(self._draws(number, rng), decode)
        if found is None:
            raise UserError(
                f'{self.dataset.data_dir}: {_MAX_DRAWS} records in a row are corrupt; copy or '
                'build the data set again'
            )
        return found

    def _read_same_person(self, target: FaceRecord, rng: _MakeRng, into: Batch) -> bool:
        """Reads another photo of the target's person as the source; False if there is none."""
        photos = self._index().photos.get(target.identity)
        if photos is None:
            return False

        def decode(record: FaceRecord) -> bool | None:
            return _decode_source(record, into) if record.file_name != target.file_name else None

        return bool(self._first_usable(_some_of(photos, rng), decode))

    def _read_other(self, target: FaceRecord, number: int, rng: _MakeRng, into: Batch) -> bool:
        """Reads somebody else as the source; False in a data set of one person.

        Unlabelled records all show different people.
        """

        def decode(record: FaceRecord) -> bool | None:
            return _decode_source(record, into) if show_different_people(target, record) else None

        if self._first_usable(self._draws(number, rng), decode):
            return True
        # One person has nearly all photos: the labels, read once, tell who else there is.
        own = self._index().photos.get(target.identity)
        everybody = np.arange(len(self.dataset))
        others = everybody if own is None else np.setdiff1d(everybody, own)
        return bool(self._first_usable(_some_of(others, rng), decode))

    def _draws(self, first: int, rng: _MakeRng) -> Iterator[int]:
        yield first
        for _ in range(_MAX_DRAWS - 1):
            yield int(rng().integers(len(self.dataset)))

    def _first_usable(
        self,
        numbers: Iterable[int],
        use: Callable[[FaceRecord], T | None],
        dataset: RecordDataset | None = None,
    ) -> T | None:
        """What `use` first makes of a record that is not corrupt; None if it takes none."""
        dataset = dataset or self.dataset
        for number in numbers:
            dataset.corrupt.count_read()
            try:
                used = use(FaceRecord.parse(dataset[number]))
            except CorruptRecordError as error:
                dataset.corrupt.skip(*dataset.place(number), error, self._max_corrupt_share)
                continue
            if used is not None:
                return used
        return None


def _some_of(numbers: np.ndarray, rng: _MakeRng) -> Iterator[int]:
    """At most `_MAX_DRAWS` of the numbers, each once."""
    return map(int, rng().permutation(numbers)[:_MAX_DRAWS])


def _decode_source(record: FaceRecord, into: Batch) -> bool:
    record.decode_image(into['source'])
    return True


def _mirror(picture: np.ndarray) -> None:
    # In place; NumPy's copy of a mirrored picture takes sixteen times as long.
    cv2.flip(picture, 1, dst=picture)


def _mirror_target(into: Batch) -> None:
    """The target and all that belongs to it, where it is."""
    for name in ('target', 'truth', 'mask'):
        if name in into:
            _mirror(into[name])
    into['boundary_map'][...] = boundary.mirror(into['boundary_map'])


class Index(NamedTuple):
    """What of a data set must be known before a pair is drawn.

    Attributes:
      photos: numbers of the records of each labelled person with several, int64 (n,).
      turned: numbers of those whose head is turned, int64 (n,).
    """

    photos: Mapping[str, np.ndarray]
    turned: np.ndarray


def index_of(dataset: RecordDataset) -> Index:
    """Reads every record once: a second for a hundred thousand that the system has in memory.

    Corrupt ones are left out.
    """
    people: dict[str, list[int]] = {}
    turned = []
    for number in range(len(dataset)):
        try:
            record = FaceRecord.parse(dataset[number])
        except CorruptRecordError:
            continue
        if record.identity:
            people.setdefault(record.identity, []).append(number)
        if looks_turned(record.five_points):
            turned.append(number)
    photos = {person: np.array(of) for person, of in people.items() if len(of) > 1}
    return Index(photos, np.array(turned, np.int64))


def open_dataset(data_dir: Path) -> RecordDataset:
    """The training split of a data set."""
    return RecordDataset(data_dir, 'train')
