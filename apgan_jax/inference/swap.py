"""Swapping files: photos and videos in, marked photos and videos out."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face import blending, landmarks
from apgan_jax.face.aligned import AlignedFace, align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.tracking import LandmarkSmoother
from apgan_jax.identity_file import load_identity
from apgan_jax.image_files import is_image, read_image, write_image
from apgan_jax.inference import provenance, video
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.identity import IdentityEmbedding

IMAGE_OUTPUT_SUFFIXES = ('.jpg', '.jpeg', '.png')
VIDEO_OUTPUT_SUFFIXES = ('.mp4', '.mov', '.m4v')
_MAX_FACES = 4


@dataclasses.dataclass(frozen=True)
class SwapReport:
    """What became of a target.

    Attributes:
      frames: of the target; 1 for a photo.
      without_face: frames in which no face was found; they are unchanged.
      transcoding: what became of the streams, None for a photo.
    """

    frames: int
    without_face: int
    transcoding: video.VideoStats | None = None

    def lines(self) -> list[str]:
        """The report for a terminal."""
        lines = [f'{self.frames - self.without_face} of {self.frames} frames swapped']
        if self.without_face:
            lines.append(f'{self.without_face} frames without a face were left unchanged')
        if self.transcoding is None:
            return lines
        stats = self.transcoding
        if stats.decode_errors or stats.lost_seconds:
            lines.append(
                f'the target is damaged: {stats.decode_errors} errors, {stats.lost_seconds:.2f} s '
                'could not be read'
            )
        if stats.audio_transcoded:
            lines.append(f'{stats.audio_transcoded} sound tracks were converted to AAC')
        if stats.dropped_streams:
            lines.append(f'left out: {", ".join(stats.dropped_streams)}')
        return lines


class FrameSwapper:
    """Swaps the largest face of one frame after the other.

    Args:
      swapper: the model.
      identity: of the source, leading axis 1.
      landmarker: for video or for single images.
      smoother: of the landmarks over time; None for photos.
    """

    def __init__(
        self,
        swapper: Swapper,
        identity: IdentityEmbedding,
        landmarker: landmarks.FaceLandmarker,
        smoother: LandmarkSmoother | None = None,
    ) -> None:
        self._swapper = swapper
        self._identity = identity
        self._landmarker = landmarker
        self._smoother = smoother
        self.without_face = 0

    def __call__(self, frame: np.ndarray, time_seconds: float = 0.0) -> np.ndarray | None:
        """Swaps RGB uint8 (h, w, 3) into a new array; None where there is no face."""
        aligned = self._find(frame, time_seconds)
        if aligned is None:
            self.without_face += 1
            return None
        swapped = self._swapper.swap(aligned.crop[None], aligned.boundary_map[None], self._identity)
        result = frame.copy()
        blending.paste(result, swapped[0], aligned.crop_from_frame)
        return result

    def _find(self, frame: np.ndarray, time_seconds: float) -> AlignedFace | None:
        face = landmarks.largest(self._landmarker.detect(frame, time_seconds))
        if face is None:
            return None
        points = face.landmarks
        if self._smoother is not None:
            points = self._smoother(points, time_seconds)
        return align_face(frame, points, self._swapper.bundle.crop_spec)


def load_source(paths: Sequence[Path], swapper: Swapper) -> IdentityEmbedding:
    """The identity of a source: one saved identity, or the mean over photos (k-shot).

    Args:
      paths: photos of one person, or one identity file.
      swapper: the model.

    Returns:
      Leading axis 1.

    Raises:
      UserError: a photo is unreadable or shows no face, or the identity file does not fit.
    """
    saved = [path for path in paths if Path(path).suffix == '.safetensors']
    if saved:
        if len(paths) > 1:
            raise UserError(
                f'--source {saved[0]}: an identity file stands alone; give either one identity '
                'file or photos'
            )
        return load_identity(paths[0], swapper.bundle.identity_encoder)
    spec = swapper.bundle.crop_spec
    with landmarks.FaceLandmarker(max_faces=_MAX_FACES) as landmarker:
        crops = [_source_crop(Path(path), landmarker, spec) for path in paths]
    return swapper.embed_source(crops)


def _source_crop(path: Path, landmarker: landmarks.FaceLandmarker, spec: CropSpec) -> np.ndarray:
    photo = read_image(path)
    face = landmarks.largest(landmarker.detect(photo))
    if face is None:
        raise UserError(f'{path}: no face found; give a photo with a clear, large face')
    return align_face(photo, face.landmarks, spec).crop


def check_files(target: Path, output: Path, *, overwrite: bool = False) -> None:
    """Refuses what cannot end well, before any work is done.

    Raises:
      UserError: target missing, output existing or of a kind that cannot carry the mark or does
        not fit the target.
    """
    if not target.is_file():
        raise UserError(f'--target {target}: no such file; give a photo or a video')
    if output.exists() and not overwrite:
        raise UserError(f'--output {output}: exists already; choose another name or --overwrite')
    if output.exists() and output.samefile(target):
        raise UserError(f'--output {output}: is the target itself; choose another name')
    provenance.check_signable(output)
    fitting = IMAGE_OUTPUT_SUFFIXES if is_image(target) else VIDEO_OUTPUT_SUFFIXES
    if output.suffix.lower() not in fitting:
        raise UserError(
            f'--output {output}: for this target the name must end in {", ".join(fitting)}'
        )
    if not output.parent.is_dir():
        raise UserError(f'--output {output}: {output.parent} is no folder; make it first')


def check_picture(path: Path, *, overwrite: bool = False) -> None:
    """Refuses a picture's name as `check_files` does a video's.

    Raises:
      UserError: it exists, or is no PNG or JPEG in an existing folder.
    """
    if path.exists() and not overwrite:
        raise UserError(f'{path}: exists already; choose another name or --overwrite')
    if path.suffix.lower() not in IMAGE_OUTPUT_SUFFIXES:
        raise UserError(f'{path}: the name must end in {", ".join(IMAGE_OUTPUT_SUFFIXES)}')
    if not path.parent.is_dir():
        raise UserError(f'{path}: {path.parent} is no folder; make it first')


def swap_file(
    target: Path,
    output: Path,
    *,
    swapper: Swapper,
    identity: IdentityEmbedding,
    on_frame: Callable[[], None] | None = None,
) -> SwapReport:
    """Swaps the largest face of a photo or of each frame of a video and marks the output.

    Nothing appears under the output's name before it is complete and signed.

    Args:
      target: photo or video.
      output: see `check_files`; one that exists is replaced.
      swapper: the model.
      identity: of the source, leading axis 1.
      on_frame: called after each frame.

    Returns:
      The report.

    Raises:
      UserError: the target cannot be read, shows no face at all (photos), or the output cannot be
        written or signed.
    """
    bundle = swapper.bundle
    make = _swap_photo if is_image(target) else _swap_video
    with provenance.marked_output(
        output, parent=target, model_name=bundle.name, bundle_sha256=bundle.sha256
    ) as unsigned:
        report = make(target, unsigned, swapper, identity, on_frame)
    return report


def _swap_photo(
    target: Path,
    unsigned: Path,
    swapper: Swapper,
    identity: IdentityEmbedding,
    on_frame: Callable[[], None] | None,
) -> SwapReport:
    photo = read_image(target)
    with landmarks.FaceLandmarker(max_faces=_MAX_FACES) as landmarker:
        swapped = FrameSwapper(swapper, identity, landmarker)(photo)
    if swapped is None:
        raise UserError(f'--target {target}: no face found; give a photo with a clear face')
    write_image(unsigned, swapped)
    if on_frame:
        on_frame()
    return SwapReport(frames=1, without_face=0)


def _swap_video(
    target: Path,
    unsigned: Path,
    swapper: Swapper,
    identity: IdentityEmbedding,
    on_frame: Callable[[], None] | None,
) -> SwapReport:
    with landmarks.FaceLandmarker(max_faces=_MAX_FACES, video=True) as landmarker:
        frame_swapper = FrameSwapper(swapper, identity, landmarker, LandmarkSmoother())
        stats = video.transform_video(target, unsigned, frame_swapper, on_frame=on_frame)
    return SwapReport(stats.frames, frame_swapper.without_face, stats)
