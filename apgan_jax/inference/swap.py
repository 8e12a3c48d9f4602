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
from apgan_jax.files.image_files import images_in, is_image, read_image, write_image
from apgan_jax.inference.frame_swapper import FaceCounts, FrameSwapper
from apgan_jax.inference.label import render_label
from apgan_jax.inference.session import Session, SessionState
from apgan_jax.inference.swapper import Swapper
from apgan_jax.provenance import manifest
from apgan_jax.provenance.credentials import Credentials
from apgan_jax.video.encoding import Encoding
from apgan_jax.video.reader import VideoReader, is_camera
from apgan_jax.video.segments import remove_segments
from apgan_jax.video.writer import VIDEO_SUFFIXES, VideoStats, VideoWriter

IMAGE_OUTPUT_SUFFIXES = ('.jpg', '.jpeg', '.png')
_MAX_FACES = 8
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
    """

    encoding: Encoding = _DEFAULT_ENCODING
    start: float | None = None
    end: float | None = None
    label: str | None = None
    credentials: Credentials | None = None
    resume: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """Who becomes whom, and how.

    Attributes:
      swapper: the model.
      begin: makes what swaps the faces of one target and knows nobody of it yet.
      embed: of a face, by which the tracker knows people again.
      kind: 'swapped' or 'anonymised', for the manifest.
      fingerprint: JSON values that tell this job from another one, for resuming.
    """

    swapper: Swapper
    begin: Callable[[], FrameSwapper]
    embed: Embed
    kind: manifest.EditKind = 'swapped'
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SwapReport:
    """What became of a target.

    Attributes:
      counts: of its faces.
      video: what became of the streams; None for photos.
    """

    counts: FaceCounts
    video: VideoStats | None = None

    def lines(self) -> list[str]:
        """The report for a terminal."""
        counts = self.counts
        lines = [f'{counts.swapped} faces swapped in {counts.frames} frames']
        if counts.blurred:
            lines.append(f'{counts.blurred} faces could not be swapped safely and were blurred')
        if counts.without_face:
            lines.append(f'{counts.without_face} frames without a face were left unchanged')
        if counts.left:
            lines.append(f'{counts.left} faces were left as they are')
        if len(counts.people) > 1:
            seen = ', '.join(f'{who}: {n} frames' for who, n in sorted(counts.people.items()))
            lines.append(f'{len(counts.people)} people ({seen})')
        return lines + (_video_lines(self.video) if self.video else [])


def _video_lines(stats: VideoStats) -> list[str]:
    lines = []
    if stats.decode_errors or stats.lost_seconds:
        lines.append(
            f'the target is damaged: {stats.decode_errors} errors, {stats.lost_seconds:.2f} s '
            'could not be read'
        )
    if stats.audio_transcoded:
        lines.append(f'{stats.audio_transcoded} sound tracks were converted to AAC')
    if stats.subtitles_converted:
        lines.append(f'{stats.subtitles_converted} subtitle tracks were converted to mov_text')
    if any(stats.padded):
        lines.append('{} lines and {} columns were added, for 4:2:0'.format(*stats.padded))
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
    manifest.check_signable(output)
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
    return not is_camera(target) and is_image(Path(target))


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


def _swap_photo(target: Path, output: Path, job: Job, how: Output) -> SwapReport:
    with _marked(target, output, job, how) as marked:
        photo = read_image(target)
        with FaceFinder() as finder:
            found = finder.find(photo)
        if not _changes_something(found, job):
            raise UserError(f'--target {target}: no face found; give a photo with a clear face')
        return SwapReport(_swap_faces(photo, found, marked, job, how))


def _changes_something(found: FoundFaces, job: Job) -> bool:
    """Whether a photo will show less of its people: unread faces can be hidden, not swapped."""
    return bool(found.faces) or (job.kind == 'anonymised' and len(found.unread) > 0)


def _swap_faces(
    photo: np.ndarray,
    found: FoundFaces,
    marked: tuple[Path, manifest.Edit],
    job: Job,
    how: Output,
) -> FaceCounts:
    """Writes a photo with its faces swapped."""
    unsigned, edit = marked
    picture, counts = swap_picture(photo, found, job.begin())
    write_image(unsigned, with_patches(picture, _label(how.label, photo.shape)))
    edit.faces_swapped, edit.faces_blurred = counts.swapped, counts.blurred
    return counts


def swap_picture(
    picture: np.ndarray, found: FoundFaces, frame_swapper: FrameSwapper
) -> tuple[np.ndarray, FaceCounts]:
    """A photo with its faces swapped.

    Args:
      picture: RGB uint8 (h, w, 3), not changed.
      found: its faces.
      frame_swapper: that knows nobody yet.

    Returns:
      RGB uint8 (h, w, 3), and what became of the faces.
    """
    faces = [TrackedFace(person, face.landmarks) for person, face in enumerate(found.faces)]
    (done,) = frame_swapper.run([(_Photo(picture), faces)])
    for left, top, width, height in found.unread:
        frame_swapper.give_up(done, (left, top, left + width, top + height))
    return with_patches(picture, done.patches), done.counts


def with_patches(picture: np.ndarray, patches: Iterable[blending.Patch]) -> np.ndarray:
    """A copy of an RGB uint8 picture (h, w, 3) with patches blended in."""
    changed = picture.copy()
    for patch in patches:
        blending.paste(changed, patch)
    return changed


def _swap_folder(
    folder: Path, output: Path, job: Job, how: Output, on_frame: Callable[[], Any] | None
) -> SwapReport:
    """Each image by itself; those without a face are copied as they are."""
    counts = FaceCounts()
    paths = images_in(folder)
    names = _output_names(paths)
    output.mkdir()
    with FaceFinder() as finder:
        for path in paths:
            photo = read_image(path)
            found = finder.find(photo)
            if _changes_something(found, job):
                with _marked(path, output / names[path], job, how) as marked:
                    counts.add(_swap_faces(photo, found, marked, job, how))
            else:
                shutil.copyfile(path, output / path.name)
                counts.add(FaceCounts(frames=1, without_face=1))
            if on_frame:
                on_frame()
    # Numbers of people mean nothing from one photo to the next.
    counts.people.clear()
    return SwapReport(counts)


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
        FaceTracker(max_faces=_MAX_FACES, embed=job.embed) as tracker,
    ):
        writer = VideoWriter(
            unsigned,
            reader,
            encoding=how.encoding,
            parts=_parts_of(output),
            resume=how.resume,
            job=fingerprint,
        )
        session, counts = Session(tracker, job.begin()), FaceCounts()
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
        return SwapReport(counts, writer.finish(keep_parts=True))


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
