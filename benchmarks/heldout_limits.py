"""What the held-out protocol gives pictures that no model made: the ends of its scales.

`APGAN_DATA=FOLDER python -m benchmarks.heldout_limits --size 128` measures, as if they were swapped
faces, on the pairs of `apgan evaluate --protocol heldout`:

  source: the source's photo itself, looked for among other photos of the same person and of others:
    as much as identity retrieval can be expected to reach, and the cosine of two strangers.
  other_photo: another photo of the source: the cosine of two photos of one person.
  blur_S: the target under a Gaussian of S pixels, S = 0.5, 1, 2: how far pose and expression seem
    to move because detail is missing, though nothing has moved; SSIM.

The last line is a JSON object of the means, by picture and row.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from tqdm import tqdm

from apgan_jax.errors import UserError
from apgan_jax.evaluation.photo_pairs import (
    PairedFaces,
    galleries_of,
    pair_in_place,
    read_faces,
)
from apgan_jax.evaluation.photo_sets import heldout_pairs
from apgan_jax.evaluation.suite import build_suite
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.face_pair import SeenFace

BLURS = (0.5, 1.0, 2.0)
# The rows that say something of each kind of picture, by the beginning of their keys.
_ROWS = {
    'source': ('identity_retrieval', 'target_similarity'),
    'other': ('source_similarity',),
    'blur': ('pose_3ddfa', 'expression_3ddfa', 'ssim'),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=128, help='of the crops, pixels')
    options = parser.parse_args(arguments)
    try:
        faces = read_faces(heldout_pairs(), CropSpec(size=options.size))
    except UserError as error:
        print(f'benchmarks.heldout_limits: {error}', file=sys.stderr)
        return 1
    print(json.dumps(limits(faces)))
    return 0


def limits(faces: PairedFaces) -> dict[str, dict[str, float]]:
    """Means over the pairs by kind of picture and row; see the module."""
    suite = build_suite()
    galleries = galleries_of(faces, suite.recognisers)
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for source, target in tqdm(faces.pairs, unit='pair', disable=None):
        identity = galleries.metrics(faces.people[source], faces[source].crop[None])
        seen = SeenFace(
            faces[target].crop, faces[target].landmarks, arcface_window=faces.arcface_window
        )
        for name, crop in _pictures(faces, source, target):
            pair = pair_in_place(seen, crop)
            for metric in (*identity, *suite.metrics):
                if not metric.key.startswith(_ROWS[name.partition('_')[0]]):
                    continue
                value = metric.measure(pair)
                if value is not None:
                    values[name][metric.key].append(value)
    return {
        name: {key: round(float(np.mean(each)), 4) for key, each in rows.items()}
        for name, rows in values.items()
    }


def _pictures(faces: PairedFaces, source: int, target: int) -> Iterator[tuple[str, np.ndarray]]:
    yield 'source', faces[source].crop
    _, *others = faces.of_person(source)
    if others:
        yield 'other_photo', faces[others[0]].crop
    for sigma in BLURS:
        yield f'blur_{sigma:g}', cv2.GaussianBlur(faces[target].crop, (0, 0), sigma)


if __name__ == '__main__':
    sys.exit(main())
