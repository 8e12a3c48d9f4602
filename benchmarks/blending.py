"""What blending leaves of an identity, on the pairs of `apgan evaluate --protocol heldout`.

`APGAN_DATA=FOLDER python -m benchmarks.blending --bundle FILE` compares, by SFace, the generator's
picture before blending, blended within the face's outline, the same with the target's hair kept,
and blended whole (eq. 12), all at the model's own size, and prints a JSON object last: cosines to
source and to target.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from apgan_jax.bundle import SHIPPED_BUNDLE, load_bundle
from apgan_jax.errors import UserError
from apgan_jax.evaluation.photo_pairs import PairedFaces, read_faces, swap_in_place
from apgan_jax.evaluation.photo_sets import heldout_pairs
from apgan_jax.face import blending
from apgan_jax.face.hair import without_hair
from apgan_jax.inference.swapper import Swapper
from apgan_jax.networks.recognisers import SFaceRecogniser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bundle', type=Path, default=SHIPPED_BUNDLE, help='the shipped one')
    parser.add_argument('--every', type=int, default=4, help='of the pairs, one in so many')
    options = parser.parse_args(arguments)
    try:
        if options.every < 1:
            raise UserError(f'--every {options.every}: must be at least 1')
        swapper = Swapper(load_bundle(options.bundle))
        faces = read_faces(heldout_pairs(), swapper.bundle.crop_spec)
        row = compare(swapper, faces, faces.pairs[:: options.every])
    except UserError as error:
        print(f'benchmarks.blending: {error}', file=sys.stderr)
        return 1
    print(json.dumps({'bundle': swapper.bundle.name, **row}))
    return 0


def compare(
    swapper: Swapper, faces: PairedFaces, pairs: Sequence[tuple[int, int]]
) -> dict[str, dict[str, float]]:
    """Mean cosines to source and target by how the face was blended; see the module."""
    sface = SFaceRecogniser()
    cosines: dict[str, list[tuple[float, float]]] = {}
    for source, target in tqdm(pairs, unit='pair', disable=None):
        face = faces[target]
        swapped = swap_in_place(swapper, faces, [source], target).in_place
        wanted, unwanted = (sface.embed(faces[number].crop[None])[0] for number in (source, target))
        seen = {'not_blended': swapped}
        for name, landmarks in (('face', face.landmarks), ('whole_crop', None)):
            patch = blending.face_patch(swapped, np.eye(2, 3), landmarks)
            seen[name] = _pasted(face.crop, patch)
            if name == 'face':
                shown = without_hair(face.crop, swapped, face.landmarks)
                patch = dataclasses.replace(patch, mask=patch.mask * shown)
                seen['hair_kept'] = _pasted(face.crop, patch)
        for name, picture in seen.items():
            vector = sface.embed(picture[None])[0]
            cosines.setdefault(name, []).append((vector @ wanted, vector @ unwanted))
    return {name: _means(values) for name, values in cosines.items()}


def _pasted(crop: np.ndarray, patch: blending.Patch) -> np.ndarray:
    picture = crop.copy()
    blending.paste(picture, patch)
    return picture


def _means(cosines: Sequence[tuple[float, float]]) -> dict[str, float]:
    source, target = np.mean(cosines, axis=0, dtype=np.float64)
    return {'source': round(float(source), 4), 'target': round(float(target), 4)}


if __name__ == '__main__':
    sys.exit(main())
