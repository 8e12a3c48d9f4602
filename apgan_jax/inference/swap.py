"""Swapping files: photos, videos and cameras in; marked photos and videos out."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face import blending
from apgan_jax.face.finding import FaceFinder, FoundFaces
from apgan_jax.face.tracking import Embed, FaceTracker, TrackedFace
from apgan_jax.files.photo_writing import write_photo
from apgan_jax.files.photos import is_photo, read_photo
from apgan_jax.inference.exposed import exposed
from apgan_jax.inference.face_counts import FaceCounts
from apgan_jax.inference.frame_swapper import FrameSwapper, Swapped
from apgan_jax.inference.label import render_label
from apgan_jax.inference.last_look import LastLook
from apgan_jax.inference.passing_on import PassingOn
from apgan_jax.inference.photo_painting import paint_photo
from apgan_jax.inference.session import Session, SessionState
from apgan_jax.inference.swapper import Swapper
from apgan_jax.provenance import manifest
from apgan_jax.provenance.credentials import Credentials
from apgan_jax.video.encoding import Encoding
from apgan_jax.video.reader import VideoReader, is_camera
from apgan_jax.video.segments import remove_segments
from apgan_jax.video.writer import VideoStats, VideoWriter

_DEFAULT_ENCODING = Encoding()
_MOST_ASPECT = 2


@dataclasses.dataclass(frozen=True)
class Output:
    """What is written, beside the swapped faces.

    Attributes:
      encoding: of videos.
      start: of a video, seconds; None: its beginning.
      end: likewise.
      label: text of a visible label; None: no label.
      credentials: that sign; None: the user's own.
      resume: whether to go on after an interrupted run.
      strict: whether nothing is written if anybody may be recognisable.
      allow_none: whether a target in which no face is changed is passed on, without a mark.
    """

    encoding: Encoding = _DEFAULT_ENCODING
    start: float | None = None
    end: float | None = None
    label: str | None = None
    credentials: Credentials | None = None
    resume: bool = False
    strict: bool = False
    allow_none: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """Who becomes whom, and how.

    Attributes:
      swapper: the model.
      begin: makes what swaps the faces of one target and knows nobody of it yet.
      embed: of a face, by which the tracker knows people again.
      look: makes what looks for people in what is about to be written; None: nobody does.
      kind: 'swapped' or 'anonymised', for the manifest.
      fingerprint: JSON values that tell this job from another one, for resuming.
    """

    swapper: Swapper
    begin: Callable[[], FrameSwapper]
    embed: Embed
    look: Callable[[], LastLook] | None = None
    kind: manifest.EditKind = 'swapped'
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SwapReport:
    """What became of a target.

    Attributes:
      counts: of its faces.
      video: what became of the streams; None for photos.
      not_kept: what photos had beside their faces and their copies have not.
      pairs: files and what became of them, in order; of a camera none.
      failed: why files of a folder could not be done, by their names.
    """

    counts: FaceCounts
    video: VideoStats | None = None
    not_kept: tuple[str, ...] = ()
    pairs: list[tuple[Path, Path]] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)

    def lines(self) -> list[str]:
        """The report for a terminal."""
        return self.counts.lines() + self.file_lines()

    def file_lines(self) -> list[str]:
        """The part of the report that is not on faces."""
        lost = [f'not kept: {", ".join(self.not_kept)}'] if self.not_kept else []
        return lost + (_video_lines(self.video) if self.video else [])


def _video_lines(stats: VideoStats) -> list[str]:
    lines = []
    if stats.lost_seconds:
        lines.append(
            f'the target is damaged: {stats.lost_seconds:.2f} s could not be read '
            f'(errors: {stats.decode_errors})'
        )
    elif stats.decode_errors:
        lines.append(f'damaged places of the target that were concealed: {stats.decode_errors}')
    if stats.unread_bytes:
        lines.append(
            f"the target's last {stats.unread_bytes:,} bytes could not be read; another recording "
            'may be joined to it there'
        )
    if stats.clock_restarts:
        times = f'{stats.clock_restarts} times'
        lines.append(f"the target's clock begins anew {times}; its parts follow each other")
    if stats.fitted_frames:
        lines.append(
            f'{stats.fitted_frames} frames of another size, format or rotation were made like the '
            'first one'
        )
    if stats.audio_transcoded:
        lines.append(f'converted to AAC: {", ".join(stats.transcoded_streams)}')
    if stats.subtitles_converted:
        lines.append(f'{stats.subtitles_converted} subtitle tracks were converted to mov_text')
    if any(stats.padded):
        lines.append('{} lines and {} columns were added, for 4:2:0'.format(*stats.padded))
    if stats.not_kept:
        lines.append(f'not kept: {", ".join(stats.not_kept)}')
    if stats.dropped_streams:
        lines.append(f'left out: {", ".join(stats.dropped_streams)}')
    return lines


class NothingChangedError(UserError):
    """No face of a target was changed, so nothing was written.

    Attributes:
      counts: of its faces.
    """

    def __init__(self, message: str, counts: FaceCounts) -> None:
        super().__init__(message)
        self.counts = counts


def swap_file(
    target: Path | str,
    output: Path,
    *,
    job: Job,
    how: Output = Output(),
    on_frame: Callable[[], Any] | None = None,
) -> SwapReport:
    """Swaps the faces of a target and marks the output.

    Nothing appears under the output's name before it is complete and signed. A file in which no
    face is changed gets no mark, if it may be written at all.

    Args:
      target: photo, video or camera (`camera:0`).
      output: see `targets.check_files`; one that exists is replaced.
      job: who becomes whom.
      how: what is written.
      on_frame: called after each frame.

    Raises:
      NothingChangedError: no face was swapped or blurred.
      UserError: the target cannot be read, or the output cannot be written or signed.
    """
    if is_camera(target):
        return swap_video(target, output, job=job, how=how, on_frame=on_frame)
    target, careful = Path(target), dataclasses.replace(how, allow_none=False)
    try:
        if is_photo(target):
            with FaceFinder() as finder:
                report = swap_photo(target, output, finder, job=job, how=careful)
            if on_frame:
                on_frame()
        else:
            report = swap_video(target, output, job=job, how=careful, on_frame=on_frame)
    except NothingChangedError as nothing:
        if not how.allow_none:
            raise
        passed_on = passing_on(job, how).put(target, output)
        report = SwapReport(nothing.counts, passed_on.video, passed_on.not_kept)
    report.pairs.append((target, output))
    return report


def passing_on(job: Job, how: Output) -> PassingOn:
    """What becomes of files in which no face is changed."""
    return PassingOn(job.kind == 'anonymised', how.encoding, how.start, how.end)


def swap_photo(
    target: Path, output: Path, finder: FaceFinder, *, job: Job, how: Output
) -> SwapReport:
    """Swaps the faces of a photo; see `swap_file`.

    Args:
      target: the photo.
      output: see `swap_file`.
      finder: of faces, which may have been used for other photos.
      job: see `swap_file`.
      how: see `swap_file`.

    Raises:
      NothingChangedError: no face was swapped or blurred.
      UserError: see `swap_file`.
    """
    with _marked(target, output, job, how) as (unsigned, edit):
        photo, gain = read_photo(target), 1.0
        if job.kind == 'anonymised':
            photo, gain = exposed(photo, finder)
        done = _swapped(photo.rgb, finder.find(photo.rgb), job.begin(), job.look and job.look())
        _check_counts(done.counts, target, how)
        # Nothing but the picture, where nobody is to be known by it.
        photo = photo.bare() if job.kind == 'anonymised' else photo
        painted = paint_photo(photo, done.patches)
        painted = painted if gain == 1 else painted.multiplied(1 / gain)
        not_kept = write_photo(unsigned, paint_photo(painted, _label(how.label, photo.rgb.shape)))
        edit.faces_swapped, edit.faces_blurred = done.counts.swapped, done.counts.blurred
    return SwapReport(done.counts, not_kept=photo.not_kept + not_kept)


def swap_video(
    target: Path | str,
    output: Path,
    *,
    job: Job,
    how: Output,
    on_frame: Callable[[], Any] | None = None,
) -> SwapReport:
    """Swaps the faces of a video or of what a camera shows; see `swap_file`.

    Raises:
      NothingChangedError: no face was swapped or blurred.
      UserError: see `swap_file`.
    """
    try:
        with _marked(target, output, job, how) as (unsigned, edit):
            report = _swap_video(target, output, unsigned, job, how, on_frame)
            edit.faces_swapped, edit.faces_blurred = report.counts.swapped, report.counts.blurred
    except manifest.SigningError as error:
        if is_camera(target):
            raise
        raise UserError(f'{error}; the same command with --resume goes on from there') from error
    remove_segments(parts_of(output))
    return report


def parts_of(output: Path) -> Path:
    """Where what is done of a video or folder is kept, until its output is whole."""
    return output.with_name(f'.{output.name}.parts')


@contextlib.contextmanager
def _marked(
    target: Path | str, output: Path, job: Job, how: Output
) -> Iterator[tuple[Path, manifest.Edit]]:
    """Where to write, and what to fill in of what was done."""
    edit = manifest.Edit(kind=job.kind, label=how.label)
    bundle = job.swapper.bundle
    with manifest.marked_output(
        output,
        parent=None if is_camera(target) else Path(target),
        model_name=bundle.name,
        bundle_sha256=bundle.sha256,
        edit=edit,
        credentials=how.credentials,
    ) as unsigned:
        yield unsigned, edit


@dataclasses.dataclass(frozen=True)
class _Photo:
    rgb: np.ndarray
    time: float = 0.0


def swap_picture(
    picture: np.ndarray,
    found: FoundFaces,
    frame_swapper: FrameSwapper,
    last_look: LastLook | None = None,
) -> tuple[np.ndarray, FaceCounts]:
    """A photo with its faces swapped.

    Args:
      picture: RGB uint8 (h, w, 3), not changed.
      found: its faces.
      frame_swapper: that knows nobody yet.
      last_look: likewise, at what is made; None: nobody looks.

    Returns:
      RGB uint8 (h, w, 3), and what became of the faces.
    """
    done = _swapped(picture, found, frame_swapper, last_look)
    return blending.with_patches(picture, done.patches), done.counts


def _swapped(
    picture: np.ndarray,
    found: FoundFaces,
    frame_swapper: FrameSwapper,
    last_look: LastLook | None,
) -> Swapped[_Photo]:
    """The patches that `swap_picture` blends in."""
    faces = [TrackedFace(person, face.landmarks) for person, face in enumerate(found.faces)]
    (done,) = frame_swapper.run([(_Photo(picture), faces)])
    for place in found.unread:
        frame_swapper.give_up(done, place.box)
    if last_look is not None:
        ((done, _),) = last_look.run([(done, None)])
    return done


def _swap_video(
    target: Path | str,
    output: Path,
    unsigned: Path,
    job: Job,
    how: Output,
    on_frame: Callable[[], Any] | None,
) -> SwapReport:
    bundle, is_anonymous = job.swapper.bundle, job.kind == 'anonymised'
    fingerprint = {**job.fingerprint, 'bundle': bundle.sha256, 'label': how.label}
    with (
        VideoReader(target, start=how.start, end=how.end) as reader,
        FaceTracker(thorough=is_anonymous, embed=job.embed) as tracker,
    ):
        label = _label(how.label, (reader.info.height, reader.info.width))
        if is_anonymous:
            _check_aspect(target, reader.info.pixel_aspect)
        writer = VideoWriter(
            unsigned,
            reader,
            encoding=how.encoding,
            parts=parts_of(output),
            resume=how.resume,
            job=fingerprint,
            bare=is_anonymous,
        )
        pixels = reader.info.height * reader.info.width
        session = Session(tracker, job.begin(), job.look and job.look(), pixels=pixels)
        counts = FaceCounts()
        if writer.restored_notes is not None:
            state = SessionState.of_tree(writer.restored_notes)
            session.restore(state)
            counts.add(state.counts)
        frames = writer.in_segments(reader.frames(writer.next_frame))
        with (
            contextlib.closing(session.run(frames)) as swapped,
            _stopped_by_user(allowed=reader.is_live),
        ):
            for done, after in swapped:
                writer.write(done.frame, [*done.patches, *label], after and after.tree())
                counts.add(done.counts)
                if on_frame:
                    on_frame()
        try:
            _check_counts(counts, target, how)
        except UserError:
            # There is nothing to go on with.
            remove_segments(parts_of(output))
            raise
        return SwapReport(counts, writer.finish(keep_parts=True))


def _check_aspect(target: Path | str, aspect: Fraction | None) -> None:
    """Refuses pixels so long that nobody's face is one in the stored frame."""
    if aspect is not None and not 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:
        raise UserError(
            f'--target {target}: has pixels of {aspect.numerator}:{aspect.denominator}, of more '
            f'than {_MOST_ASPECT}:1 faces are not found; make them square first'
        )


def _check_counts(counts: FaceCounts, target: Path | str, how: Output) -> None:
    """Refuses what must not be written under the output's name.

    Raises:
      NothingChangedError: nobody was swapped or blurred.
      UserError: not everybody was, safely.
    """
    if how.strict and counts.doubtful:
        places = '; '.join(map(str, counts.doubtful))
        raise UserError(
            f'--target {target}: {len(counts.doubtful)} faces may be recognisable still '
            f'({places}); cut them out, or leave out --strict and look at them'
        )
    if how.allow_none or counts.swapped or counts.blurred:
        return
    if counts.people:
        problem, remedy = f'{counts.left} faces seen, none of them chosen', 'choose another --face'
    else:
        problem, remedy = 'no face found that can be swapped', 'give one with a clear face'
    raise NothingChangedError(
        f'--target {target}: {problem}, nothing was written; {remedy}, or --allow-none', counts
    )


@contextlib.contextmanager
def _stopped_by_user(*, allowed: bool) -> Iterator[None]:
    """Ctrl-C ends a camera's video, and interrupts all else."""
    try:
        yield
    except KeyboardInterrupt:
        if not allowed:
            raise


def _label(text: str | None, shape: tuple[int, ...]) -> list[blending.Patch]:
    if text is None:
        return []
    picture, alpha, (left, top) = render_label(text, shape[0], shape[1])
    return [blending.Patch(picture, alpha, np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]]))]
