"""Evaluation while training: fixed pairs, swapped with the generator's moving average.

The pairs come from a data set of faces that training does not see (`config.evaluation.data_dir`),
and the numbers are then called `heldout/…`. Without one they are pairs of the training set, and
called so: `train_pairs/…`. Everything is measured on the generator's own picture before blending
(eq. 13).
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from apgan_jax.data.records import FaceRecord, RecordDataset, show_different_people
from apgan_jax.data.tfrecord import CorruptRecordError
from apgan_jax.errors import UserError, first_line
from apgan_jax.face.alignment import CropSpec, Window
from apgan_jax.metrics.pose import pose_distance
from apgan_jax.metrics.ssim import ssim
from apgan_jax.models.images import image_grid
from apgan_jax.networks.network import data_folder
from apgan_jax.networks.pose_estimator import WEIGHTS, PoseEstimator
from apgan_jax.networks.recognisers import SFaceRecogniser, cosine
from apgan_jax.training import sharding
from apgan_jax.training.train_step import TrainingModel, swap_pairs

HELDOUT, TRAIN_PAIRS = 'heldout', 'train_pairs'
# Of the order in which records become pairs: the same pairs in every run, whatever its seed.
_SEED = 0

# Swapped pictures (n, size, size, 3) → (n,) by name.
Measure = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class EvaluationPairs:
    """Fixed pairs of different people.

    Attributes:
      name: `HELDOUT` or `TRAIN_PAIRS`.
      source: RGB uint8 (n, size, size, 3).
      target: the same.
      boundary_map: of the target, the same.
      landmarks: of the target, float32 (n, 478, 2), pixels.
      arcface_window: of the crops.
    """

    name: str
    source: np.ndarray
    target: np.ndarray
    boundary_map: np.ndarray
    landmarks: np.ndarray
    arcface_window: Window

    def __len__(self) -> int:
        return len(self.source)


@dataclasses.dataclass(frozen=True)
class RunEvaluation:
    """What was measured.

    Attributes:
      name: of the pairs.
      values: (n,) float by measure: `encoder_source`, `encoder_target`, `sface_source`,
        `sface_target` (cosines), `ssim`, `pose_degrees`; without those whose network is missing.
      pictures: RGB uint8, one row a pair: source, target, boundary map, swapped.
    """

    name: str
    values: dict[str, np.ndarray]
    pictures: np.ndarray

    def means(self) -> dict[str, float]:
        """Means over the pairs."""
        return {name: float(np.mean(values)) for name, values in self.values.items()}

    def cosines(self) -> dict[str, np.ndarray]:
        """The values that are cosines, by name."""
        return {k: v for k, v in self.values.items() if k.endswith(('_source', '_target'))}


def load_pairs(
    training: RecordDataset, *, folder: str, count: int, crop_spec: CropSpec
) -> EvaluationPairs:
    """The pairs that a run evaluates on.

    Args:
      training: the data set that training reads.
      folder: of the data set to take the pairs from; '': `training`.
      count: pairs at most.
      crop_spec: that training wants.

    Raises:
      UserError: the data set of `folder` is missing, is cropped otherwise than training wants, or
        holds only one person.
    """
    if not folder:
        return choose_pairs(training, count, name=TRAIN_PAIRS)
    dataset = RecordDataset(Path(folder), 'train')
    crop_spec.require_equal(
        dataset.crop_spec, here='the config', there=f'config.evaluation.data_dir={folder}'
    )
    seen = Path(folder).resolve() == training.data_dir.resolve()
    name = TRAIN_PAIRS if seen else HELDOUT
    return choose_pairs(dataset, count, name=name)


def choose_pairs(dataset: RecordDataset, count: int, *, name: str) -> EvaluationPairs:
    """At most `count` pairs of different people, always the same ones of a data set.

    Args:
      dataset: what to take them from; people without a label count as different from everybody.
      count: pairs, each with another target.
      name: of the pairs.

    Raises:
      UserError: there are no two people.
    """
    order = np.random.default_rng(_SEED).permutation(len(dataset))
    unread = _readable(dataset, order)
    faces = list(itertools.islice(unread, 2 * count))
    pairs = []
    for number, target in enumerate(faces[:count]):
        is_other = functools.partial(show_different_people, target)
        source = next(filter(is_other, faces[number + 1 :] + faces[:number]), None)
        if source is None:
            # All of them show one person. Whoever comes next will do for the other targets too.
            source = next(filter(is_other, unread), None)
            faces += [source] if source else []
        pairs += [(source, target)] if source else []
    if not pairs:
        raise UserError(
            f'{dataset.data_dir}: no two records of different people to evaluate on; add photos or '
            'set --config.evaluation.every=0'
        )
    sources, targets = zip(*pairs, strict=True)
    return EvaluationPairs(
        name=name,
        source=np.stack([face.image for face in sources]),
        target=np.stack([face.image for face in targets]),
        boundary_map=np.stack([face.boundary_map for face in targets]),
        landmarks=np.stack([face.landmarks for face in targets]),
        arcface_window=dataset.crop_spec.arcface_window,
    )


class _DecodedFace(NamedTuple):
    image: np.ndarray
    boundary_map: np.ndarray
    landmarks: np.ndarray
    identity: str
    file_name: str


def _readable(dataset: RecordDataset, numbers: np.ndarray) -> Iterator[_DecodedFace]:
    shape = (dataset.crop_spec.size, dataset.crop_spec.size, 3)
    for number in numbers:
        # Training counts and names damaged records; here another one does as well.
        with contextlib.suppress(CorruptRecordError):
            face = FaceRecord.parse(dataset[int(number)])
            image, boundary_map = np.empty((2, *shape), np.uint8)
            face.decode_image(image)
            face.decode_boundary_map(boundary_map)
            yield _DecodedFace(image, boundary_map, face.landmarks, face.identity, face.file_name)


class Evaluator:
    """Swaps and measures the pairs.

    Args:
      model: fixed parts of training.
      pairs: to evaluate on.
      mesh: of training.
      batch_size: pairs at a time; the mesh's devices divide it.
      num_pictures: pairs that are drawn.
    """

    def __init__(
        self,
        model: TrainingModel,
        pairs: EvaluationPairs,
        *,
        mesh: jax.sharding.Mesh,
        batch_size: int,
        num_pictures: int,
    ) -> None:
        self.pairs = pairs
        self._num_pictures = num_pictures
        self._swap = jax.jit(
            functools.partial(swap_pairs, model), out_shardings=sharding.replicated(mesh)
        )
        spread = sharding.batch_sharding(mesh)
        # The last batch is filled up with the first pairs: one shape, one program.
        numbers = np.arange(-(-len(pairs) // batch_size) * batch_size) % len(pairs)
        self._batches = [
            sharding.put_arrays(
                {name: getattr(pairs, name)[part] for name in ('source', 'target', 'boundary_map')},
                spread,
            )
            for part in np.split(numbers, len(numbers) // batch_size)
        ]

    @functools.cached_property
    def _measures(self) -> dict[str, Measure]:
        return host_measures(self.pairs)

    def __call__(self, state: Any, encoder_params: Any) -> RunEvaluation:
        """Evaluates a `TrainState`; every process must call it, the first one has all values."""
        outputs = [
            self._swap(state.generator_ema_params, state.generator_spectral, encoder_params, batch)
            for batch in self._batches
        ]
        parts = jax.device_get(outputs)
        values = {
            name: np.concatenate([part[name] for part in parts])[: len(self.pairs)]
            for name in parts[0]
        }
        swapped = values.pop('swapped')
        if jax.process_index() == 0:
            values |= measure_all(self._measures, swapped)
        return RunEvaluation(self.pairs.name, values, self._draw(swapped))

    def _draw(self, swapped: np.ndarray) -> np.ndarray:
        pairs = self.pairs
        columns = (pairs.source, pairs.target, pairs.boundary_map, swapped)
        return image_grid(
            [np.stack(row) for row in zip(*columns, strict=True)][: self._num_pictures]
        )


def host_measures(pairs: EvaluationPairs) -> dict[str, Measure]:
    """SSIM to the target, SFace and pose; what cannot be made is left out and named."""
    measures: dict[str, Measure] = {}
    for name, build in (('SSIM', _ssim), ('SFace', _sface), ('pose', _pose)):
        with _left_out_if_it_fails(name):
            measures[name] = build(pairs)
    return measures


def measure_all(measures: Mapping[str, Measure], swapped: np.ndarray) -> dict[str, np.ndarray]:
    """What the measures say of swapped pictures (n, size, size, 3), by name of the value.

    One that fails is left out and named: training matters more, and the other processes of a run
    wait for this one meanwhile.
    """
    values: dict[str, np.ndarray] = {}
    for name, measure in measures.items():
        with _left_out_if_it_fails(name):
            values |= measure(swapped)
    return values


@contextlib.contextmanager
def _left_out_if_it_fails(name: str) -> Iterator[None]:
    try:
        yield
    # The networks of others fail in ways of their own.
    except Exception as error:
        tqdm.write(f'evaluation without {name}: {first_line(error)}')


def _ssim(pairs: EvaluationPairs) -> Measure:
    def measure(swapped: np.ndarray) -> dict[str, np.ndarray]:
        return {'ssim': np.array([ssim(a, b) for a, b in zip(pairs.target, swapped, strict=True)])}

    return measure


def _sface(pairs: EvaluationPairs) -> Measure:
    network = SFaceRecogniser()
    embed = functools.partial(network.embed, arcface_window=pairs.arcface_window)
    source, target = embed(pairs.source), embed(pairs.target)

    def measure(swapped: np.ndarray) -> dict[str, np.ndarray]:
        vectors = embed(swapped)
        return {'sface_source': cosine(vectors, source), 'sface_target': cosine(vectors, target)}

    return measure


def _pose(pairs: EvaluationPairs) -> Measure:
    network = PoseEstimator(data_folder() / WEIGHTS)

    def angles(pictures: np.ndarray) -> np.ndarray:
        both = zip(pictures, pairs.landmarks, strict=True)
        return np.stack([network.angles(picture, landmarks) for picture, landmarks in both])

    target = angles(pairs.target)
    return lambda swapped: {'pose_degrees': pose_distance(angles(swapped), target)}
