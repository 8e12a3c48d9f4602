"""The folder of an unfinished output: one run's alone, empty at first, gone at the end."""

import stat
import sys

import pytest

from apgan_jax.errors import UserError
from apgan_jax.files.unfinished import unfinished_folder

HIDDEN = '.out.mp4.unfinished'


@pytest.fixture
def output(tmp_path):
    (tmp_path / 'outputs').mkdir()
    return tmp_path / 'outputs' / 'out.mp4'


def test_it_is_empty_private_and_beside_the_output_and_gone_at_the_end(output):
    output.write_bytes(b'older')
    with unfinished_folder(output) as folder:
        assert folder == output.with_name(HIDDEN)
        assert list(folder.iterdir()) == []
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / 'part').write_bytes(b'new')
    assert list(output.parent.iterdir()) == [output]
    assert output.read_bytes() == b'older'


def test_an_error_passes_and_the_folder_goes(output):
    with pytest.raises(KeyboardInterrupt), unfinished_folder(output) as folder:
        (folder / 'deep').mkdir()
        raise KeyboardInterrupt
    assert list(output.parent.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_links_are_not_followed(output, tmp_path):
    letter = tmp_path / 'private' / 'letter'
    letter.parent.mkdir()
    letter.touch()
    left = output.with_name(HIDDEN)
    (left / 'deep' / 'deeper').mkdir(parents=True)
    (left / 'part').touch()
    (left / 'folder').symlink_to(letter.parent)
    (left / 'file').symlink_to(letter)
    with unfinished_folder(output) as folder:
        assert list(folder.iterdir()) == []
    assert letter.exists()


@pytest.mark.skipif(sys.platform == 'win32', reason='folders cannot be locked')
def test_a_second_run_waits_its_turn_and_spoils_nothing(output):
    with unfinished_folder(output) as folder:
        (folder / 'part').touch()
        with (
            pytest.raises(UserError, match=rf'^{output}: another run is writing it; wait'),
            unfinished_folder(output),
        ):
            raise AssertionError('the block ran')
        assert (folder / 'part').exists()
        with unfinished_folder(output.with_name('other.mp4')) as other:
            assert other != folder
    with unfinished_folder(output) as again:
        assert again == folder


def test_a_link_in_its_place_is_refused(output, tmp_path):
    private = tmp_path / 'private'
    private.mkdir()
    (private / 'letter').touch()
    output.with_name(HIDDEN).symlink_to(private)
    with pytest.raises(UserError, match='is a link'), unfinished_folder(output):
        raise AssertionError('the block ran')
    assert (private / 'letter').exists()


def test_an_output_in_no_folder_is_refused(tmp_path):
    (tmp_path / 'file').touch()
    for folder in ('none', 'file'):
        output = tmp_path / folder / 'out.mp4'
        with (
            pytest.raises(UserError, match=rf'^{output}: cannot be written \(.*\); choose a name'),
            unfinished_folder(output),
        ):
            raise AssertionError('the block ran')
