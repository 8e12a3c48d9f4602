"""Where photos come from: `KIND:PATH` on the command line, a list of `Photo` afterwards."""

import csv
import dataclasses
import fnmatch
import posixpath
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from apgan_jax.errors import UserError
from apgan_jax.files.documents import shortened
from apgan_jax.files.image_files import IMAGE_SUFFIXES, is_image

# How reports of photos begin that `filtering` left out for their age.
LOOKS_YOUNG = 'looks young'


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo that may become a record.

    Attributes:
      path: where it is.
      file_name: relative to its source folder, with forward slashes; goes into the record.
      identity: who it shows; '' where nobody knows.
    """

    path: Path
    file_name: str
    identity: str = ''


def _nobody(file_name: str) -> str:
    del file_name
    return ''


def _own_file(file_name: str) -> str:
    return Path(file_name).stem


def _parent_folder(file_name: str) -> str:
    return Path(file_name).parent.name


# How each kind of source names people when no label file does. FFHQ and CelebA-HQ as distributed
# are taken as one person a photo; VGGFace2 has a folder a person.
IDENTITY_RULES: dict[str, Callable[[str], str]] = {
    'folder': _nobody,
    'ffhq': _own_file,
    'celeba_hq': _own_file,
    'vggface2': _parent_folder,
}


def list_photos(
    sources: Sequence[str],
    *,
    labels: Path | None = None,
    exclude: Sequence[str] = (),
    rejected: Path | None = None,
) -> list[Photo]:
    """Lists the photos of all sources, sorted by name within each.

    Args:
      sources: 'KIND:PATH' each, KIND a key of `IDENTITY_RULES`.
      labels: tab-separated file with the header `file identity`, paths relative to the source.
      exclude: glob patterns of file names to leave out, matched against the relative path.
      rejected: the report of another build, whose photos are left out, and all photos of people
        half of whose photos it calls young: who looks a child in one may look grown in another.

    Raises:
      UserError: an unknown kind, a missing folder, a malformed label file or report, or no photo
        at all.
    """
    named = read_labels(labels) if labels else {}
    photos = [photo for source in sources for photo in _photos_of(source, named, exclude)]
    if rejected:
        reasons = read_rejected(rejected)
        young = _young_people(photos, reasons)
        photos = [
            photo
            for photo in photos
            if str(photo.path) not in reasons and photo.identity not in young
        ]
    if not photos:
        raise UserError(
            f'{", ".join(sources)}: no photo found; give folders that hold '
            f'{", ".join(IMAGE_SUFFIXES)} files'
        )
    return photos


def _photos_of(source: str, named: dict[str, str], exclude: Sequence[str]) -> list[Photo]:
    kind, separator, folder = source.partition(':')
    if not separator or kind not in IDENTITY_RULES:
        raise UserError(
            f'--source {source}: must be KIND:PATH with KIND one of {", ".join(IDENTITY_RULES)}'
        )
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f'--source {source}: {folder} is no folder; give the folder of the photos')
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob('*') if is_image(path))
    kept = [name for name in names if not any(fnmatch.fnmatch(name, p) for p in exclude)]
    rule = IDENTITY_RULES[kind]
    return [Photo(root / name, name, named.get(name) or rule(name)) for name in kept]


def read_labels(path: Path) -> dict[str, str]:
    """Reads a label file as file → identity, files as `Photo.file_name` has them.

    Raises:
      UserError: the file is missing or not tab-separated with the header `file identity`.
    """
    rows = _read_table(path, '--labels', ('file', 'identity'))
    return {posixpath.normpath(file.replace('\\', '/')): identity for file, identity in rows}


def describe_labels(photos: Sequence[Photo], labels: Path) -> str:
    """How far a label file and the photos that were listed with it fit, in one line.

    Raises:
      UserError: see `read_labels`.
    """
    named, names = read_labels(labels).keys(), {photo.file_name for photo in photos}
    return (
        f'--labels {labels}: {len(names & named)} of {len(names)} photos have a label, '
        f'{len(named - names)} labels name no photo'
    )


def read_rejected(path: Path) -> dict[str, str]:
    """Reads the photos that another build left out, with their reasons, from its rejected.tsv.

    Raises:
      UserError: the file is missing or not tab-separated with the header `file reason`.
    """
    return dict(_read_table(path, '--rejected', ('file', 'reason')))


def _young_people(photos: Sequence[Photo], reasons: Mapping[str, str]) -> set[str]:
    """The labels of people of whom a report calls half the photos, or more, young."""
    shown = Counter(photo.identity for photo in photos)
    young = Counter(
        photo.identity
        for photo in photos
        if reasons.get(str(photo.path), '').startswith(LOOKS_YOUNG)
    )
    return {person for person, count in young.items() if person and 2 * count >= shown[person]}


def _read_table(path: Path, option: str, columns: tuple[str, str]) -> list[tuple[str, str]]:
    first, second = columns
    if not Path(path).is_file():
        raise UserError(f'{option} {path}: no such file')
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            reader = csv.DictReader(file, delimiter='\t')
            header, rows = reader.fieldnames, list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{option} {path}: not a UTF-8 text ({error}); save it as one') from error
    if header is None or not set(columns) <= set(header):
        raise UserError(
            f'{option} {path}: the header is {shortened(header)}; it must be tab-separated with '
            f'the columns {first} and {second}'
        )
    for line, row in enumerate(rows, start=2):
        if row[first] is None or row[second] is None:
            raise UserError(
                f'{option} {path}: line {line} has no tab; write {first}, tab, {second}'
            )
    return [(row[first], row[second]) for row in rows]
