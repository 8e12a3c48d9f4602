"""Whom a swapped clip should show, and among whom it is looked for (paper IV-C).

A person is a source (photos, or evenly spaced frames of a video) or whoever else the gallery holds;
faces are read once and embedded by every recogniser.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.evaluation.clips import CROP_SPEC
from apgan_jax.evaluation.pictures import is_video
from apgan_jax.face.alignment import Window
from apgan_jax.files.image_files import images_in, is_image
from apgan_jax.inference.sources import SourcePicture, read_source_pictures
from apgan_jax.metrics.gallery import Gallery, identity_retrieval
from apgan_jax.metrics.identity import source_similarity, target_similarity
from apgan_jax.metrics.metric import Metric
from apgan_jax.networks.recognisers import Recogniser, unit_vectors

GALLERY_FRAMES = 20

# Of a recogniser and the source's unit vector: the rows beside retrieval.
IdentityRows = Callable[[Recogniser, np.ndarray], list[Metric]]


def read_person(path: Path, *, frames: int = GALLERY_FRAMES) -> np.ndarray:
    """Head crops of a person, for a gallery.

    Args:
      path: a photo, a video, or a folder of photos of one person.
      frames: of a video, each in the middle of one of so many equal parts: seldom those that k-shot
        inference samples, which begin parts.

    Returns:
      RGB uint8 (n, 256, 256, 3); n is 0 where no face was found.

    Raises:
      UserError: a file cannot be read.
    """
    if path.is_dir():
        return crops_of(read_source_pictures(images_in(path), CROP_SPEC))
    if is_image(path):
        return crops_of(read_source_pictures([path], CROP_SPEC))
    return crops_of(read_source_pictures([path], CROP_SPEC, video_frames=2 * frames)[1::2])


def crops_of(pictures: Iterable[SourcePicture]) -> np.ndarray:
    """RGB uint8 (n, 256, 256, 3) of those that show a face."""
    crops = [picture.crop for picture in pictures if picture.crop is not None]
    return np.array(crops, np.uint8).reshape(-1, CROP_SPEC.size, CROP_SPEC.size, 3)


def people_of(paths: Iterable[Path]) -> list[Path]:
    """One path a person: videos, photos, folders of one's photos; a folder of videos holds many.

    Raises:
      UserError: a path does not exist, or is a folder with neither photos nor videos.
    """
    people = []
    for path in paths:
        if not path.exists():
            raise UserError(f'--gallery {path}: no such file or folder')
        videos = sorted(filter(is_video, path.iterdir())) if path.is_dir() else [path]
        if not videos and not images_in(path):
            raise UserError(f'--gallery {path}: holds neither photos nor videos')
        people += videos or [path]
    return people


def person_of(path: Path) -> str:
    """By what a gallery knows whom a file shows; two files of one name are two people."""
    return str(path.resolve())


class Galleries:
    """One gallery for each recogniser, filled with the same faces.

    A face that is there already, pixel by pixel, is not added again, and one that the model was
    given is not found.

    Args:
      recognisers: of the evaluation.
      window: ArcFace's in the faces' crops.
    """

    def __init__(
        self, recognisers: Sequence[Recogniser], window: Window = CROP_SPEC.arcface_window
    ) -> None:
        self._galleries = {recogniser.key: Gallery() for recogniser in recognisers}
        self._recognisers = recognisers
        self._window = window
        self._entries: dict[str, int] = {}
        self._faces: dict[str, int] = defaultdict(int)
        self._cannot_find = False

    def add(self, person: str, crops: np.ndarray) -> None:
        """Adds faces of a person, RGB uint8 (n, size, size, 3)."""
        for crop in crops:
            digest = _digest(crop)
            if digest not in self._entries:
                self._entries[digest] = len(self._entries)
                self._faces[person] += 1
                for recogniser in self._recognisers:
                    vector = recogniser.embed(crop[None], self._window)
                    self._galleries[recogniser.key].add(vector, person)

    def metrics(
        self,
        person: str,
        given: np.ndarray,
        *,
        source: np.ndarray | None = None,
        rows: IdentityRows | None = None,
    ) -> list[Metric]:
        """Identity rows of a swap that should show a person.

        Args:
          person: by the gallery's name; without further faces of the person in it, or of anybody
            else, there is no retrieval.
          given: what the model was given, RGB uint8 (n, size, size, 3), one or more.
          source: what similarity is measured to; None: `given`.
          rows: beside retrieval; None: similarity to source and target.
        """
        excluded = [self._entries[d] for d in map(_digest, given) if d in self._entries]
        found = []
        for recogniser in self._recognisers:
            gallery = self._galleries[recogniser.key]
            vectors = recogniser.embed(given if source is None else source, self._window)
            vector = unit_vectors(vectors.mean(axis=0, keepdims=True))[0]
            found += (rows or similarities)(recogniser, vector)
            if gallery.count_of(person, excluded_entries=excluded) and len(self._faces) > 1:
                found.append(
                    identity_retrieval(recogniser, gallery, person, excluded_entries=excluded)
                )
            else:
                self._cannot_find = True
        return found

    def line(self) -> str:
        """The gallery in words."""
        line = f'gallery: {len(self._entries)} faces of {len(self._faces)} people'
        if self._cannot_find:
            line += (
                '; without identity retrieval where no face of the source is left that the model '
                'was not given, or nobody else is there'
            )
        return line


def similarities(recogniser: Recogniser, source: np.ndarray) -> list[Metric]:
    """Cosines to source and target."""
    return [source_similarity(recogniser, source), target_similarity(recogniser)]


def _digest(crop: np.ndarray) -> str:
    return hashlib.sha256(crop.tobytes()).hexdigest()
