"""What was noted is known again; what was cut off or is another's is not."""

import pytest

from apgan_jax.errors import UserError
from apgan_jax.inference.face_counts import Doubtful, FaceCounts, PersonCounts
from apgan_jax.inference.folder_journal import FolderJournal

COUNTS = FaceCounts(
    3, 1, {}, PersonCounts(2, swapped=1, blurred=1), [Doubtful(0.5, (1, 2, 3, 4.5))]
)


def journal(folder, *, resume, job='some'):
    return FolderJournal(folder / 'parts', {'job': job}, resume=resume)


@pytest.fixture
def written(tmp_path):
    first = journal(tmp_path, resume=False)
    first.add('sub/a.jpg', COUNTS)
    first.add('b.jpg', FaceCounts(1, 1))
    return tmp_path / 'parts' / 'files.jsonl'


def test_what_was_noted_is_known_when_a_run_goes_on(written, tmp_path):
    again = journal(tmp_path, resume=True)
    assert again.is_continued
    assert again.counts_of('sub/a.jpg') == COUNTS
    assert again.counts_of('b.jpg') == FaceCounts(1, 1)
    assert again.counts_of('c.jpg') is None
    # The last one counts, of a file that was done again.
    again.add('b.jpg', COUNTS)
    assert journal(tmp_path, resume=True).counts_of('b.jpg') == COUNTS


def test_a_job_that_begins_anew_knows_nothing(written, tmp_path):
    anew = journal(tmp_path, resume=False)
    assert not anew.is_continued
    assert anew.counts_of('b.jpg') is None
    anew.remove()
    assert list(tmp_path.iterdir()) == []
    assert not journal(tmp_path, resume=True).is_continued


def test_another_job_is_refused(written, tmp_path):
    with pytest.raises(UserError, match="job was 'some' and is 'other'"):
        journal(tmp_path, resume=True, job='other')


@pytest.mark.parametrize(
    'before, after',
    [
        ('"frames": 3', '"frames": -3'),
        ('"frames": 3', '"frames": "3"'),
        ('"frames": 3', '"frames": NaN'),
        ('"swapped": 1, ', ''),
        ('"people": {}', '"people": {"0": {}}'),
        ('[0.5, 1, 2, 3, 4.5]', '[0.5, 1]'),
        ('"file": "sub/a.jpg"', '"file": 7'),
        ('4.5]]', ''),
        ('{"file"', '\xff'),
    ],
)
def test_a_damaged_line_is_of_no_file(written, tmp_path, before, after):
    text = written.read_text()
    assert before in text
    written.write_bytes(text.replace(before, after, 1).encode('latin-1'))
    again = journal(tmp_path, resume=True)
    assert again.counts_of('sub/a.jpg') is None
    assert again.counts_of('b.jpg') == FaceCounts(1, 1)


def test_a_line_that_was_cut_off_does_not_spoil_the_next_one(written, tmp_path):
    written.write_bytes(written.read_bytes()[:-20])
    again = journal(tmp_path, resume=True)
    assert again.counts_of('b.jpg') is None
    again.add('b.jpg', COUNTS)
    assert journal(tmp_path, resume=True).counts_of('b.jpg') == COUNTS


def test_a_link_is_refused(written, tmp_path):
    precious = tmp_path / 'precious'
    precious.write_text('text')
    written.unlink()
    written.symlink_to(precious)
    for resume in (True, False):
        with pytest.raises(UserError, match='is a link'):
            journal(tmp_path, resume=resume)
    assert precious.read_text() == 'text'
