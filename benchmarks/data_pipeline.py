"""Our data pipeline against tf.data, on the same TFRecords and two cores of one machine.

    python -m benchmarks.data_pipeline [--data_dir DIR]

Both sides deliver batches of one form to a step that does nothing: source, target, boundary map,
uint8, mirrored at random, paired as benchmarks/data_pipeline_tf.py says; that they decode alike is
checked. tf.data's cheapest variant is found first, then the two sides are timed in turn, each in a
process of its own. The JSON line has our pairs a CPU second divided by tf.data's, and tf.data's
peak of resident memory divided by ours: above 1 we are faster, and smaller. Libraries are part of
a process's memory.
"""

import argparse
import dataclasses
import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from apgan_jax.errors import UserError
from benchmarks.timing import Worker, print_json
from benchmarks.usage import Turn

# Decoders of JPEG may round differently.
_JPEG_TOLERANCE = 4
_SELECTION_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Use:
    """Medians over turns.

    Attributes:
      pairs_a_second: delivered.
      pairs_a_cpu_second: of the whole process.
      peak_bytes: of resident memory, the process's libraries included.
    """

    pairs_a_second: float
    pairs_a_cpu_second: float
    peak_bytes: int

    @classmethod
    def of(cls, turns: Sequence[Turn], pairs: int) -> 'Use':
        return cls(
            pairs / statistics.median(turn.wall for turn in turns),
            pairs / statistics.median(turn.cpu for turn in turns),
            max(turn.peak_bytes for turn in turns),
        )

    def __str__(self) -> str:
        return (
            f'{self.pairs_a_second:6.0f} pairs/s, {self.pairs_a_cpu_second:6.0f} pairs a CPU '
            f'second ({1e6 / self.pairs_a_cpu_second:.0f} µs each), peak {self.peak_bytes >> 20} MB'
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table and the JSON line; returns the exit status."""
    options = _parse(arguments)
    try:
        _check(options)
        with tempfile.TemporaryDirectory() as folder:
            if options.data_dir is None:
                options.data_dir = write_demo_records(
                    Path(folder) / 'records', options.records, options.size
                )
            print_json(_measure(options))
    except UserError as error:
        print(f'benchmarks.data_pipeline: {error}', file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Times our data pipeline against tf.data.')
    parser.add_argument('--data_dir', type=Path, help='of data_prep.build; made anew by default')
    parser.add_argument('--records', type=int, default=512, help='to make')
    parser.add_argument('--size', type=int, default=128, help='of what is made, pixels')
    parser.add_argument('--batch_size', type=int, default=16)
    parser.add_argument('--batches', type=int, default=60, help='a turn')
    parser.add_argument('--rounds', type=int, default=25, help='turns of each side')
    parser.add_argument(
        '--shuffle_buffer',
        type=int,
        default=4096,
        help="records of each of tf.data's two; a global shuffle, which ours is, takes them all",
    )
    return parser.parse_args(arguments)


def _check(options: argparse.Namespace) -> None:
    if importlib.util.find_spec('tensorflow') is None:
        raise UserError("TensorFlow is not installed: run `pip install '.[data-prep]'`")
    for name in ('records', 'batch_size', 'batches', 'rounds', 'shuffle_buffer'):
        if getattr(options, name) < 1:
            raise UserError(f'--{name} {getattr(options, name)}: must be at least 1')


def _measure(options: argparse.Namespace) -> dict[str, float]:
    folder = str(options.data_dir)
    ours = Worker('benchmarks.data_pipeline_grain', 'Side', folder, options.batch_size)
    theirs = _cheapest(options)
    _check_equal(ours, theirs)
    turns: list[list[Turn]] = [[], []]
    for _ in range(options.rounds):
        for side, side_turns in zip((ours, theirs), turns, strict=True):
            side_turns.append(side.call('turn', options.batches))
    pairs = options.batches * options.batch_size
    our_use, their_use = (Use.of(side_turns, pairs) for side_turns in turns)
    print(f'ours     {our_use}\ntf.data  {their_use}')
    ours.close()
    theirs.close()
    return {
        'throughput_ratio': round(our_use.pairs_a_cpu_second / their_use.pairs_a_cpu_second, 3),
        'memory_ratio': round(their_use.peak_bytes / our_use.peak_bytes, 3),
    }


def _cheapest(options: argparse.Namespace) -> Worker:
    """A worker with tf.data's variant that needs the least CPU time."""
    workers = {
        variant: Worker(
            'benchmarks.data_pipeline_tf',
            'Side',
            str(options.data_dir),
            options.batch_size,
            options.shuffle_buffer,
            variant,
        )
        for variant in ('autotune', 'as many threads as cores', 'one thread')
    }
    seconds = {}
    for variant, worker in workers.items():
        # The first turn fills the buffers and lets tf.data tune itself.
        turns = [worker.call('turn', options.batches) for _ in range(_SELECTION_ROUNDS + 1)][1:]
        use = Use.of(turns, options.batches * options.batch_size)
        seconds[variant] = 1 / use.pairs_a_cpu_second
        print(f'tf.data, {variant}: {use}', flush=True)
    best = min(seconds, key=seconds.__getitem__)
    for variant, worker in workers.items():
        if variant != best:
            worker.close()
    return workers[best]


def _check_equal(ours: Worker, theirs: Worker) -> None:
    """That both decode the first record alike and make batches of one form."""
    pictures = zip(ours.call('first_record'), theirs.call('first_record'), strict=True)
    for tolerance, (our, their) in zip((_JPEG_TOLERANCE, 0), pictures, strict=True):
        difference = int(np.abs(our.astype(int) - their).max())
        if difference > tolerance:
            raise UserError(f'the sides decode a picture differently, by {difference} of 255')
    forms = [
        {name: (value.shape, value.dtype) for name, value in side.call('batch').items()}
        for side in (ours, theirs)
    ]
    if forms[0] != forms[1]:
        raise UserError(f'the sides make different batches: {forms[0]} and {forms[1]}')


def write_demo_records(folder: Path, count: int, size: int) -> Path:
    """A data set of scikit-image's portrait, turned, moved and recoloured `count` times."""
    import skimage.data

    from apgan_jax.data.records import CROP_SPEC_KEY, DATASET_NAME
    from apgan_jax.data.tfrecord import write_tfrecord
    from apgan_jax.face import landmarks
    from apgan_jax.face.aligned import align_face
    from apgan_jax.face.alignment import CropSpec

    portrait, spec = skimage.data.astronaut(), CropSpec(size=size)
    with landmarks.FaceLandmarker() as landmarker:
        (face,) = landmarker.detect(portrait)
    aligned = align_face(portrait, face.landmarks, spec)
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    name = f'{DATASET_NAME}-train.tfrecord-00000-of-00001'
    write_tfrecord(
        folder / name, (_variation(aligned, f'{number}.jpg', rng) for number in range(count))
    )
    splits = [{'name': 'train', 'shardLengths': [str(count)]}]
    (folder / 'dataset_info.json').write_text(json.dumps({'splits': splits}))
    metadata = {CROP_SPEC_KEY: spec.to_dict()}
    (folder / 'metadata.json').write_text(json.dumps(metadata))
    return folder


def _variation(aligned, file_name: str, rng: np.random.Generator) -> bytes:
    import cv2

    from apgan_jax.data import png
    from apgan_jax.data.augmentation import change_colours
    from apgan_jax.data.example import serialise_example
    from apgan_jax.face import boundary, landmarks
    from apgan_jax.files.image_files import encode_image

    size = aligned.crop.shape[0]
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(-20, 20), 1.0)
    matrix[:, 2] += rng.uniform(-0.05, 0.05, 2) * size
    points = (aligned.landmarks @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    crop = cv2.warpAffine(
        aligned.crop, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    crop = change_colours(crop, *rng.uniform(0.7, 1.3, 3))
    return serialise_example(
        {
            'image': encode_image(crop, '.jpg'),
            'boundary_map': png.encode_map(boundary.draw_boundary_map(points, size)),
            'landmarks': points,
            'five_points': landmarks.five_points(points).astype(np.float32),
            'crop_from_frame': aligned.crop_from_frame.astype(np.float32),
            'identity': b'',
            'file_name': file_name.encode(),
        }
    )


if __name__ == '__main__':
    sys.exit(main())
