"""Swapping folders: each photo and video by itself, under the same name in the same tree.

An output appears only when it is whole, and signed where a face was changed. So a run that goes on
takes an output that is there for finished if its own mark says so, or if it is what is passed on of
its target; it writes over nothing else. What was doubtful in it, the journal knows. A file that
cannot be done is named, and the others go on.
"""

import contextlib
import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from apgan_jax.errors import UserError, first_line
from apgan_jax.face.finding import FaceFinder
from apgan_jax.files.media import find_media
from apgan_jax.files.photo_writing import PHOTO_OUTPUT_SUFFIXES
from apgan_jax.files.photos import is_photo
from apgan_jax.files.plain_text import is_plain, plain
from apgan_jax.files.unfinished import unfinished_folder
from apgan_jax.inference.face_counts import FaceCounts
from apgan_jax.inference.folder_journal import FolderJournal
from apgan_jax.inference.swap import (
    Job,
    NothingChangedError,
    Output,
    SwapReport,
    parts_of,
    passing_on,
    swap_file,
    swap_photo,
    swap_video,
)
from apgan_jax.provenance import manifest
from apgan_jax.video.reader import is_camera
from apgan_jax.video.segments import remove_segments
from apgan_jax.video.writer import video_suffixes

_MOST_NAMES = 5


@dataclasses.dataclass(frozen=True)
class FolderReport(SwapReport):
    """What became of a folder; the counts are of all files that its journal knows.

    Attributes:
      notes: (name, line) of what else is to be told of a file.
      passed_on: names of files in which nothing was changed.
      finished: of those that an earlier run had finished.
      left_out: of what is neither photo nor video.
      is_bare: whether metadata is left out of what is passed on.
    """

    notes: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    passed_on: list[str] = dataclasses.field(default_factory=list)
    finished: list[str] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)
    is_bare: bool = False

    def lines(self) -> list[str]:
        """The report for a terminal."""
        is_idle = self.finished and not self.counts.frames
        counts = ['everything was finished before'] if is_idle else self.counts.lines()
        lines = [*counts, *_grouped(self.notes)]
        if self.passed_on:
            how = 'without metadata' if self.is_bare else 'unchanged'
            lines.append(f'passed on {how} and without a mark: {_named(self.passed_on)}')
        if self.finished:
            lines.append(f'finished before: {_named(self.finished)}')
        if self.left_out:
            lines.append(f'left out, neither photo nor video: {_named(self.left_out)}')
        return lines + [f'failed: {name}: {reason}' for name, reason in self.failed.items()]


def swap_target(
    target: Path | str,
    output: Path,
    *,
    job: Job,
    how: Output,
    on_frame: Callable[[], Any] | None = None,
) -> SwapReport:
    """`swap_folder` for a folder, `swap_file` for all else.

    Raises:
      UserError: see those.
    """
    if not is_camera(target) and Path(target).is_dir():
        return swap_folder(Path(target), output, job=job, how=how, on_frame=on_frame)
    return swap_file(target, output, job=job, how=how, on_frame=on_frame)


def swap_folder(
    folder: Path,
    output: Path,
    *,
    job: Job,
    how: Output,
    on_frame: Callable[[], Any] | None = None,
) -> FolderReport:
    """Swaps the faces of all photos and videos of a folder and of the folders in it.

    Args:
      folder: see `targets.check_files`; hidden files are passed over.
      output: a folder; where it exists, a run is gone on with.
      job: who becomes whom.
      how: what is written, of each file.
      on_frame: called after each frame.

    Raises:
      NothingChangedError: no face was changed in any file; what was passed on is removed.
      UserError: the output cannot be written, or the job that is gone on with was another one.
    """
    with unfinished_folder(output), FaceFinder() as finder:
        fingerprint = _fingerprint(job, how)
        journal = FolderJournal(parts_of(output), fingerprint, resume=how.resume)
        work = _FolderWork(folder, output, journal, finder, job, how, on_frame)
        work.run()
        try:
            work.check_changed()
        except NothingChangedError:
            work.remove_written()
            raise
        finally:
            is_done = not (work.report.failed or work.report.counts.doubtful)
            if is_done or not output.exists():
                journal.remove()
        return work.report


def output_names(folder: Path, files: Iterable[Path], codec: str = 'h264') -> dict[Path, Path]:
    """What the outputs of a folder's files are called.

    A file keeps its name if its format can carry the mark; else it becomes a PNG or an mp4 of a
    name that no other one has.

    Args:
      folder: whose files they are.
      files: relative to it, those of one folder together.
      codec: of videos.

    Returns:
      Names relative to the output's folder, by file.
    """
    names: dict[Path, Path] = {}
    for parent, group in groupby(files, key=lambda path: path.parent):
        siblings = list(group)
        # Some file systems do not tell A from a.
        taken = {path.name.casefold() for path in siblings}
        stems = Counter(path.stem.casefold() for path in siblings)
        for path in siblings:
            own, new = _suffixes(folder / path, codec)
            name = path.name
            if path.suffix.lower() not in own:
                name = f'{path.stem if stems[path.stem.casefold()] == 1 else path.name}{new}'
                while name.casefold() in taken:
                    name += new
                taken.add(name.casefold())
            names[path] = parent / name
    return names


def _suffixes(path: Path, codec: str) -> tuple[Sequence[str], str]:
    """Those that can stay, and what takes the place of others."""
    return (PHOTO_OUTPUT_SUFFIXES, '.png') if is_photo(path) else (video_suffixes(codec), '.mp4')


def _fingerprint(job: Job, how: Output) -> dict[str, Any]:
    """What all files of a folder have in common; a run that goes on must have it, too."""
    return {
        **job.fingerprint,
        'kind': job.kind,
        'bundle': job.swapper.bundle.sha256,
        'label': how.label,
        'encoding': dataclasses.asdict(how.encoding),
        'start': how.start,
        'end': how.end,
    }


class _FolderWork:
    """The files of a folder, one after the other; the arguments are `swap_folder`'s.

    Attributes:
      report: on what was done so far.
    """

    def __init__(
        self,
        folder: Path,
        output: Path,
        journal: FolderJournal,
        finder: FaceFinder,
        job: Job,
        how: Output,
        on_frame: Callable[[], Any] | None,
    ) -> None:
        self._folder, self._output, self._journal = folder, output, journal
        self._finder = finder
        # Whether enough was changed, all files together decide.
        self._job, self._how = job, dataclasses.replace(how, allow_none=False)
        self._allow_none, self._on_frame = how.allow_none, on_frame
        self._passing_on = passing_on(job, how)
        self._written: list[Path] = []
        media = find_media(folder, without=output)
        self._files = media.files
        self.report = FolderReport(
            FaceCounts(),
            left_out=[_shown(each) for each in media.left_out],
            is_bare=job.kind == 'anonymised',
        )
        for path, reason in media.unreadable.items():
            self.report.failed[_shown(path)] = f'cannot be looked into ({reason})'

    def run(self) -> None:
        """Does all files that can be done."""
        codec = self._how.encoding.codec
        for file, name in output_names(self._folder, self._files, codec).items():
            try:
                self._do(file, self._output / name)
            # Every kind, because one bad file must not end the job for the others.
            except Exception as error:
                self.report.failed[_shown(file)] = self._reason(file, error)

    def check_changed(self) -> None:
        """Makes sure that there was something to do.

        Raises:
          NothingChangedError: in no file, now or before.
        """
        counts, failed = self.report.counts, self.report.failed
        if self._allow_none or counts.swapped or counts.blurred:
            return
        if any(self._own_mark(output) for _, output in self.report.pairs):
            return
        reasons = [f'{name}: {reason}' for name, reason in failed.items()]
        why = f' ({_named(reasons, "; ")})' if reasons else ''
        raise NothingChangedError(
            f'--target {self._folder}: no face was changed in any of {len(self._files)} files'
            f'{why}, nothing was written; give others, choose another --face, or --allow-none',
            counts,
        )

    def remove_written(self) -> None:
        """Removes what this run has written, and the folders that are empty then."""
        for path in self._written:
            path.unlink(missing_ok=True)
        folders = [self._output, *(each for each in self._output.rglob('*') if each.is_dir())]
        for each in sorted(folders, reverse=True):
            with contextlib.suppress(OSError):  # Of those that hold something.
                each.rmdir()

    def _do(self, file: Path, output: Path) -> None:
        if not is_plain(str(file)):
            raise UserError('its name is no UTF-8 text of one line; rename it')
        target = self._folder / file
        place = self._finished_output(target, output)
        if place and self._is_known(file):
            counts = self._journal.counts_of(_shown(file)) or FaceCounts()
            self.report.finished.append(_shown(file))
            if not self._own_mark(place):
                self.report.passed_on.append(_shown(file))
            self._add(file, place, SwapReport(counts))
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            report = self._swap(target, output)
        except NothingChangedError as nothing:
            output = self._place_unchanged(target, output)
            passed_on = self._passing_on.put(target, output)
            report = SwapReport(nothing.counts, passed_on.video, passed_on.not_kept)
            self.report.passed_on.append(_shown(file))
        self._written.append(output)
        self._add(file, output, report)

    def _swap(self, target: Path, output: Path) -> SwapReport:
        if not is_photo(target):
            parts = parts_of(output)
            if parts.is_dir() and _is_older(parts, target):
                remove_segments(parts)
            return swap_video(target, output, job=self._job, how=self._how, on_frame=self._on_frame)
        try:
            return swap_photo(target, output, self._finder, job=self._job, how=self._how)
        finally:
            if self._on_frame:
                self._on_frame()

    def _add(self, file: Path, output: Path, report: SwapReport) -> None:
        """Notes what became of a file, for the report and for whoever goes on."""
        name, counts = _shown(file), report.counts
        counts.forget_people()
        self._journal.add(name, counts)
        counts.name_file(name)
        self.report.counts.add(counts)
        self.report.pairs.append((self._folder / file, output))
        self.report.notes.extend((name, line) for line in report.file_lines())

    def _place_unchanged(self, target: Path, output: Path) -> Path:
        """Where a file is passed on to: under its own name, if it is written as it is."""
        return output.with_name(target.name) if self._passing_on.copies(target) else output

    def _finished_output(self, target: Path, output: Path) -> Path | None:
        """What an earlier run made of a file; None if that is still to be done.

        Raises:
          UserError: something else is there.
        """
        for place in {output, self._place_unchanged(target, output)}:
            if not place.exists():
                continue
            if mark := self._own_mark(place):
                return None if _is_older(place, target) or _is_of_another(mark, target) else place
            if self._passing_on.has_put(target, place):
                return place
            raise UserError(f'{place} is there and not of this job, or damaged; remove it')
        return None

    def _is_known(self, file: Path) -> bool:
        """Whether nothing can have been doubtful in a finished file that nobody knows of."""
        is_noted = self._journal.counts_of(_shown(file)) is not None
        return is_noted or not self._journal.is_continued

    def _own_mark(self, output: Path) -> manifest.ProvenanceReport | None:
        """Of a file that is intact and says that this command made it with this model."""
        try:
            mark = manifest.verify(output, credentials=self._how.credentials)
        except UserError:
            return None
        is_intact = mark.state not in ('altered', 'absent')
        edit = mark.edit and (mark.edit.kind, mark.edit.label)
        made_by = mark.bundle_sha256, edit
        wanted = self._job.swapper.bundle.sha256, (self._job.kind, self._how.label)
        return mark if is_intact and made_by == wanted else None

    def _reason(self, file: Path, error: Exception) -> str:
        """What an error says, less the name that stands before it."""
        text = str(error) if isinstance(error, UserError) else first_line(error)
        return text.removeprefix('--target ').removeprefix(f'{self._folder / file}: ')


def _is_of_another(mark: manifest.ProvenanceReport, target: Path) -> bool:
    """Whether a target is not what a file was made of, as far as its mark tells."""
    return mark.parent_sha256 not in (None, manifest.parent_hash(target))


def _is_older(path: Path, target: Path) -> bool:
    return path.stat().st_mtime_ns < target.stat().st_mtime_ns


def _grouped(notes: Sequence[tuple[str, str]]) -> list[str]:
    """A line for what is the same of several files."""
    names: Mapping[str, list[str]] = defaultdict(list)
    for name, line in notes:
        names[line].append(name)
    return [f'{_named(each)}: {line}' for line, each in names.items()]


def _named(names: Sequence[str], separator: str = ', ') -> str:
    more = len(names) - _MOST_NAMES
    shown = separator.join(names[:_MOST_NAMES])
    return f'{shown} and {more} more' if more > 0 else shown


def _shown(file: Path) -> str:
    return plain(file.as_posix())
