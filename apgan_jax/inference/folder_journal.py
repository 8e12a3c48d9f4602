"""What a folder's job is and what became of its files so far, for whoever goes on.

It lies beside the output. A file of the output says itself that it is finished; who was doubtful in
it, only the journal says. So a run that goes on does a file again of which there is no line,
whatever lies under its name.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from apgan_jax.errors import UserError
from apgan_jax.files.documents import (
    Rule,
    check_fields,
    list_of,
    mapping,
    number,
    parse_json_object,
    text,
    whole,
)
from apgan_jax.inference.face_counts import FaceCounts, PersonCounts
from apgan_jax.video.segments import SegmentFolder

_NAME = 'files.jsonl'
_COUNT = whole(0, 10**12)
_LINE_RULES = {'file': text(4096), 'counts': mapping()}
_COUNT_RULES = {
    'frames': _COUNT,
    'without_face': _COUNT,
    'people': Rule(lambda value: value == {}, 'empty'),
    'others': mapping(),
    'doubtful': list_of(list_of(number(-1e12, 1e12), 5, 5), 0, 10**9),
}
_PERSON_RULES = {field.name: _COUNT for field in fields(PersonCounts)}


class FolderJournal:
    """The journal of a folder's job.

    Args:
      folder: where it is kept; made where there is none.
      job: JSON values that all files have in common; a run goes on only if they are equal.
      resume: go on with the journal that is there, if there is one.

    Attributes:
      is_continued: whether there was one.

    Raises:
      UserError: it cannot be made or read, or is another job's.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any], *, resume: bool) -> None:
        self._path = folder / _NAME
        self.is_continued = resume and self._path.exists()
        self._job = SegmentFolder(folder, job, resume=resume)
        # Somebody else's link would lead what is written here to where he likes.
        if self._path.is_symlink():
            raise UserError(f'{self._path}: is a link, where a list of files belongs; remove it')
        try:
            if not self.is_continued:
                self._path.write_text('')
            lines = self._path.read_bytes().splitlines()
        except OSError as error:
            raise UserError(
                f'{self._path}: cannot be written ({error.strerror}); check that the disk has room'
            ) from error
        self._counts = dict(filter(None, map(_parsed, lines)))

    def counts_of(self, file: str) -> FaceCounts | None:
        """What became of the faces of a file; None of one that is not done."""
        return self._counts.get(file)

    def add(self, file: str, counts: FaceCounts) -> None:
        """Notes that a file is done; its people must be forgotten, and it be a name of one line.

        Raises:
          OSError: it cannot be written.
        """
        # Begun by a line break: the last line may have been cut off.
        with self._path.open('a', encoding='utf-8') as journal:
            journal.write(f'\n{json.dumps({"file": file, "counts": counts.tree()})}\n')

    def remove(self) -> None:
        """Removes it; there is nothing to go on with."""
        self._path.unlink(missing_ok=True)
        self._job.remove()


def _parsed(line: bytes) -> tuple[str, FaceCounts] | None:
    """A file and its counts; None of a line that was cut off or is not of this kind."""
    try:
        record = parse_json_object(line, where='line', remedy='')
        check_fields(record, _LINE_RULES, where='line', remedy='')
        check_fields(record['counts'], _COUNT_RULES, where='line', remedy='')
        check_fields(record['counts']['others'], _PERSON_RULES, where='line', remedy='')
    except UserError:
        return None
    return record['file'], FaceCounts.of_tree(record['counts'])
