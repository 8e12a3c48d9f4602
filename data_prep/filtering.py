"""Which faces are fit to learn from: clear ones of adults.

A face is measured in a head crop of fixed size, so that thresholds mean the same for every photo,
every `--size` and every `--crop`; but what must not lie outside of the photo is the crop's to say.
Thresholds were set by eye on CelebA and synthetic faces; what they cost and
what they miss stands in docs/training-notes.md.
"""

import dataclasses

import cv2
import numpy as np

from apgan_jax.face import detection, landmarks, quality
from apgan_jax.face.aligned import AlignedFace, align_face
from apgan_jax.face.alignment import (
    FACE_V1,
    HEAD_V1,
    CropSpec,
    estimate_crop_from_frame,
    inside_photo,
    transform_points,
)
from apgan_jax.face.blending import face_outline
from apgan_jax.face.landmarks import Face
from data_prep.age import AGE_NETWORK, AgeNetwork
from data_prep.sources import LOOKS_YOUNG

MAX_TURN_DEGREES = 40.0
MIN_SHARPNESS = 0.012
# Of the head crop, that repeats the photo's edge: streaks a generator would learn.
MAX_OUTSIDE = 0.2
# Of the face's outline, where the crop is face-v1. The outline goes on above the landmarks, to the
# hairline: of photos cut close about the face, as UTKFace's are, 0.1 to 0.15 is outside.
MAX_OUTLINE_OUTSIDE = 0.15
# YuNet says 0.93 of a plain face and less where a hand or a microphone is before it.
MIN_SCORE = 0.895
# Where the landmarks of the mirrored crop lie apart from the mirrored landmarks by more of the
# distance between the eyes, MediaPipe guesses: at hands, microphones and hair before the face.
MAX_DISAGREEMENT = 0.08
# Brightness about the eyes over that of the cheeks: 0.8 to 1 on bare skin.
MIN_EYE_BRIGHTNESS = 0.5

_SPEC = CropSpec(size=160)
_FACE_SPEC = CropSpec.named(FACE_V1, 160)
_EYE_SURROUNDINGS = (
    (113, 225, 224, 223, 222, 221, 189, 244, 233, 232, 231, 230, 229, 228, 31, 226),
    (342, 445, 444, 443, 442, 441, 413, 464, 453, 452, 451, 450, 449, 448, 261, 446),
)
_CHEEKS_AND_NOSE = (50, 205, 187, 280, 425, 411, 4, 36, 266)


@dataclasses.dataclass(frozen=True)
class FaceRules:
    """What is asked of a face; nothing by default.

    Attributes:
      clear: sharp, turned to the camera, inside the photo, nothing before it, eyes visible.
      min_age: years that it must look at least; 0 asks no age. The estimate errs by several years,
        so adults only takes a margin above 18.
    """

    clear: bool = False
    min_age: float = 0.0

    def require_models(self) -> None:
        """Looks for the networks that the rules need.

        Raises:
          UserError: one is missing.
        """
        if self.clear:
            detection.YUNET.find()
        if self.min_age > 0:
            AGE_NETWORK.find()


ANY_FACE = FaceRules()


class FaceFilter(landmarks.Closing):
    """Applies `FaceRules`; a context manager.

    Args:
      rules: what is asked.
      crop: name of the data set's: of head-v1 most must lie within the photo, of face-v1 the face.

    Raises:
      UserError: a network is missing.
    """

    def __init__(self, rules: FaceRules, *, crop: str = HEAD_V1) -> None:
        self._rules = rules
        self._clarity = _Clarity(crop) if rules.clear else None
        self._age = AgeNetwork() if rules.min_age > 0 else None

    def close(self) -> None:
        """Frees MediaPipe."""
        if self._clarity:
            self._clarity.close()

    def fault_of(self, photo: np.ndarray, face: Face) -> str | None:
        """Why a face is left out, as 'reason: figures'; None for one that is fit.

        Args:
          photo: RGB uint8 (h, w, 3).
          face: found in it, with its pose.
        """
        fault = self._clarity.fault_of(photo, face) if self._clarity else None
        if fault is None and self._age:
            years = self._age.years(photo, face.landmarks)
            if years < self._rules.min_age:
                fault = f'{LOOKS_YOUNG}: {years:.1f} < {self._rules.min_age:g} years'
        return fault


class _Clarity:
    def __init__(self, crop: str) -> None:
        self._border_fault = _head_border_fault if crop == HEAD_V1 else _face_border_fault
        self._landmarker = landmarks.FaceLandmarker(expressions=False)
        self._detector = detection.create_yunet(_SPEC.size, _SPEC.size)

    def close(self) -> None:
        self._landmarker.close()

    def fault_of(self, photo: np.ndarray, face: Face) -> str | None:
        turn = quality.turn_degrees(face.pose_matrix)
        if turn > MAX_TURN_DEGREES:
            return f'turned away: {turn:.0f} > {MAX_TURN_DEGREES:.0f} degrees'
        sharpness = quality.sharpness(photo, face.landmarks)
        if sharpness < MIN_SHARPNESS:
            return f'blurred: {sharpness:.4f} < {MIN_SHARPNESS}'
        fault = self._border_fault(photo, face)
        if fault is not None:
            return fault
        aligned = align_face(photo, face.landmarks, _SPEC)
        brightness = eye_brightness(aligned)
        if brightness < MIN_EYE_BRIGHTNESS:
            return f'eyes in the dark: {brightness:.2f} < {MIN_EYE_BRIGHTNESS} of the cheeks'
        score = self._score(aligned.crop)
        if score < MIN_SCORE:
            return f'covered or unclear: {score:.3f} < {MIN_SCORE} of YuNet'
        disagreement = self._disagreement(aligned)
        if disagreement > MAX_DISAGREEMENT:
            return f'unsure landmarks: {disagreement:.2f} > {MAX_DISAGREEMENT} eye distances'
        return None

    def _score(self, crop: np.ndarray) -> float:
        """YuNet's confidence that the crop shows a face, 0 to 1."""
        _, found = self._detector.detect(cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
        return 0.0 if found is None else float(found[:, 14].max())

    def _disagreement(self, aligned: AlignedFace) -> float:
        """Largest distance of five points from those of the mirror image, in eye distances."""
        mirrored = landmarks.largest(
            self._landmarker.detect(np.ascontiguousarray(aligned.crop[:, ::-1]))
        )
        if mirrored is None:
            return np.inf
        # Mirrored, left and right change places.
        again = mirrored.five_points[[1, 0, 2, 4, 3]]
        again[:, 0] = _SPEC.size - 1 - again[:, 0]
        points = landmarks.five_points(aligned.landmarks)
        apart = np.linalg.norm(again - points, axis=1).max()
        return float(apart / np.linalg.norm(points[0] - points[1]))


def _head_border_fault(photo: np.ndarray, face: Face) -> str | None:
    crop_from_frame = estimate_crop_from_frame(face.five_points, _SPEC)
    outside = outside_share(crop_from_frame, photo.shape[:2])
    if outside > MAX_OUTSIDE:
        return f'cut by the border: {outside:.2f} > {MAX_OUTSIDE} of the crop'
    return None


def _face_border_fault(photo: np.ndarray, face: Face) -> str | None:
    height, width = photo.shape[:2]
    mesh = face.landmarks[:468]
    if mesh.min() < -0.5 or (mesh > (width - 0.5, height - 0.5)).any():
        return 'cut by the border: part of the face mesh is outside'
    outside = outline_outside(face.landmarks, (height, width))
    if outside > MAX_OUTLINE_OUTSIDE:
        return f"cut by the border: {outside:.2f} > {MAX_OUTLINE_OUTSIDE} of the face's outline"
    return None


def outside_share(crop_from_frame: np.ndarray, photo_size: tuple[int, int]) -> float:
    """Share of a 160-px crop that lies outside of the photo, 0 to 1.

    Args:
      crop_from_frame: (2, 3), to the crop.
      photo_size: height and width of the photo, pixels.
    """
    return 1 - float(inside_photo(crop_from_frame, photo_size, _SPEC.size).mean())


def outline_outside(points: np.ndarray, photo_size: tuple[int, int]) -> float:
    """Share of the area within a face's outline that lies outside of the photo, 0 to 1.

    Args:
      points: landmarks (478, 2), pixels of the photo.
      photo_size: height and width of the photo, pixels.
    """
    size = _FACE_SPEC.size
    crop_from_frame = estimate_crop_from_frame(landmarks.five_points(points), _FACE_SPEC)
    outline = face_outline(transform_points(crop_from_frame, points), size)
    face = cv2.fillConvexPoly(np.zeros((size, size), np.uint8), np.rint(outline).astype(int), 1)
    inside = inside_photo(crop_from_frame, photo_size, size)
    return 1 - float(inside[face > 0].mean())


def eye_brightness(aligned: AlignedFace) -> float:
    """Brightness of the surroundings of the eyes over that of cheeks and nose.

    The brighter part (80th percentile) of the brighter eye counts, so that make-up and a shadow
    from the side leave it near 1 and only something dark before both eyes makes it small.

    Args:
      aligned: a head crop.
    """
    grey = cv2.cvtColor(aligned.crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    skin = np.rint(aligned.landmarks[list(_CHEEKS_AND_NOSE)]).astype(int)
    x, y = np.clip(skin, 0, len(grey) - 1).T
    # Where a photo is black, this would divide by nothing.
    cheeks = max(float(np.median(grey[y, x])), 8.0)
    return max(_bright(grey, aligned.landmarks[list(ring)]) for ring in _EYE_SURROUNDINGS) / cheeks


def _bright(grey: np.ndarray, ring: np.ndarray) -> float:
    mask = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(ring).astype(np.int32)), 1)
    return float(np.percentile(grey[mask > 0], 80)) if mask.any() else 0.0
