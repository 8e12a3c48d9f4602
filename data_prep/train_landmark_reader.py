"""Trains the network of `apgan_jax.models.landmark_reader` on the landmarks of a data set.

    python -m data_prep.train_landmark_reader --data_dir DIR --bundle FILE --output FILE

With a bundle it also learns from swapped faces and what MediaPipe finds in them. In a photo, hair
and shading tell the pose as well as the place of nose and mouth does; in a swapped face, whose
parts are to be put right, they need not agree. The last twentieth of the photos is not trained on:
the file's card says how much of the landmarks' variance the network explains there.
"""

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from apgan_jax.bundle import load_bundle
from apgan_jax.data.pipeline import PairOptions, open_dataset, training_batches
from apgan_jax.data.records import FaceRecord, RecordDataset
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import HEAD_V1_WINDOW, CropSpec, Window, in_other_crop
from apgan_jax.face.landmarks import FaceLandmarker
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.images import (
    area_downsample,
    bilinear_upsample,
    normalise_image,
    to_uint8,
)
from apgan_jax.models.landmark_reader import (
    INPUT_SIZE,
    LandmarkNetwork,
    LandmarkReader,
    cut_inner_face,
)
from apgan_jax.runtime import use_compilation_cache

_EXPLAINED = 0.97  # by twelve components of CelebA; the rest is finer than the network reads
_LEAST_PHOTOS = 40
_BATCH, _SWAPPED_SHARE = 64, 0.3
_SWAPS = 16  # at a time
_LEARNING_RATE, _WEIGHT_DECAY = 1e-3, 1e-2
_HOLE = 10  # px, half the side of a patch that is blanked


class LabelledFaces(NamedTuple):
    """Pictures and landmarks.

    Attributes:
      inner: uint8 (n, 64, 64, 3), see `cut_inner_face`.
      landmarks: float32 (n, 478, 2), in parts of the head crop's size.
    """

    inner: np.ndarray
    landmarks: np.ndarray

    def split(self, number: int) -> tuple[Self, Self]:
        """Those before a number, and the others."""
        return type(self)(*(part[:number] for part in self)), type(self)(
            *(part[number:] for part in self)
        )


def read_photos(dataset: RecordDataset) -> LabelledFaces:
    """All photos of a data set."""
    records = [FaceRecord.parse(data) for data in tqdm(dataset, desc='read', disable=None)]
    spec = dataset.crop_spec
    inner = _inner_faces((record.decode_image() for record in records), spec.arcface_window)
    landmarks = np.stack([record.landmarks for record in records])
    return LabelledFaces(inner, _in_parts(landmarks, spec))


def swap_photos(dataset: RecordDataset, swapper: Swapper, count: int, seed: int) -> LabelledFaces:
    """Swaps pairs of a data set, and finds the swapped faces' own landmarks.

    Args:
      dataset: of the swapper's crop.
      swapper: a trained model.
      count: how many pairs; those in which MediaPipe finds no face are left out.
      seed: of the pairs.

    Raises:
      UserError: there is no face in any of them.
    """
    batches = training_batches(
        dataset, batch_size=_SWAPS, seed=seed, options=PairOptions(same_image_share=0.0)
    )
    crops, landmarks = [], []
    with FaceLandmarker() as landmarker:
        for batch in itertools.islice(batches, -(-count // _SWAPS)):
            identity = swapper.embed(batch['source'])
            painted = swapper.swap(batch['target'], batch['boundary_map'], identity)
            for crop in painted.over(batch['target']):
                for face in landmarker.detect(crop):
                    crops.append(crop)
                    landmarks.append(face.landmarks)
    if not crops:
        raise UserError(
            f'{swapper.bundle.name}: no face in {count} swapped pictures; give a trained bundle'
        )
    spec = dataset.crop_spec
    return LabelledFaces(
        _inner_faces(crops, spec.arcface_window), _in_parts(np.stack(landmarks), spec)
    )


def mirror_faces(faces: LabelledFaces, order: np.ndarray) -> LabelledFaces:
    """The faces seen in a mirror; `order` is from `mirrored_order`."""
    turned, shift = np.array([-1, 1], np.float32), np.array([1, 0], np.float32)
    landmarks = faces.landmarks[:, order] * turned + shift
    return LabelledFaces(faces.inner[:, :, ::-1], landmarks)


def mirrored_order(landmarks: np.ndarray) -> np.ndarray:
    """The number of each landmark's counterpart on the other side of the face.

    Args:
      landmarks: (n, points, 2) of faces that on average are symmetric, in parts of the size.

    Returns:
      (points,), its own inverse where the average face is symmetric.
    """
    mean = landmarks.mean(axis=0)
    mirrored = mean * [-1, 1] + [1, 0]
    distance = np.linalg.norm(mean[:, None] - mirrored, axis=-1)
    # With its transpose: point and counterpart are chosen by both of their distances.
    return linear_sum_assignment(distance + distance.T)[1]


def principal_components(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The directions in which landmarks (n, points, 2) vary most.

    Returns:
      (mean (points, 2), as many components (count, points, 2) as explain 97 % of the variance, a
      standard deviation long each, the longest first), float32.
    """
    mean = landmarks.mean(axis=0)
    centred = (landmarks - mean).reshape(len(landmarks), -1)
    variance, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    variance, directions = variance[::-1], directions.T[::-1]
    count = 1 + np.searchsorted(np.cumsum(variance), _EXPLAINED * variance.sum())
    components = np.sqrt(variance[:count, None]) * directions[:count]
    return mean.astype(np.float32), components.reshape(-1, *mean.shape).astype(np.float32)


def coordinates(landmarks: np.ndarray, mean: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Landmarks (n, points, 2) along the components, in standard deviations, float32 (n, count)."""
    along = np.tensordot(landmarks - mean, components, ((1, 2), (1, 2)))
    return (along / np.sum(np.square(components), axis=(1, 2))).astype(np.float32)


def train(
    faces: LabelledFaces,
    swapped: LabelledFaces | None,
    heldout: LabelledFaces,
    *,
    steps: int,
    seed: int,
) -> tuple[LandmarkReader, np.ndarray]:
    """Trains a network.

    Args:
      faces: photos.
      swapped: swapped faces, three of ten in each batch; None: photos alone.
      heldout: photos to judge by.
      steps: of 64 faces.
      seed: of weights, order and changes.

    Returns:
      (the reader, the share of the variance that it explains of each component in `heldout`).
    """
    order = mirrored_order(faces.landmarks)
    both = [_join(pool, mirror_faces(pool, order)) for pool in (faces, swapped) if pool is not None]
    mean, components = principal_components(both[0].landmarks)
    network = LandmarkNetwork(len(components))
    tx = optax.adamw(optax.cosine_decay_schedule(_LEARNING_RATE, steps), weight_decay=_WEIGHT_DECAY)
    key = jax.random.key(seed)
    params = network.init(key, jnp.zeros((1, INPUT_SIZE, INPUT_SIZE, 3)))['params']
    state = params, tx.init(params)
    step = jax.jit(functools.partial(_train_step, network, tx), donate_argnums=0)
    pools = [(pool.inner, coordinates(pool.landmarks, mean, components)) for pool in both]
    batches = itertools.islice(_draw_batches(pools, np.random.default_rng(seed)), steps)
    for number, batch in enumerate(tqdm(batches, desc='train', total=steps, disable=None)):
        state = step(state, *batch, jax.random.fold_in(key, number))
    params = jax.device_get(state[0])
    read = jax.jit(lambda inner: network.apply({'params': params}, normalise_image(inner)))
    found = np.concatenate([read(inner[None]) for inner in heldout.inner])
    truth = coordinates(heldout.landmarks, mean, components)
    explained = 1 - np.square(found - truth).mean(axis=0) / truth.var(axis=0)
    return LandmarkReader(params, mean, components), explained


def _draw_batches(
    pools: Sequence[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and coordinates; the second pool, if there is one, has its share in each batch."""
    shares = [1 - _SWAPPED_SHARE, _SWAPPED_SHARE] if len(pools) == 2 else [1.0]
    while True:
        parts = []
        for (inner, wanted), share in zip(pools, shares, strict=True):
            numbers = rng.integers(0, len(inner), round(share * _BATCH))
            parts.append((inner[numbers], wanted[numbers]))
        pictures, wanted = zip(*parts, strict=True)
        yield np.concatenate(pictures), np.concatenate(wanted)


def change(pictures: jax.Array, key: jax.Array) -> jax.Array:
    """Brightness, colour, sharpness, noise and a blank patch at random, of (n, h, w, 3).

    What a generator could do to a picture to be read differently must not change what is read.
    """
    keys = jax.random.split(key, 7)
    n, size = pictures.shape[:2]

    def draw(number: int, channels: int, least: float, most: float) -> jax.Array:
        shape = (n, 1, 1, channels)
        return jax.random.uniform(keys[number], shape, minval=least, maxval=most)

    pictures = pictures * draw(0, 1, 0.7, 1.3) + draw(1, 3, -0.2, 0.2)
    soft = bilinear_upsample(area_downsample(pictures, 2))
    pictures += jnp.maximum(0, draw(2, 1, -1, 1)) * (soft - pictures)
    pictures += draw(3, 1, 0, 0.15) * jax.random.normal(keys[4], pictures.shape)
    centre = draw(5, 2, -0.1 * size, 1.1 * size)
    rows, columns = jnp.arange(size)[:, None], jnp.arange(size)
    distance = jnp.maximum(jnp.abs(rows - centre[..., 0]), jnp.abs(columns - centre[..., 1]))
    return jnp.where(distance[..., None] < _HOLE, 0.0, pictures)


def _train_step(
    network: LandmarkNetwork,
    tx: optax.GradientTransformation,
    state: tuple[Any, optax.OptState],
    inner: jax.Array,
    wanted: jax.Array,
    key: jax.Array,
) -> tuple[Any, optax.OptState]:
    params, optimizer = state
    pictures = change(normalise_image(inner), key)

    def loss(params: Any) -> jax.Array:
        found: Any = network.apply({'params': params}, pictures)
        return jnp.mean(jnp.sum(jnp.square(found - wanted), axis=-1))

    updates, optimizer = tx.update(jax.grad(loss)(params), optimizer, params)
    return optax.apply_updates(params, updates), optimizer


def _join(some: LabelledFaces, more: LabelledFaces) -> LabelledFaces:
    return LabelledFaces(*(np.concatenate(parts) for parts in zip(some, more, strict=True)))


@functools.partial(jax.jit, static_argnums=1)
def _cut_inner_faces(crops: jax.Array, window: Window) -> jax.Array:
    return to_uint8(cut_inner_face(normalise_image(crops), window))


def _inner_faces(crops: Iterable[np.ndarray], window: Window) -> np.ndarray:
    """One crop after the other: a data set's need not fit into memory."""
    return np.concatenate([_cut_inner_faces(crop[None], window) for crop in crops])


def _in_parts(landmarks: np.ndarray, spec: CropSpec) -> np.ndarray:
    """Pixels, whose centres are whole numbers, to parts of the head crop's size."""
    in_crop = (landmarks + 0.5) / spec.size
    in_head: np.ndarray = in_other_crop(in_crop, spec.arcface_window, HEAD_V1_WINDOW)
    return in_head.astype(np.float32)


def write_reader(
    data_dir: Path, bundle_file: Path | None, output: Path, *, steps: int, num_swapped: int
) -> dict[str, Any]:
    """Trains a reader on a data set, writes it and returns its card.

    Raises:
      UserError: no data set, few photos, no bundle, or another crop in it.
    """
    dataset = open_dataset(data_dir)
    if len(dataset) < _LEAST_PHOTOS:
        raise UserError(f'{data_dir}: {len(dataset)} photos; at least {_LEAST_PHOTOS} are needed')
    swapped, bundle_name = None, ''
    if bundle_file:
        bundle = load_bundle(bundle_file)
        bundle_name = bundle.name
        bundle.crop_spec.require_equal(
            dataset.crop_spec, here=str(bundle_file), there=f'the data set {data_dir}'
        )
        swapped = swap_photos(dataset, Swapper(bundle), num_swapped, seed=0)
    faces, heldout = _split(read_photos(dataset))
    reader, explained = train(faces, swapped, heldout, steps=steps, seed=0)
    card = {
        'kind': 'landmark_reader',
        'photos': len(faces.inner),
        'swapped_faces': 0 if swapped is None else len(swapped.inner),
        'swapped_by': bundle_name,
        'steps': steps,
        'explained_variance': [round(float(share), 3) for share in explained],
        'licence': 'that of the photos',
    }
    reader.save(output, card)
    return card


def _split(faces: LabelledFaces) -> tuple[LabelledFaces, LabelledFaces]:
    """What is trained on, and what it is judged by."""
    return faces.split(len(faces.inner) - len(faces.inner) // 20)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data_dir', type=Path, required=True, help='of data_prep.build')
    parser.add_argument('--bundle', type=Path, help='to learn from swapped faces too')
    parser.add_argument('--output', type=Path, required=True, help='the .safetensors file to write')
    parser.add_argument('--steps', type=int, default=2_000, help='of 64 faces (2,000)')
    parser.add_argument('--num_swapped', type=int, default=4_000, help='swapped faces (4,000)')
    options = parser.parse_args(arguments)
    use_compilation_cache()
    try:
        card = write_reader(
            options.data_dir,
            options.bundle,
            options.output,
            steps=options.steps,
            num_swapped=options.num_swapped,
        )
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(json.dumps(card))
    return 0


if __name__ == '__main__':
    sys.exit(main())
