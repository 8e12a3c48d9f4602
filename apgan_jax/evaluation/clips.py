"""Originals against what became of them: clips, pictures, folders (paper IV-C).

A clip is read once, both files side by side, one pair of frames in memory at a time. The face is
the largest one of the first frame that shows any, followed by where it lies; in the swapped frame
it is the one in the same place. Per-face metrics compare head crops of 256 px as the paper's faces
are; temporal ones compare the fixed area about the face of the first frame.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from apgan_jax.evaluation.frechet_rows import FrechetRows
from apgan_jax.evaluation.pictures import Clip, PicturePair
from apgan_jax.evaluation.suite import Suite
from apgan_jax.evaluation.table import Value
from apgan_jax.face import alignment, landmarks
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.metrics.expression import MotionCorrelation
from apgan_jax.metrics.face_area import FaceSequence, place_of
from apgan_jax.metrics.metric import Metric
from apgan_jax.metrics.temporal import TemporalErrors, TemporalMeter

CROP_SPEC = CropSpec(size=256)
PROTOCOL = (
    'face: the largest of the first frame that shows any, followed by place; by MediaPipe',
    'crop: whole head, 256x256 px, by five points of the target; identity, pose and expression of '
    "a swapped face by its own landmarks, everything else in the target's place",
    'means over the frames in which a value is defined, then over clips; DIPD and Fréchet distance '
    'of every third frame of a clip',
)
FRECHET_EVERY = 3
# Frames after which a lost face is given up for the largest there is then.
_PATIENCE = 25

Series = dict[str, list[float | None]]


class FacePairFinder:
    """Finds the face of a clip in its pairs of frames.

    Args:
      landmarker: of single images, for several faces.
      follows: whether one picture follows the other in time; else each one's largest face counts.
    """

    def __init__(self, landmarker: landmarks.FaceLandmarker, *, follows: bool = True) -> None:
        self._landmarker = landmarker
        self._follows = follows
        self._last: landmarks.Face | None = None
        self._missed = 0

    def __call__(self, pair: PicturePair) -> FacePair | None:
        """The face in both pictures; None where the target shows none."""
        face = self._choose(self._landmarker.detect(pair.target))
        if face is None:
            return None
        found = _in_place_of(face, self._landmarker.detect(pair.swapped))
        crop_from_frame = _crop_from_frame(face)
        return FacePair(
            target=_cut(pair.target, face, crop_from_frame),
            in_place=alignment.warp_to_crop(pair.swapped, crop_from_frame, CROP_SPEC.size),
            swapped=_cut(pair.swapped, found, _crop_from_frame(found)) if found else None,
        )

    def _choose(self, faces: Sequence[landmarks.Face]) -> landmarks.Face | None:
        if self._last is None:
            face = landmarks.largest(faces)
        else:
            # A bystander must not take the place of a face that is lost for some frames.
            face = _in_place_of(self._last, faces)
            self._missed = 0 if face else self._missed + 1
        if self._follows and (face or self._missed > _PATIENCE):
            self._last, self._missed = face, 0
        return face


def _in_place_of(
    face: landmarks.Face | None, candidates: Sequence[landmarks.Face]
) -> landmarks.Face | None:
    """The candidate whose centre is nearest, if it lies within the face."""
    if face is None or not candidates:
        return None
    centre = face.landmarks.mean(axis=0)

    def distance(other: landmarks.Face) -> float:
        return float(np.linalg.norm(other.landmarks.mean(axis=0) - centre))

    nearest = min(candidates, key=distance)
    return nearest if distance(nearest) < face.width / 2 else None


def _crop_from_frame(face: landmarks.Face) -> np.ndarray:
    return alignment.estimate_crop_from_frame(face.five_points, CROP_SPEC)


def _cut(picture: np.ndarray, face: landmarks.Face, crop_from_frame: np.ndarray) -> SeenFace:
    return SeenFace(
        crop=alignment.warp_to_crop(picture, crop_from_frame, CROP_SPEC.size),
        landmarks=alignment.transform_points(crop_from_frame, face.landmarks),
        face=face,
    )


@dataclasses.dataclass(frozen=True)
class ClipResult:
    """What was measured on one clip.

    Attributes:
      name: of the clip.
      series: for each key the values of the clip's pictures; None where one is not defined.
      correlations: over the pictures, by key.
      notes: what was odd.
    """

    name: str
    series: Series
    correlations: dict[str, float | None]
    notes: tuple[str, ...]

    def means(self) -> dict[str, float]:
        """Means over what is defined, and correlations; without keys for which nothing is."""
        every = self.series | {key: [value] for key, value in self.correlations.items()}
        defined = {key: [v for v in values if v is not None] for key, values in every.items()}
        return {key: float(np.mean(values)) for key, values in defined.items() if values}


class ClipEvaluator:
    """Measures clips of one method, one after the other.

    Args:
      suite: what to measure with.
    """

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self.results: list[ClipResult] = []
        self._distances = FrechetRows(suite.feature_networks)

    def add(
        self,
        clip: Clip,
        metrics: Iterable[Metric] = (),
        *,
        limit: int | None = None,
        on_pair: Callable[[], object] = lambda: None,
    ) -> ClipResult:
        """Measures a clip.

        Args:
          clip: to measure.
          metrics: beside the suite's, those that belong to this clip's source.
          limit: of pictures; None: all.
          on_pair: called after each pair.

        Raises:
          UserError: a file cannot be read, or the two do not fit.
        """
        every = [*self._suite.metrics, *metrics]
        series: Series = defaultdict(list)
        motion = MotionCorrelation()
        sequence, meter = FaceSequence(), TemporalMeter(self._suite.flow)
        with landmarks.FaceLandmarker(max_faces=landmarks.MAX_FACES) as landmarker:
            find = FacePairFinder(landmarker, follows=clip.is_sequence)
            for number, pair in enumerate(itertools.islice(clip.pairs(), limit)):
                faces = find(pair)
                for metric in every:
                    is_due = not clip.is_sequence or number % metric.every == 0
                    value = metric.measure(faces) if faces and is_due else None
                    series[metric.key].append(value)
                if faces:
                    motion.add(faces)
                    if not clip.is_sequence or number % FRECHET_EVERY == 0:
                        self._distances.add(faces)
                if clip.is_sequence:
                    errors = _temporal(sequence, meter, pair, faces)
                    for key, value in _fields(errors).items():
                        series[key].append(value)
                on_pair()
        correlations = motion.correlations() if clip.is_sequence else {}
        result = ClipResult(clip.name, dict(series), correlations, tuple(clip.notes))
        self.results.append(result)
        return result

    def values(self) -> dict[str, Value]:
        """Means over the clips, by key."""
        means = [result.means() for result in self.results]
        counts = self._counts()
        values = {
            key: Value(float(np.mean([m[key] for m in means if key in m])), counts[key])
            for key in dict.fromkeys(itertools.chain.from_iterable(means))
        }
        return values | self._distances.values()

    def _counts(self) -> Mapping[str, int]:
        counts: dict[str, int] = defaultdict(int)
        for result in self.results:
            for key, values in result.series.items():
                counts[key] += sum(value is not None for value in values)
            for key in result.correlations:
                counts[key] += len(next(iter(result.series.values()), []))
        return counts


def _temporal(
    sequence: FaceSequence, meter: TemporalMeter, pair: PicturePair, faces: FacePair | None
) -> TemporalErrors | None:
    place = place_of(faces.target.face.landmarks) if faces and faces.target.face else None
    cut = sequence.add(pair.target, pair.swapped, place)
    return meter.add(*cut) if cut else None


def _fields(errors: TemporalErrors | None) -> dict[str, float | None]:
    names = [field.name for field in dataclasses.fields(TemporalErrors)]
    return {name: getattr(errors, name, None) for name in names}
