"""Swaps as a viewer gets to see them, pasted into photos and clips, in numbers.

A face is measured at its picture's own pixels, where softness, colours and smears show, and as a
head crop of 256 px, which networks are shown.
"""

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from apgan_jax.errors import UserError
from apgan_jax.evaluation.clip_runs import column_name
from apgan_jax.evaluation.clips import CROP_SPEC, FacePairFinder
from apgan_jax.evaluation.columns import bundle_lines, bundle_names, with_warnings
from apgan_jax.evaluation.occluders import draw_occluder
from apgan_jax.evaluation.pasted import PictureSwapper
from apgan_jax.evaluation.people import similarities
from apgan_jax.evaluation.picture_pairs import PicturesToSwap, photos_of_person
from apgan_jax.evaluation.picture_sheet import Thumbnails, thumbnail, write_picture_sheet
from apgan_jax.evaluation.pictures import PicturePair
from apgan_jax.evaluation.report import Report
from apgan_jax.evaluation.seen import SeenRows
from apgan_jax.evaluation.suite import Suite
from apgan_jax.evaluation.table import Table, Value
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import warp_to_crop
from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.face.landmarks import MAX_FACES, Face, FaceLandmarker, largest
from apgan_jax.files.image_files import read_image
from apgan_jax.inference.blend import DEFAULT_BLEND, Blend
from apgan_jax.inference.swapper import Swapper
from apgan_jax.metrics.identity import dlib_distance
from apgan_jax.metrics.metric import Description, Metric
from apgan_jax.models.identity import IdentityEmbedding
from apgan_jax.networks.dlib_resnet import DlibResNet

# JSON names of the numbers by which bundles, and ways of blending, are compared.
_SUMMARY = {
    'sharpness_portraits': 'sharpness_portraits',
    'sharpness_clips': 'sharpness_clips',
    'skin_de': 'skin_de',
    'skin_de_p90': 'skin_de_p90',
    'self_lpips': 'self_lpips',
    'self_ssim': 'self_ssim',
    'smear': 'smear',
    'occluder_error': 'occluder_error',
    'sface_source': 'source_similarity_sface',
    'sface_target': 'target_similarity_sface',
    'dlib_source': 'dlib_distance',
    'pose_degrees': 'pose_3ddfa',
}
_OF_3DDFA = ('pose_3ddfa', 'expression_3ddfa')
_PROTOCOL = (
    'swapped and pasted as by `apgan swap`: the largest face of a photo, or of the last of 12 '
    'frames of a clip; self-swaps and occluders in single frames',
    "sharpness, skin, foreheads, SSIM and occluders at the picture's own pixels; identity and pose "
    'by head crops of 256 px, the swapped face by its own landmarks; LPIPS by such crops in place',
)
# Of the mesh's longer side, what is cut out around a face to be measured at its own pixels.
_MARGIN = 0.6


class _Source(NamedTuple):
    """Whom a target becomes: what the model is told, and face and thumbnail of the photo."""

    identity: IdentityEmbedding
    face: SeenFace
    thumbnail: np.ndarray


@dataclasses.dataclass(frozen=True)
class PicturesResult:
    """What a bundle did.

    Attributes:
      values: by key.
      descriptions: of the rows.
      pairs: that were measured.
      thumbnails: of all pairs.
    """

    values: dict[str, Value]
    descriptions: list[Description]
    pairs: int
    thumbnails: list[Thumbnails]

    def summary(self, bundle: str, k: int) -> dict[str, Any]:
        """The numbers by which bundles are compared; None where a network is missing."""
        means = {name: self.values.get(key, Value(None)).mean for name, key in _SUMMARY.items()}
        rounded = {name: None if x is None else round(x, 4) for name, x in means.items()}
        return {'bundle': bundle, 'pairs': self.pairs, 'k': k, **rounded}


def evaluate_pictures(
    pairs: Sequence[PicturesToSwap],
    swapper: Swapper,
    suite: Suite,
    *,
    k: int = 1,
    blend: Blend = DEFAULT_BLEND,
) -> PicturesResult:
    """Swaps, pastes and measures pairs of pictures.

    Args:
      pairs: of `find_picture_pairs`. Those without a face are left out with a warning.
      swapper: the model.
      suite: of its networks, recognisers and 3DDFA_V2 are used.
      k: photos a source at most, the pair's own first; synthetic people have but one.
      blend: how generated faces go into their frames.

    Raises:
      UserError: a file cannot be read, or no pair shows faces.
    """
    with (
        PictureSwapper(swapper, blend) as pictures,
        FaceLandmarker(max_faces=MAX_FACES, expressions=False) as landmarker,
    ):
        column = _Column(swapper, pictures, landmarker, suite)
        for number, pair in enumerate(tqdm(pairs, desc='pictures', unit='pair', disable=None)):
            if not column.add(number, pair, k):
                logging.warning('%s, %s: no face found, left out', pair.source, pair.target)
    return column.result()


class _Column:
    """Swaps pairs by one model and gathers what is measured of them."""

    def __init__(
        self,
        swapper: Swapper,
        pictures: PictureSwapper,
        landmarker: FaceLandmarker,
        suite: Suite,
    ) -> None:
        self._swapper, self._pictures, self._suite = swapper, pictures, suite
        self._landmarker = landmarker
        self._find = FacePairFinder(landmarker, follows=False)
        self._dlib = _dlib_if_installed()
        self._seen = SeenRows()
        self._series: dict[str, list[float | None]] = defaultdict(list)
        self._rows: dict[str, Metric] = {}
        self._thumbnails: list[Thumbnails] = []

    def add(self, number: int, names: PicturesToSwap, k: int) -> bool:
        """Takes a pair; False if source or target show no face."""
        source = self._read_source(photos_of_person(names.source, k))
        if source is None:
            return False
        target, swapped = self._swap(names, source.identity)
        pair = self._find(PicturePair(target, swapped))
        if pair is None or pair.target.face is None:
            return False
        face = pair.target.face
        self._seen.add_swap(_at_own_pixels(target, swapped, face), names.group)
        self._measure(pair, source)
        itself = self._swap_with_itself(target, face)
        self._seen.add_self(_at_own_pixels(target, itself, face), _as_heads(target, itself, face))
        occluded = draw_occluder(target, face.landmarks, number)
        self._seen.add_occluded(self._pictures.photo(occluded.picture, source.identity), occluded)
        shown = (thumbnail(picture, face.landmarks) for picture in (target, swapped))
        self._thumbnails.append((source.thumbnail, *shown))
        return True

    def result(self) -> PicturesResult:
        """What was measured.

        Raises:
          UserError: nothing.
        """
        if not self._thumbnails:
            raise UserError('--protocol pictures: no pair of pictures that show faces')
        values = {key: Value.mean_of(numbers) for key, numbers in self._series.items()}
        values |= self._seen.values()
        kind = self._swapper.bundle.identity_encoder.kind
        missing = [row for row in self._suite.missing if row.key in _OF_3DDFA]
        return PicturesResult(
            with_warnings(values, self._rows.values(), kind),
            [*self._seen.descriptions(), *self._rows.values(), *missing],
            len(self._thumbnails),
            self._thumbnails,
        )

    def _read_source(self, photos: Sequence[Path]) -> _Source | None:
        """Of the photos that show a face; None if the first one does not."""
        pictures = [read_image(photo) for photo in photos]
        found = [largest(self._landmarker.detect(picture)) for picture in pictures]
        if found[0] is None:
            return None
        crops = [
            self._crop(picture, face)
            for picture, face in zip(pictures, found, strict=True)
            if face is not None
        ]
        points = found[0].landmarks
        head = align_face(pictures[0], points, CROP_SPEC)
        return _Source(
            self._swapper.embed_source(crops),
            SeenFace(head.crop, head.landmarks, arcface_window=CROP_SPEC.arcface_window),
            thumbnail(pictures[0], points),
        )

    def _crop(self, picture: np.ndarray, face: Face) -> np.ndarray:
        return align_face(picture, face.landmarks, self._swapper.bundle.crop_spec).crop

    def _swap(
        self, names: PicturesToSwap, identity: IdentityEmbedding
    ) -> tuple[np.ndarray, np.ndarray]:
        """The target and what becomes of it."""
        if names.frame is not None:
            return self._pictures.frame(names.target, names.frame, identity)
        picture = read_image(names.target)
        return picture, self._pictures.photo(picture, identity)

    def _swap_with_itself(self, target: np.ndarray, face: Face) -> np.ndarray:
        return self._pictures.photo(target, self._swapper.embed_source([self._crop(target, face)]))

    def _measure(self, pair: FacePair, source: _Source) -> None:
        """Identity and pose; of a face that was not found again, where it should be."""
        if pair.swapped is None:
            placed = SeenFace(pair.in_place, pair.target.landmarks)
            pair = dataclasses.replace(pair, swapped=placed)
        metrics = [
            *(
                metric
                for recogniser in self._suite.recognisers
                for metric in similarities(recogniser, recogniser.vector(source.face))
            ),
            *([dlib_distance(self._dlib, source.face)] if self._dlib else []),
            *(metric for metric in self._suite.metrics if metric.key in _OF_3DDFA),
        ]
        for metric in metrics:
            self._rows.setdefault(metric.key, metric)
            self._series[metric.key].append(metric.measure(pair))


def _dlib_if_installed() -> DlibResNet | None:
    try:
        return DlibResNet()
    except UserError:
        return None


def _at_own_pixels(target: np.ndarray, swapped: np.ndarray, face: Face) -> FacePair:
    """The part of two pictures about a face, as it is."""
    low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    margin = _MARGIN * float((high - low).max())
    left, top = np.maximum(np.floor(low - margin), 0).astype(int)
    right, bottom = np.ceil(high + margin).astype(int)
    part = np.s_[top:bottom, left:right]
    points = face.landmarks - np.array([left, top], np.float32)
    return FacePair(SeenFace(target[part], points, face), swapped[part], None)


def _as_heads(target: np.ndarray, swapped: np.ndarray, face: Face) -> FacePair:
    """Head crops of two pictures in the target's place."""
    head = align_face(target, face.landmarks, CROP_SPEC)
    in_place = warp_to_crop(swapped, head.crop_from_frame, CROP_SPEC.size)
    return FacePair(SeenFace(head.crop, head.landmarks, face), in_place, None)


def report_pictures(
    pairs: Sequence[PicturesToSwap],
    swappers: Sequence[Swapper],
    suite: Suite,
    *,
    dropped: int = 0,
    ks: Sequence[int] = (1,),
    blend: Blend = DEFAULT_BLEND,
    sheet: Path | None = None,
) -> tuple[Report, list[dict[str, Any]]]:
    """A column for each bundle and k.

    Args:
      pairs: to swap.
      swappers: the models.
      suite: what to measure with.
      dropped: pairs whose files are absent.
      ks: photos a source, at most.
      blend: how generated faces go into their frames.
      sheet: where to put a picture of all pairs (source, target, swapped) of the last column.

    Returns:
      The report, and for each column the numbers by which bundles are compared, JSON values.

    Raises:
      UserError: see `evaluate_pictures`.
    """
    columns: dict[str, dict[str, Value]] = {}
    descriptions: dict[str, Description] = {}
    rows = []
    for swapper, name in zip(swappers, bundle_names(swappers), strict=True):
        for k in ks:
            result = evaluate_pictures(pairs, swapper, suite, k=k, blend=blend)
            columns[column_name(name, k)] = result.values
            descriptions |= {row.key: row for row in result.descriptions}
            rows.append(result.summary(swapper.bundle.name, k))
    if sheet:
        write_picture_sheet(sheet, result.thumbnails, swapper.bundle, pairs[0].target)
    counted = f'{rows[-1]["pairs"]} of {len(pairs) + dropped} pairs of pictures'
    protocol = [counted, *_PROTOCOL, *bundle_lines(swappers)]
    table = Table.of('pictures', list(descriptions.values()), columns, protocol)
    return Report(table.without_empty_rows(), {}, {}), rows
