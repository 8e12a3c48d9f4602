"""A line a file, wherever it lies; one that was altered is enough to doubt the folder."""

import pytest

from apgan_jax import cli
from apgan_jax.errors import UserError
from apgan_jax.files.image_files import write_image
from apgan_jax.provenance import manifest
from apgan_jax.provenance.verified_folder import verify_folder
from support.faces import blank, flip_byte


@pytest.fixture
def folder(tmp_path):
    """Two marked photos, one without a mark, and a text."""
    folder = tmp_path / 'folder'
    (folder / 'sub').mkdir(parents=True)
    write_image(folder / 'bare.png', blank())
    (folder / 'notes.txt').write_text('')
    for name in ('a.png', 'sub/b.png'):
        with manifest.marked_output(
            folder / name, parent=folder / 'bare.png', model_name='tiny', bundle_sha256=''
        ) as unsigned:
            write_image(unsigned, blank())
    return folder


def test_a_line_for_each_file_and_a_sum(folder, capsys):
    assert cli.main(['verify', str(folder)]) == 0
    first, second, third, last = capsys.readouterr().out.splitlines()
    assert first.startswith('a.png: trusted: unchanged')
    assert second == 'bare.png: absent: the file carries no Content Credentials'
    assert third.startswith('sub/b.png: trusted: unchanged')
    assert last == '3 files: 2 trusted, 1 absent, 1 left out, neither photo nor video'


def test_an_altered_file_is_found_among_the_others(folder, capsys):
    flip_byte(folder / 'sub/b.png', -100)
    assert cli.main(['verify', str(folder)]) == 1
    printed = capsys.readouterr().out
    assert 'sub/b.png: altered: ' in printed
    assert 'a.png: trusted: ' in printed


def test_an_unreadable_file_is_named(folder, capsys):
    (folder / 'sub/empty.jpg').touch()
    assert cli.main(['verify', str(folder)]) == 1
    assert 'sub/empty.jpg: cannot be verified (the file is empty; ' in capsys.readouterr().out


def test_a_folder_without_any_mark_is_not_verified(folder):
    (folder / 'a.png').unlink()
    assert verify_folder(folder).is_intact
    (folder / 'sub/b.png').unlink()
    assert not verify_folder(folder).is_intact


def test_there_has_to_be_something(folder, tmp_path):
    (tmp_path / 'texts').mkdir()
    with pytest.raises(UserError, match='holds no photo and no video'):
        verify_folder(tmp_path / 'texts')
    with pytest.raises(UserError, match=r'none\.pem'):
        verify_folder(folder, trust=[tmp_path / 'none.pem'])
