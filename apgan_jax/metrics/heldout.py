"""The held-out protocol: 500 pairs of people that training never saw, one row of numbers.

Pairs are committed by name (`heldout_pairs.tsv`: source, target), the photos are not. Everything is
measured on the generator's own picture before blending (eq. 13), at the bundle's crop size.
Retrieval looks for the swapped face among all photos of the 98 people except the source's own.
"""

import csv
import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from apgan_jax.errors import UserError
from apgan_jax.face import landmarks
from apgan_jax.face.aligned import AlignedFace, align_face
from apgan_jax.image_files import read_image, write_image
from apgan_jax.images import image_grid
from apgan_jax.inference import provenance
from apgan_jax.inference.swapper import Swapper
from apgan_jax.metrics import pose
from apgan_jax.metrics.identity import SFace, cosine, nearest_identity
from apgan_jax.metrics.networks import data_folder
from apgan_jax.metrics.ssim import ssim

PAIRS_FILE = Path(__file__).parent / 'heldout_pairs.tsv'
_PHOTOS = Path('faces') / 'celeba_heldout'
_SHEET_PAIRS = 12


@dataclasses.dataclass(frozen=True)
class HeldoutPhotos:
    """The aligned held-out photos.

    Attributes:
      names: file names, in the order of `faces`.
      faces: aligned at the bundle's size.
      identities: (n,) text.
    """

    names: list[str]
    faces: list[AlignedFace]
    identities: np.ndarray

    @property
    def crops(self) -> np.ndarray:
        """RGB uint8 (n, size, size, 3)."""
        return np.stack([face.crop for face in self.faces])


def evaluate_heldout(
    swapper: Swapper, *, k: int = 1, contact_sheet: Path | None = None
) -> dict[str, Any]:
    """Measures a bundle.

    Args:
      swapper: the model.
      k: photos a source, the pair's own first.
      contact_sheet: where to put a picture of the first pairs (source, target, swapped).

    Returns:
      The row; a value is None where its network is missing.

    Raises:
      UserError: the photos are not there, or k leaves nothing to retrieve.
    """
    photos = load_photos(data_folder(), swapper)
    pairs = read_pairs(photos.names)
    sources = [_source_photos(photos, source, k) for source, _ in pairs]
    targets = np.array([target for _, target in pairs])
    swapped = _swap_all(swapper, photos, sources, targets)
    row = _identity_numbers(swapper, photos, sources, targets, swapped)
    row['pose_degrees'] = _mean_pose_distance(photos, targets, swapped)
    originals = photos.crops[targets]
    row['ssim'] = float(np.mean([ssim(a, b) for a, b in zip(originals, swapped, strict=True)]))
    if contact_sheet:
        first = [own[0] for own in sources[:_SHEET_PAIRS]]
        rows = [photos.crops[first], originals[:_SHEET_PAIRS], swapped[:_SHEET_PAIRS]]
        target = data_folder() / _PHOTOS / photos.names[targets[0]]
        _write_sheet(contact_sheet, rows, target, swapper)
    rounded = {name: None if value is None else round(value, 4) for name, value in row.items()}
    return {'bundle': swapper.bundle.name, 'pairs': len(pairs), 'k': k} | rounded


def _write_sheet(output: Path, rows: list[np.ndarray], target: Path, swapper: Swapper) -> None:
    """Writes and marks the sheet; a manifest has one parent, which is the first target."""
    bundle = swapper.bundle
    with provenance.marked_output(
        output, parent=target, model_name=bundle.name, bundle_sha256=bundle.sha256
    ) as unsigned:
        write_image(unsigned, image_grid(rows))


def load_photos(data: Path, swapper: Swapper) -> HeldoutPhotos:
    """Aligns the held-out photos; one without a face is left out with a warning.

    Raises:
      UserError: the folder or the label file is missing.
    """
    folder, labels = data / _PHOTOS, data / 'faces' / 'index.tsv'
    if not folder.is_dir() or not labels.is_file():
        raise UserError(f'{folder}: the held-out photos or {labels} are missing; see the README')
    with open(labels, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file, delimiter='\t'))
    known = {row['file']: row['identity'] for row in rows}
    names, faces, identities = [], [], []
    with landmarks.FaceLandmarker(max_faces=4) as landmarker:
        for path in sorted(folder.glob('*.jpg')):
            photo = read_image(path)
            face = landmarks.largest(landmarker.detect(photo))
            if face is None:
                logging.warning('%s: no face found, left out', path.name)
                continue
            names.append(path.name)
            faces.append(align_face(photo, face.landmarks, swapper.bundle.crop_spec))
            identities.append(known[f'{folder.name}/{path.name}'])
    return HeldoutPhotos(names, faces, np.array(identities))


def read_pairs(names: list[str]) -> list[tuple[int, int]]:
    """The committed pairs as numbers (source, target) into `names`; pairs of absent photos drop."""
    number = {name: index for index, name in enumerate(names)}
    with open(PAIRS_FILE, newline='', encoding='utf-8') as file:
        rows = [(row['source'], row['target']) for row in csv.DictReader(file, delimiter='\t')]
    return [(number[s], number[t]) for s, t in rows if s in number and t in number]


def _source_photos(photos: HeldoutPhotos, source: int, k: int) -> list[int]:
    own = np.flatnonzero(photos.identities == photos.identities[source]).tolist()
    if not 1 <= k < len(own):
        raise UserError(
            f'--k {k}: must be 1 to {len(own) - 1}, so that a photo of each person is left to find'
        )
    return [source, *(number for number in own if number != source)][:k]


def _swap_all(
    swapper: Swapper, photos: HeldoutPhotos, sources: list[list[int]], targets: np.ndarray
) -> np.ndarray:
    swapped = []
    for own, target in tqdm(
        list(zip(sources, targets, strict=True)), desc='swap', unit='pair', disable=None
    ):
        identity = swapper.embed_source([photos.faces[number].crop for number in own])
        face = photos.faces[target]
        swapped.append(swapper.swap(face.crop[None], face.boundary_map[None], identity)[0])
    return np.stack(swapped)


def _identity_numbers(
    swapper: Swapper,
    photos: HeldoutPhotos,
    sources: list[list[int]],
    targets: np.ndarray,
    swapped: np.ndarray,
) -> dict[str, float | None]:
    first = np.array([own[0] for own in sources])

    def mobilefacenet(crops: np.ndarray) -> np.ndarray:
        return np.concatenate([swapper.embed(crop[None]).vector for crop in crops])

    row: dict[str, float | None] = {}
    recognisers = {'sface': _sface_or_none(), 'mobilefacenet': mobilefacenet}
    for name, embed in recognisers.items():
        if embed is None:
            row |= {f'{name}_source': None, f'{name}_target': None, f'{name}_retrieval': None}
            continue
        gallery, queries = embed(photos.crops), embed(swapped)
        row[f'{name}_source'] = float(cosine(queries, gallery[first]).mean())
        row[f'{name}_target'] = float(cosine(queries, gallery[targets]).mean())
        if name == 'sface':
            row['sface_retrieval'] = _retrieval(photos, sources, queries, gallery)
    return row


def _sface_or_none():
    try:
        return SFace().embed
    except UserError as error:
        logging.warning('no SFace row: %s', error)
        return None


def _retrieval(
    photos: HeldoutPhotos, sources: list[list[int]], queries: np.ndarray, gallery: np.ndarray
) -> float:
    hits = []
    for own, query in zip(sources, queries, strict=True):
        excluded = np.isin(np.arange(len(gallery)), own)
        found = nearest_identity(query, gallery, photos.identities, excluded)
        hits.append(found == photos.identities[own[0]])
    return float(np.mean(hits))


def _mean_pose_distance(
    photos: HeldoutPhotos, targets: np.ndarray, swapped: np.ndarray
) -> float | None:
    try:
        estimator = pose.PoseEstimator(data_folder() / pose.WEIGHTS)
    except UserError as error:
        logging.warning('no pose row: %s', error)
        return None
    distances = []
    for target, picture in zip(targets, swapped, strict=True):
        face = photos.faces[target]
        angles = [estimator.angles(image, face.landmarks) for image in (face.crop, picture)]
        distances.append(pose.pose_distance(*angles))
    return float(np.mean(distances))
