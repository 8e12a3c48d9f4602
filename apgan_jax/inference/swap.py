"""Swapping files: photos, folders, videos and cameras in; marked photos and videos out."""

import contextlib
import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face import blending
from apgan_jax.face.finding import FaceFinder, FoundFaces
from apgan_jax.face.tracking import Embed, FaceTracker, TrackedFace
from apgan_jax.files.image_files import images_in
from apgan_jax.files.photo_writing import PHOTO_OUTPUT_SUFFIXES, write_photo
from apgan_jax.files.photos import WholePhoto, is_photo, read_photo
from apgan_jax.inference.face_counts import FaceCounts
from apgan_jax.inference.frame_swapper import FrameSwapper, Swapped
from apgan_jax.inference.label import render_label
from apgan_jax.inference.last_look import LastLook
from apgan_jax.inference.photo_painting import paint_photo
from apgan_jax.inference.session import Session, SessionState
from apgan_jax.inference.swapper import Swapper
from apgan_jax.provenance import manifest
from apgan_jax.provenance.credentials import Credentials
from apgan_jax.video.encoding import Encoding
from apgan_jax.video.reader import VideoReader, is_camera
from apgan_jax.video.segments import remove_segments
from apgan_jax.video.writer import VIDEO_SUFFIXES, VideoStats, VideoWriter

IMAGE_OUTPUT_SUFFIXES = PHOTO_OUTPUT_SUFFIXES
_DEFAULT_ENCODING = Encoding()


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
      allow_none: whether a target in which no face is changed is written all the same.
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
    """

    counts: FaceCounts
    video: VideoStats | None = None
    not_kept: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The report for a terminal."""
        lost = [f'not kept: {", ".join(self.not_kept)}'] if self.not_kept else []
        return self.counts.lines() + lost + (_video_lines(self.video) if self.video else [])


def _video_lines(stats: VideoStats) -> list[str]:
    lines = []
    if stats.decode_errors or stats.lost_seconds:
        lines.append(
            f'the target is damaged: {stats.decode_errors} errors, {stats.lost_seconds:.2f} s '
            'could not be read'
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


def check_files(target: Path | str, output: Path, *, overwrite: bool = False) -> None:
    """Refuses what cannot end well, before any work is done.

    Raises:
      UserError: target missing, output existing or of a kind that cannot carry the mark or does
        not fit the target.
    """
    if not is_camera(target) and not Path(target).exists():
        raise UserError(f'--target {target}: no such file; give a photo, a video or a folder')
    if not output.parent.is_dir():
        raise UserError(f'--output {output}: {output.parent} is no folder; make it first')
    if is_folder(target):
        _check_folder(Path(target), output)
        return
    check_output(output, _fitting(target), overwrite=overwrite)
    if output.exists() and not is_camera(target) and output.samefile(target):
        raise UserError(f'--output {output}: is the target itself; choose another name')


def check_output(
    output: Path, suffixes: Iterable[str] = IMAGE_OUTPUT_SUFFIXES, *, overwrite: bool = False
) -> None:
    """Refuses an output's name.

    Raises:
      UserError: it exists, has none of the suffixes, or its folder does not exist.
    """
    if output.exists() and not overwrite:
        raise UserError(f'--output {output}: exists already; choose another name or --overwrite')
    if output.suffix.lower() not in suffixes:
        raise UserError(
            f'--output {output}: for this target the name must end in {", ".join(suffixes)}'
        )
    if not output.parent.is_dir():
        raise UserError(f'--output {output}: {output.parent} is no folder; make it first')


def check_sheet(target: Path | str) -> None:
    """Refuses a contact sheet of what cannot be looked at twice.

    Raises:
      UserError: the target is a camera.
    """
    if is_camera(target):
        raise UserError(
            f'--contact-sheet with --target {target}: a camera cannot be looked at twice; leave it '
            'out'
        )


def count_frames(target: Path | str, how: Output) -> int | None:
    """Frames of a target, about, for a progress bar; None where nobody knows.

    Raises:
      UserError: the target cannot be read.
    """
    if is_folder(target):
        return len(images_in(Path(target)))
    if is_camera(target):
        return None
    if _is_photo(target):
        return 1
    with VideoReader(target, start=how.start, end=how.end) as reader:
        seconds = reader.info.duration_seconds
        whole = how.start is None and how.end is None
        frames = reader.info.frames if whole else None
        return frames or (round(seconds * float(reader.rate)) if seconds else None)


def _fitting(target: Path | str) -> tuple[str, ...]:
    return IMAGE_OUTPUT_SUFFIXES if _is_photo(target) else VIDEO_SUFFIXES


def _check_folder(target: Path, output: Path) -> None:
    if not images_in(target):
        raise UserError(f'--target {target}: holds no image; give a folder of photos or frames')
    if output.exists():
        raise UserError(f'--output {output}: exists already; choose a name for a new folder')


def is_folder(target: Path | str) -> bool:
    """Whether a target is a folder of images."""
    return not is_camera(target) and Path(target).is_dir()


def _is_photo(target: Path | str) -> bool:
    return not is_camera(target) and is_photo(Path(target))


def swap_file(
    target: Path | str,
    output: Path,
    *,
    job: Job,
    how: Output = Output(),
    on_frame: Callable[[], Any] | None = None,
) -> SwapReport:
    """Swaps the faces of a target and marks the output.

    Nothing appears under the output's name before it is complete and signed.

    Args:
      target: photo, video, folder of images or camera (`camera:0`).
      output: see `check_files`; one that exists is replaced.
      job: who becomes whom.
      how: what is written.
      on_frame: called after each frame.

    Raises:
      UserError: the target cannot be read, shows no face at all (photos), or the output cannot be
        written or signed.
    """
    if is_folder(target):
        return _swap_folder(Path(target), output, job, how, on_frame)
    if _is_photo(target):
        report = _swap_photo(Path(target), output, job, how)
        if on_frame:
            on_frame()
        return report
    try:
        with _marked(target, output, job, how) as (unsigned, edit):
            report = _swap_video(target, output, unsigned, job, how, on_frame)
            edit.faces_swapped, edit.faces_blurred = report.counts.swapped, report.counts.blurred
    except manifest.SigningError as error:
        if is_camera(target):
            raise
        raise UserError(f'{error}; the same command with --resume goes on from there') from error
    remove_segments(_parts_of(output))
    return report


def _parts_of(output: Path) -> Path:
    """The folder of what is done of a video, until its output is signed."""
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


def _swap_photo(target: Path, output: Path, job: Job, how: Output) -> SwapReport:
    with _marked(target, output, job, how) as marked:
        photo = read_photo(target)
        with FaceFinder() as finder:
            found = finder.find(photo.rgb)
        counts, not_kept = _swap_faces(photo, found, marked, job, how)
        _check_counts(counts, target, how)
        return SwapReport(counts, not_kept=not_kept)


def _changes_something(found: FoundFaces, job: Job) -> bool:
    """Whether a photo will show less of its people: unread faces can be hidden, not swapped."""
    return bool(found.faces) or (job.kind == 'anonymised' and len(found.unread) > 0)


def _swap_faces(
    photo: WholePhoto,
    found: FoundFaces,
    marked: tuple[Path, manifest.Edit],
    job: Job,
    how: Output,
) -> tuple[FaceCounts, tuple[str, ...]]:
    """Writes a photo with its faces swapped; says also what of it could not be kept."""
    unsigned, edit = marked
    done = _swapped(photo.rgb, found, job.begin(), job.look and job.look())
    # Nothing but the picture, where nobody is to be known by it.
    photo = photo.bare() if job.kind == 'anonymised' else photo
    patches = [*done.patches, *_label(how.label, photo.rgb.shape)]
    not_kept = write_photo(unsigned, paint_photo(photo, patches))
    edit.faces_swapped, edit.faces_blurred = done.counts.swapped, done.counts.blurred
    return done.counts, photo.not_kept + not_kept


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
    for left, top, width, height in found.unread:
        frame_swapper.give_up(done, (left, top, left + width, top + height))
    if last_look is not None:
        ((done, _),) = last_look.run([(done, None)])
    return done


def _swap_folder(
    folder: Path, output: Path, job: Job, how: Output, on_frame: Callable[[], Any] | None
) -> SwapReport:
    """Each image by itself; those without a face are copied as they are."""
    counts = FaceCounts()
    not_kept: list[str] = []
    paths = images_in(folder)
    names = _output_names(paths)
    output.mkdir()
    with FaceFinder() as finder:
        for path in paths:
            photo = read_photo(path)
            found = finder.find(photo.rgb)
            if _changes_something(found, job):
                with _marked(path, output / names[path], job, how) as marked:
                    done, lost = _swap_faces(photo, found, marked, job, how)
                counts.add(done)
                not_kept += lost
            else:
                _pass_on(path, photo, output, names[path], job)
                counts.add(FaceCounts(frames=1, without_face=1))
            if on_frame:
                on_frame()
    counts.forget_people()
    return SwapReport(counts, not_kept=tuple(dict.fromkeys(not_kept)))


def _pass_on(path: Path, photo: WholePhoto, folder: Path, name: str, job: Job) -> None:
    """A photo without a face: as it is or, where people are anonymised, its picture alone."""
    if job.kind == 'anonymised':
        write_photo(folder / name, photo.bare())
    else:
        shutil.copyfile(path, folder / path.name)


def _output_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A photo's own name if its format can carry the mark; else a PNG's that no other one has."""
    names = {path: path.name for path in paths if path.suffix.lower() in IMAGE_OUTPUT_SUFFIXES}
    # Some file systems do not tell A from a.
    taken = {name.casefold() for name in names.values()}
    stems = Counter(path.stem.casefold() for path in paths)
    for path in paths:
        if path not in names:
            name = f'{path.stem if stems[path.stem.casefold()] == 1 else path.name}.png'
            while name.casefold() in taken:
                name += '.png'
            names[path] = name
            taken.add(name.casefold())
    return names


def _swap_video(
    target: Path | str,
    output: Path,
    unsigned: Path,
    job: Job,
    how: Output,
    on_frame: Callable[[], Any] | None,
) -> SwapReport:
    bundle = job.swapper.bundle
    fingerprint = {**job.fingerprint, 'bundle': bundle.sha256, 'label': how.label}
    with (
        VideoReader(target, start=how.start, end=how.end) as reader,
        FaceTracker(thorough=job.kind == 'anonymised', embed=job.embed) as tracker,
    ):
        writer = VideoWriter(
            unsigned,
            reader,
            encoding=how.encoding,
            parts=_parts_of(output),
            resume=how.resume,
            job=fingerprint,
            bare=job.kind == 'anonymised',
        )
        session = Session(tracker, job.begin(), job.look and job.look())
        counts = FaceCounts()
        if writer.restored_notes is not None:
            state = SessionState.of_tree(writer.restored_notes)
            session.restore(state)
            counts.add(state.counts)
        label = _label(how.label, (reader.info.height, reader.info.width))
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
        stats = writer.finish(keep_parts=True)
    try:
        _check_counts(counts, target, how)
    except UserError:
        # There is nothing to go on with.
        remove_segments(_parts_of(output))
        raise
    return SwapReport(counts, stats)


def _check_counts(counts: FaceCounts, target: Path | str, how: Output) -> None:
    """Refuses what must not be written under the output's name.

    Raises:
      UserError: nobody was swapped or blurred, or not everybody safely.
    """
    if how.strict and counts.doubtful:
        places = '; '.join(map(str, counts.doubtful))
        raise UserError(
            f'--target {target}: {len(counts.doubtful)} faces may be recognisable still '
            f'({places}); cut them out, or leave out --strict and look at them'
        )
    if how.allow_none or counts.swapped or counts.blurred:
        return
    if not counts.people:
        raise UserError(
            f'--target {target}: no face found that can be swapped, nothing was written; give one '
            'with a clear face, or --allow-none'
        )
    raise UserError(
        f'--target {target}: {counts.left} faces seen, none of them chosen, nothing was written; '
        'choose another --face, or --allow-none'
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
