"""Photos of many people, swapped in pairs: the generator's own picture before blending (eq. 13).

Everything is measured at the bundle's crop size, in the target's place.
"""

import dataclasses
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from apgan_jax.errors import UserError
from apgan_jax.evaluation.clip_runs import column_name
from apgan_jax.evaluation.columns import bundle_lines, bundle_names, with_warnings
from apgan_jax.evaluation.frechet_rows import FrechetRows
from apgan_jax.evaluation.occluders import draw_occluder
from apgan_jax.evaluation.people import Galleries, IdentityRows, similarities
from apgan_jax.evaluation.photo_sets import PhotoPairs
from apgan_jax.evaluation.report import Report
from apgan_jax.evaluation.seen import SeenRows
from apgan_jax.evaluation.suite import Suite
from apgan_jax.evaluation.table import Table, Value
from apgan_jax.face import landmarks
from apgan_jax.face.aligned import AlignedFace, align_face
from apgan_jax.face.alignment import CropSpec, Window
from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.files.image_files import read_image, write_image
from apgan_jax.inference.swapper import Swapper
from apgan_jax.metrics.identity import identity_discrepancy, mean_match_score
from apgan_jax.metrics.metric import Description, Metric
from apgan_jax.models.images import image_grid
from apgan_jax.networks.recognisers import Recogniser
from apgan_jax.provenance import manifest
from apgan_jax.training.validation import EvaluationPairs

_SHEET_PAIRS = 12
# A source's own boundary map, landmarks and place are of no use.
_NOWHERE = (np.zeros((0, 0, 3), np.uint8), np.zeros((0, 2), np.float32), np.eye(2, 3))
_SUMMARY = {
    'sface_source': 'source_similarity_sface',
    'sface_target': 'target_similarity_sface',
    'sface_retrieval': 'identity_retrieval_sface',
    'mobilefacenet_source': 'source_similarity_mobilefacenet',
    'mobilefacenet_target': 'target_similarity_mobilefacenet',
    'pose_degrees': 'pose_3ddfa',
    'expression_3ddfa': 'expression_3ddfa',
    'ssim': 'ssim',
}
# Beside them where the pairs are the committed ones.
_SEEN_SUMMARY = (
    'sharpness',
    'skin_de',
    'skin_de_p90',
    'self_lpips',
    'self_ssim',
    'same_person_lpips',
    'smear',
    'occluder_error',
)
# Targets of which swaps with a known answer are made, three each.
_KNOWN_TARGETS = 100
_PROTOCOL = (
    "the generator's own picture before blending (eq. 13), at the bundle's crop size, in the place "
    "of the target's face",
    "similarity to the pair's own source photo; gallery of identity retrieval: all photos read but "
    "those that the source's identity was made of",
)


@dataclasses.dataclass(frozen=True)
class PairedFaces:
    """Aligned faces and which of them are swapped.

    Attributes:
      name: of the protocol.
      faces: None for a photo without one.
      people: whose each face is.
      pairs: (source, target), numbers into `faces`.
      arcface_window: of the faces' crops.
      protocol: what they are, lines.
      first_target: the photo of the first pair's target, if it is a file.
    """

    name: str
    faces: Sequence[AlignedFace | None]
    people: Sequence[str]
    pairs: Sequence[tuple[int, int]]
    arcface_window: Window
    protocol: Sequence[str] = ()
    first_target: Path | None = None

    def __getitem__(self, number: int) -> AlignedFace:
        """The face of a pair."""
        face = self.faces[number]
        assert face is not None
        return face

    def of_person(self, number: int) -> list[int]:
        """Faces of the person of a face, that face first."""
        numbers = range(len(self.faces))
        own = [n for n in numbers if self.people[n] == self.people[number] and self.faces[n]]
        return sorted(own, key=lambda n: n != number)


def read_faces(wanted: PhotoPairs, spec: CropSpec) -> PairedFaces:
    """Aligns the photos; those without a face are left out with a warning, and their pairs.

    Raises:
      UserError: a photo is unreadable, or no pair is left.
    """
    faces: list[AlignedFace | None] = []
    with landmarks.FaceLandmarker(max_faces=landmarks.MAX_FACES, expressions=False) as landmarker:
        for photo in tqdm(wanted.photos, desc='read', unit='photo', disable=None, leave=False):
            picture = read_image(photo.path)
            face = landmarks.largest(landmarker.detect(picture))
            if face is None:
                logging.warning('%s: no face found, left out', photo.path.name)
            faces.append(align_face(picture, face.landmarks, spec) if face else None)
    pairs = [pair for pair in wanted.pairs if all(faces[number] for number in pair)]
    if not pairs:
        raise UserError(f'{wanted.photos[0].path.parent}: no pair of photos that show faces')
    return PairedFaces(
        wanted.name,
        faces,
        [photo.person for photo in wanted.photos],
        pairs,
        spec.arcface_window,
        [f'{len(pairs)} of {len(wanted.pairs)} pairs of {len(wanted.photos)} photos'],
        wanted.photos[pairs[0][1]].path,
    )


def faces_of_records(pairs: EvaluationPairs) -> PairedFaces:
    """The pairs that a training run evaluates on."""
    count = len(pairs)
    sources = [AlignedFace(crop, *_NOWHERE) for crop in pairs.source]
    targets = [
        AlignedFace(crop, boundary_map, points, np.eye(2, 3))
        for crop, boundary_map, points in zip(
            pairs.target, pairs.boundary_map, pairs.landmarks, strict=True
        )
    ]
    numbers = range(count)
    return PairedFaces(
        # Not 'heldout' alone: that is a protocol, of people with several photos each.
        f'{pairs.name} records',
        [*sources, *targets],
        [f'source {n}' for n in numbers] + [f'target {n}' for n in numbers],
        [(n, count + n) for n in numbers],
        pairs.arcface_window,
        [f'{count} pairs of records, {pairs.name}'],
    )


@dataclasses.dataclass(frozen=True)
class PhotoResult:
    """What a bundle did.

    Attributes:
      values: means over the pairs, by key.
      rows: of identity, for the table.
      pairs: that were measured.
      pictures: RGB uint8 rows of sources, targets and swapped pictures, the first pairs.
      seen: rows of what a viewer sees; none but of the committed pairs.
    """

    values: dict[str, Value]
    rows: list[Metric]
    pairs: int
    pictures: list[np.ndarray]
    seen: list[Description]


def evaluate_faces(
    faces: PairedFaces, swapper: Swapper, suite: Suite, *, k: int = 1
) -> PhotoResult:
    """Swaps and measures the pairs.

    Args:
      faces: aligned as the model wants them.
      swapper: the model.
      suite: what to measure with.
      k: faces a source, the pair's own first.

    Raises:
      UserError: a source has fewer than k faces.
    """
    sources = _sources(faces, k)
    galleries = galleries_of(faces, suite.recognisers)
    series: dict[str, list[float | None]] = defaultdict(list)
    rows: dict[str, Metric] = {}
    distances = FrechetRows(suite.feature_networks)
    seen = SeenRows() if faces.name == 'heldout' else None
    pictures: list[tuple[np.ndarray, ...]] = []
    tasks = list(zip(sources, (target for _, target in faces.pairs), strict=True))
    for own, target in tqdm(tasks, desc=f'{faces.name}, k = {k}', unit='pair', disable=None):
        pair = swap_in_place(swapper, faces, own, target)
        identity = _identity_metrics(galleries, faces, own)
        rows = {row.key: row for row in identity} | rows
        for metric in (*identity, *suite.metrics):
            series[metric.key].append(metric.measure(pair))
        distances.add(pair)
        if seen:
            seen.add_swap(pair)
        if len(pictures) < _SHEET_PAIRS:
            pictures.append((faces[own[0]].crop, pair.target.crop, pair.in_place))
    values = {key: Value.mean_of(numbers) for key, numbers in series.items()}
    values |= distances.values()
    if seen:
        _add_known_answers(seen, swapper, faces, tasks)
        values |= seen.values()
    return PhotoResult(
        values=with_warnings(values, rows.values(), swapper.bundle.identity_encoder.kind),
        rows=list(rows.values()),
        pairs=len(tasks),
        pictures=[np.stack(row) for row in zip(*pictures, strict=True)],
        seen=seen.descriptions() if seen else [],
    )


def _add_known_answers(
    seen: SeenRows,
    swapper: Swapper,
    faces: PairedFaces,
    tasks: Sequence[tuple[Sequence[int], int]],
) -> None:
    """Of each target once: by itself, by another photo of the same person, with an occluder."""
    sources = {target: own for own, target in reversed(tasks)}
    for number, target in enumerate(sorted(sources)[:_KNOWN_TARGETS]):
        seen.add_self(swap_in_place(swapper, faces, [target], target))
        for other in faces.of_person(target)[1:2]:
            seen.add_same_person(swap_in_place(swapper, faces, [other], target))
        face = faces[target]
        occluded = draw_occluder(face.crop, face.landmarks, number)
        covered = dataclasses.replace(face, crop=occluded.picture)
        output = _generate(swapper, faces, sources[target], covered)
        seen.add_occluded(output, occluded)


def galleries_of(faces: PairedFaces, recognisers: Sequence[Recogniser]) -> Galleries:
    """Galleries of all faces."""
    galleries = Galleries(recognisers, faces.arcface_window)
    for face, person in zip(faces.faces, faces.people, strict=True):
        if face is not None:
            galleries.add(person, face.crop[None])
    return galleries


def evaluate_photos(
    read: Callable[[CropSpec], PairedFaces],
    swappers: Sequence[Swapper],
    suite: Suite,
    *,
    ks: Sequence[int] = (1,),
    contact_sheet: Path | None = None,
) -> tuple[Report, list[dict[str, Any]]]:
    """A column for each bundle and k.

    Args:
      read: gives the faces, cropped as a model wants them.
      swappers: the models.
      suite: what to measure with.
      ks: photos a source.
      contact_sheet: where to put a picture of the first pairs (source, target, swapped) of the
        last column.

    Returns:
      The report, and for each column the numbers by which bundles are compared, JSON values.

    Raises:
      UserError: see `read_faces` and `evaluate_faces`.
    """
    columns: dict[str, dict[str, Value]] = {}
    identity: dict[str, Description] = {}
    rows, names = [], bundle_names(swappers)
    every = [read(swapper.bundle.crop_spec) for swapper in swappers]
    for faces in every:
        for k in ks:
            # Before hours of work for a smaller k.
            _sources(faces, k)
    for swapper, name, faces in zip(swappers, names, every, strict=True):
        for k in ks:
            result = evaluate_faces(faces, swapper, suite, k=k)
            identity = {row.key: row for row in result.rows} | identity
            columns[column_name(name, k)] = result.values
            rows.append(_summary(result, swapper, k))
    if contact_sheet:
        _write_contact_sheet(contact_sheet, result, swapper, faces.first_target)
    descriptions = [*identity.values(), *suite.descriptions(temporal=False), *result.seen]
    protocol = [*faces.protocol, *_PROTOCOL, *bundle_lines(swappers)]
    table = Table.of(faces.name, descriptions, columns, protocol)
    return Report(table.without_empty_rows(), {}, {}), rows


def summary_lines(protocol: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """What is printed below a protocol's table: the summaries where the pairs are committed ones.

    Args:
      protocol: of `PHOTO_PROTOCOLS`.
      rows: of `evaluate_photos`.
    """
    return [json.dumps(row) for row in rows] if protocol == 'heldout' else []


def _summary(result: PhotoResult, swapper: Swapper, k: int) -> dict[str, Any]:
    """The numbers by which bundles are compared; None where a network is missing."""

    def number(key: str) -> float | None:
        mean = result.values.get(key, Value(None)).mean
        return None if mean is None else round(mean, 4)

    return {
        'bundle': swapper.bundle.name,
        'pairs': result.pairs,
        'k': k,
        **{name: number(key) for name, key in _SUMMARY.items()},
        **({key: number(key) for key in _SEEN_SUMMARY} if result.seen else {}),
    }


def _write_contact_sheet(
    output: Path, result: PhotoResult, swapper: Swapper, first_target: Path | None
) -> None:
    """Writes and marks the first pairs; a manifest has one parent, which is the first target."""
    bundle = swapper.bundle
    with manifest.marked_output(
        output, parent=first_target, model_name=bundle.name, bundle_sha256=bundle.sha256
    ) as unsigned:
        write_image(unsigned, image_grid(result.pictures))


def _identity_metrics(galleries: Galleries, faces: PairedFaces, own: Sequence[int]) -> list[Metric]:
    """Of a pair whose source these faces give; similarity is to the first, the pair's own."""
    given = np.stack([faces[number].crop for number in own])
    return galleries.metrics(
        faces.people[own[0]], given, source=given[:1], rows=_rows_of(faces.name)
    )


def _rows_of(protocol: str) -> IdentityRows:
    """The identity rows of the paper's table."""
    if protocol == 'lfw':
        return lambda recogniser, source: [mean_match_score(recogniser, source)]
    if protocol == 'celebahq':
        return lambda recogniser, source: [identity_discrepancy(recogniser, source)]
    return similarities


def _sources(faces: PairedFaces, k: int) -> list[list[int]]:
    """For each pair the k faces that give the identity.

    Raises:
      UserError: a source has fewer.
    """
    return [_source(faces, source, k) for source, _ in faces.pairs]


def _source(faces: PairedFaces, source: int, k: int) -> list[int]:
    own = faces.of_person(source)
    # One must be left to be found.
    most = len(own) - 1 if faces.name == 'heldout' else len(own)
    if not 1 <= k <= most:
        person = faces.people[source]
        raise UserError(f'--k {k}: must be 1 to {most}, of the {len(own)} faces of {person}')
    return own[:k]


def swap_in_place(
    swapper: Swapper, faces: PairedFaces, own: Sequence[int], target: int
) -> FacePair:
    """A target and what the generator makes of it, before blending.

    Args:
      swapper: the model.
      faces: aligned as the model wants them.
      own: numbers of the faces that give the identity.
      target: number of the face that gets it.
    """
    face = faces[target]
    swapped = _generate(swapper, faces, own, face)
    seen = SeenFace(face.crop, face.landmarks, arcface_window=faces.arcface_window)
    return pair_in_place(seen, swapped)


def _generate(
    swapper: Swapper, faces: PairedFaces, own: Sequence[int], face: AlignedFace
) -> np.ndarray:
    """A face with the identity of others, the generator's crop, over the face if it has a mask."""
    identity = swapper.embed_source([faces[number].crop for number in own])
    crops = face.crop[None]
    return swapper.swap(crops, face.boundary_map[None], identity).over(crops)[0]


def pair_in_place(target: SeenFace, swapped: np.ndarray) -> FacePair:
    """A target and a crop (size, size, 3) whose face is where the target's was.

    The generator keeps the place, and eq. 13 comes later.
    """
    seen = SeenFace(swapped, target.landmarks, arcface_window=target.arcface_window)
    return FacePair(target, in_place=swapped, swapped=seen)
