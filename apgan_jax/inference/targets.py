"""What can be swapped and where to: what cannot end well is refused before any work is done."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from apgan_jax.errors import UserError
from apgan_jax.files.media import find_media
from apgan_jax.files.photo_writing import PHOTO_OUTPUT_SUFFIXES
from apgan_jax.files.photos import is_photo
from apgan_jax.video.reader import CAMERA_PREFIX, VideoReader, is_camera
from apgan_jax.video.writer import video_suffixes

TargetKind = Literal['photo', 'video', 'camera', 'folder', 'folder of photos']


def kind_of(target: Path | str) -> TargetKind:
    """What a target is.

    Raises:
      UserError: there is none, or a folder holds neither photo nor video.
    """
    if is_camera(target):
        return 'camera'
    path = Path(target)
    if not path.exists():
        raise UserError(f'--target {target}: no such file; give a photo, a video or a folder')
    if path.is_file():
        return 'photo' if is_photo(path) else 'video'
    if not path.is_dir():
        raise UserError(
            f'--target {target}: is neither file nor folder; give one, or camera:{target} of a '
            'device or FIFO'
        )
    files = find_media(path).files
    if not files:
        raise UserError(f'--target {target}: holds no photo and no video; give a folder that does')
    return 'folder of photos' if all(is_photo(path / each) for each in files) else 'folder'


def check_files(
    target: Path | str,
    output: Path,
    *,
    codec: str = 'h264',
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Refuses a target, and an output that does not fit it.

    Args:
      target: photo, video, folder or camera (`camera:0`).
      output: a file or, for a folder, a folder.
      codec: of videos.
      overwrite: whether a file that exists is to be replaced.
      resume: whether a folder that exists is to be gone on with.

    Raises:
      UserError: target missing, output existing or of a kind that cannot carry the mark or does
        not fit the target.
    """
    kind = kind_of(target)
    _check_parent(output, '--output')
    if kind in ('folder', 'folder of photos'):
        _check_folder(Path(target), output, resume=resume)
        return
    fitting = PHOTO_OUTPUT_SUFFIXES if kind == 'photo' else video_suffixes(codec)
    check_output(output, fitting, overwrite=overwrite)


def check_output(
    output: Path,
    suffixes: Iterable[str] = PHOTO_OUTPUT_SUFFIXES,
    *,
    overwrite: bool = False,
    option: str = '--output',
) -> None:
    """Refuses an output's name.

    Args:
      output: the name.
      suffixes: that it may have.
      overwrite: whether a file that exists is to be replaced.
      option: that gave the name.

    Raises:
      UserError: it exists, has none of the suffixes, or its folder does not exist.
    """
    if output.is_dir():
        raise UserError(f'{option} {output}: is a folder; choose another name')
    if output.exists() and not overwrite:
        raise UserError(f'{option} {output}: exists already; choose another name or --overwrite')
    if output.suffix.lower() not in suffixes:
        raise UserError(
            f'{option} {output}: for this target the name must end in {", ".join(suffixes)}'
        )
    _check_parent(output, option)


def check_sheet(sheet: Path, target: Path | str, output: Path, *, overwrite: bool = False) -> None:
    """Refuses a contact sheet's name, and one of what cannot be looked at twice.

    Raises:
      UserError: the target is a camera, or see `check_output`; or the sheet would lie among the
        files of a folder, as one of them for the next run.
    """
    if is_camera(target):
        raise UserError(
            f'--contact-sheet with --target {target}: a camera cannot be looked at twice; leave it '
            'out'
        )
    for name, folder in (('target', Path(target)), ('output', output)):
        if folder.is_dir() and folder.resolve() in sheet.resolve().parents:
            raise UserError(
                f'--contact-sheet {sheet}: lies in the folder of the {name}; choose a name outside'
            )
    check_output(sheet, overwrite=overwrite, option='--contact-sheet')


def files_of(paths: Iterable[Path | str]) -> list[Path]:
    """The files that paths stand for: a camera's own, and all photos of a folder beside it."""
    plain = [Path(str(path).removeprefix(CAMERA_PREFIX)) for path in paths]
    inside = [file for path in plain if path.is_dir() for file in path.iterdir()]
    return [*plain, *inside]


def check_apart(written: Mapping[str, Path], read: Mapping[str, Iterable[Path | str]]) -> None:
    """Refuses to write over what is read, or twice to one file, by whatever path or link.

    Args:
      written: where to write, by what it is: 'output', 'contact-sheet'.
      read: what is read, likewise.

    Raises:
      UserError: two of them are one file.
    """
    others = [(what, Path(path)) for what, paths in read.items() for path in paths]
    for what, path in written.items():
        for other_kind, other in others:
            if _is_same(path, other):
                raise UserError(f'--{what} {path}: is the {other_kind} itself; choose another name')
        others.append((what, path))


def count_frames(
    target: Path | str, start: float | None = None, end: float | None = None
) -> int | None:
    """Frames of a target, about, for a progress bar; None where nobody knows.

    Args:
      target: photo, video, folder or camera.
      start: of the part that is asked for, of videos, seconds; None: the beginning.
      end: likewise.

    Raises:
      UserError: a video that is the target cannot be read.
    """
    if is_camera(target):
        return None
    path = Path(target)
    if path.is_dir():
        return sum(_count_or_one(path / each, start, end) for each in find_media(path).files)
    return 1 if is_photo(path) else _video_frames(path, start, end)


def _count_or_one(path: Path, start: float | None, end: float | None) -> int:
    """Of a file that may be damaged."""
    try:
        return count_frames(path, start, end) or 1
    except UserError:
        return 1


def _video_frames(path: Path, start: float | None, end: float | None) -> int | None:
    with VideoReader(path, start=start, end=end) as reader:
        seconds = reader.info.duration_seconds
        frames = reader.info.frames if start is None and end is None else None
        return frames or (round(seconds * float(reader.rate)) if seconds else None)


def _check_parent(output: Path, option: str) -> None:
    if not output.parent.is_dir():
        raise UserError(f'{option} {output}: {output.parent} is no folder; make it first')


def _check_folder(target: Path, output: Path, *, resume: bool) -> None:
    if output.resolve() in (target.resolve(), *target.resolve().parents):
        raise UserError(
            f'--output {output}: is the target, or a folder that it lies in; choose another name'
        )
    if output.exists() and not (resume and output.is_dir()):
        remedy = 'choose a name for a new folder, or --resume to go on in this one'
        raise UserError(f'--output {output}: exists already; {remedy}')


def _is_same(one: Path, other: Path) -> bool:
    """Whether two names are one file's; neither need be there yet."""
    if one.resolve() == other.resolve():
        return True
    return one.exists() and other.exists() and one.samefile(other)
