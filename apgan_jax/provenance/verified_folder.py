"""The marks of all photos and videos of a folder, a line each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apgan_jax.errors import UserError
from apgan_jax.files.media import find_media
from apgan_jax.files.plain_text import plain
from apgan_jax.provenance.credentials import load_certificates
from apgan_jax.provenance.manifest import ProvenanceReport, verify


@dataclass(frozen=True)
class VerifiedFolder:
    """What the files of a folder say of themselves.

    Attributes:
      reports: by names in the folder.
      failed: reasons, by name, why nothing can be said of a file or a folder.
      left_out: names of what is neither photo nor video.
    """

    reports: dict[str, ProvenanceReport]
    failed: dict[str, str]
    left_out: Sequence[str] = ()

    @property
    def is_intact(self) -> bool:
        """Whether none is altered or unreadable, and at least one says that it is synthetic.

        Files without a mark are no fault: those in which no face was changed have none.
        """
        states = {report.state for report in self.reports.values()}
        is_marked = any(_is_marked(report) for report in self.reports.values())
        return is_marked and 'altered' not in states and not self.failed

    def lines(self) -> list[str]:
        """For a terminal: a line for each file, and one that counts them."""
        lines = [
            f'{name}: {report.lines()[0]}{"" if _is_said(report) else ", not marked as synthetic"}'
            for name, report in self.reports.items()
        ]
        lines += [f'{name}: cannot be verified ({reason})' for name, reason in self.failed.items()]
        lines += sorted({f'note: {each.note}' for each in self.reports.values() if each.note})
        counts = Counter(str(report.state) for report in self.reports.values())
        counts['cannot be verified'] = len(self.failed)
        counts['left out, neither photo nor video'] = len(self.left_out)
        told = [f'{count} {state}' for state, count in counts.items() if count]
        return [*lines, f'{len(self.reports) + len(self.failed)} files: {", ".join(told)}']


def verify_folder(folder: Path, *, trust: Sequence[Path] = ()) -> VerifiedFolder:
    """Checks the photos and videos of a folder and of the folders in it.

    Args:
      folder: where they are.
      trust: see `manifest.verify`.

    Raises:
      UserError: there is none, or one of `trust` holds no certificate.
    """
    media = find_media(folder)
    if not media.files and not media.unreadable:
        raise UserError(f'{folder}: holds no photo and no video; give a folder that does')
    # Once, for all: a wrong file of certificates is no fault of those in the folder.
    for path in trust:
        load_certificates(path)
    reports: dict[str, ProvenanceReport] = {}
    failed = {plain(path.as_posix()): reason for path, reason in media.unreadable.items()}
    for path in media.files:
        name = plain(path.as_posix())
        try:
            reports[name] = verify(folder / path, trust=trust)
        except UserError as error:
            failed[name] = str(error).removeprefix(f'{folder / path}: ')
    return VerifiedFolder(reports, failed, [plain(path.as_posix()) for path in media.left_out])


def _is_marked(report: ProvenanceReport) -> bool:
    return report.state not in ('altered', 'absent') and report.is_marked_synthetic


def _is_said(report: ProvenanceReport) -> bool:
    """Whether the state says all: of those without a mark, and of altered ones, it does."""
    return report.state in ('altered', 'absent') or report.is_marked_synthetic
