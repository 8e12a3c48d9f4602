"""Where a bundle's pose distance comes from, on the pairs of `apgan evaluate --protocol heldout`.

`APGAN_DATA=FOLDER python -m benchmarks.pose_error --bundle FILE` measures targets and swapped faces
with 3DDFA_V2 and prints a JSON object last:

  degrees: mean and quantiles of the pose distance.
  by_yaw: its mean over targets turned by 0-10, 10-20, 20-30 and more than 30 degrees.
  slope: of the straight line through swapped over target angles: 1 keeps the pose, 0 shows
    everybody from the front. Rises and falls of the estimates by chance lower it too.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from apgan_jax.bundle import SHIPPED_BUNDLE, load_bundle
from apgan_jax.errors import UserError
from apgan_jax.evaluation.photo_pairs import PairedFaces, read_faces, swap_in_place
from apgan_jax.evaluation.photo_sets import heldout_pairs
from apgan_jax.face.face_pair import SeenFace
from apgan_jax.inference.swapper import Swapper
from apgan_jax.metrics.pose import pose_distance
from apgan_jax.networks.network import data_folder
from apgan_jax.networks.pose_estimator import WEIGHTS, PoseEstimator

_QUANTILES = (0.25, 0.5, 0.75, 0.9)
_BANDS = (0, 10, 20, 30, 90)
_AXES = ('yaw', 'pitch', 'roll')


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bundle', type=Path, default=SHIPPED_BUNDLE, help='the shipped one')
    options = parser.parse_args(arguments)
    try:
        swapper = Swapper(load_bundle(options.bundle))
        estimator = PoseEstimator(data_folder() / WEIGHTS)
        faces = read_faces(heldout_pairs(), swapper.bundle.crop_spec)
    except UserError as error:
        print(f'benchmarks.pose_error: {error}', file=sys.stderr)
        return 1
    row = {'bundle': swapper.bundle.name, **summary(*angles_of(faces, swapper, estimator))}
    print(json.dumps(row))
    return 0


def angles_of(
    faces: PairedFaces, swapper: Swapper, estimator: PoseEstimator
) -> tuple[np.ndarray, np.ndarray]:
    """Yaw, pitch and roll of the targets and of the swapped faces, degrees, each (pairs, 3)."""

    def angles(face: SeenFace) -> np.ndarray:
        return estimator.of_face(face).angles

    targets, swapped = [], []
    for source, target in tqdm(faces.pairs, unit='pair', disable=None):
        pair = swap_in_place(swapper, faces, [source], target)
        assert pair.swapped is not None
        targets.append(angles(pair.target))
        swapped.append(angles(pair.swapped))
    return np.array(targets), np.array(swapped)


def summary(targets: np.ndarray, swapped: np.ndarray) -> dict[str, Any]:
    """See the module; both of shape (pairs, 3), degrees."""
    distance = pose_distance(targets, swapped)
    band = np.digitize(np.abs(targets[:, 0]), _BANDS)
    return {
        'degrees': {
            'mean': _number(distance.mean()),
            **{str(q): _number(np.quantile(distance, q)) for q in _QUANTILES},
        },
        'by_yaw': {
            f'{_BANDS[number - 1]}-{_BANDS[number]}': _number(distance[band == number].mean())
            for number in np.unique(band)
        },
        'slope': {
            axis: _number(np.polynomial.Polynomial.fit(x, y, 1).convert().coef[1])
            for axis, x, y in zip(_AXES, targets.T, swapped.T, strict=True)
        },
    }


def _number(value: float) -> float:
    return round(float(value), 3)


if __name__ == '__main__':
    sys.exit(main())
