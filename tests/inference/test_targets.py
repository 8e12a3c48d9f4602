"""What cannot end well is refused before the work, by whatever name it goes."""

import os
from pathlib import Path

import pytest

from apgan_jax.errors import UserError
from apgan_jax.inference import targets
from support.faces import blank, write_photos
from support.video_clips import write_clip


@pytest.fixture
def folder(tmp_path):
    write_photos(tmp_path, {'photos/a.png': blank(), 'both/a.png': blank()})
    write_clip(tmp_path / 'both' / 'clip.mp4')
    (tmp_path / 'both' / 'bad.mkv').write_bytes(b'no video')
    (tmp_path / 'texts').mkdir()
    (tmp_path / 'texts' / 'a.txt').touch()
    return tmp_path


@pytest.mark.parametrize(
    'name, kind',
    [
        ('photos/a.png', 'photo'),
        ('both/clip.mp4', 'video'),
        ('photos', 'folder of photos'),
        ('both', 'folder'),
    ],
)
def test_kinds(folder, name, kind):
    assert targets.kind_of(folder / name) == kind
    assert targets.kind_of('camera:0') == 'camera'


@pytest.mark.parametrize(
    'name, message', [('none.png', 'no such file'), ('texts', 'holds no photo and no video')]
)
def test_what_is_no_target(folder, name, message):
    with pytest.raises(UserError, match=message):
        targets.kind_of(folder / name)


def test_frames_are_counted_for_a_progress_bar(folder):
    assert targets.count_frames(folder / 'photos/a.png') == 1
    assert targets.count_frames(folder / 'both/clip.mp4') == 12
    assert targets.count_frames(folder / 'both/clip.mp4', 0.2) == 7
    # What cannot be read counts as one.
    assert targets.count_frames(folder / 'both') == 14
    assert targets.count_frames('camera:0') is None


@pytest.mark.parametrize(
    'target, output, message',
    [
        ('photos/a.png', 'out.mp4', 'must end in .jpg'),
        ('both/clip.mp4', 'out.png', 'must end in .mp4, .mov, .m4v$'),
        ('both/clip.mp4', 'none/out.mp4', 'is no folder'),
        ('both/clip.mp4', 'texts', 'is a folder'),
        ('photos', 'both', 'exists already; choose a name for a new folder, or --resume'),
    ],
)
def test_outputs_that_do_not_fit(folder, target, output, message):
    with pytest.raises(UserError, match=f'^--output .*{message}'):
        targets.check_files(folder / target, folder / output)


def test_quicktime_has_no_av1(folder):
    """Which would be found out when all the work is done."""
    clip = folder / 'both/clip.mp4'
    targets.check_files(clip, folder / 'out.mov', codec='hevc')
    with pytest.raises(UserError, match=r'must end in \.mp4, \.m4v$'):
        targets.check_files(clip, folder / 'out.mov', codec='av1')


@pytest.mark.parametrize('output', ['photos', 'photos/sub/..', '.', 'link'])
def test_a_folder_is_not_written_into_itself(folder, output):
    """Nor into one that it lies in; a new folder in it is none of its files."""
    (folder / 'photos' / 'sub').mkdir()
    (folder / 'link').symlink_to(folder / 'photos')
    with pytest.raises(UserError, match='is the target, or a folder that it lies in'):
        targets.check_files(folder / 'photos', folder / output, resume=True)
    targets.check_files(folder / 'photos', folder / 'photos' / 'out')
    targets.check_files(folder / 'photos', folder / 'both', resume=True)


def linked(path):
    path.with_name('link.png').symlink_to(path)
    return path.with_name('link.png')


def hard_linked(path):
    os.link(path, path.with_name('twin.png'))
    return path.with_name('twin.png')


def by_another_way(path):
    return path.parent / '..' / path.parent.name / path.name


def in_linked_folder(path):
    (path.parent.parent / 'elsewhere').symlink_to(path.parent)
    return path.parent.parent / 'elsewhere' / path.name


@pytest.mark.parametrize(
    'rename',
    [Path, linked, hard_linked, by_another_way, in_linked_folder],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize('what', ['target', 'source'])
@pytest.mark.parametrize('option', ['output', 'contact-sheet'])
def test_what_is_read_is_not_written_over(folder, rename, what, option):
    path = folder / 'photos' / 'a.png'
    with pytest.raises(UserError, match=f'^--{option} .*: is the {what} itself'):
        targets.check_apart({option: rename(path)}, {what: [path]})


def test_what_is_read_is_a_cameras_file_and_all_in_a_folder_too(folder):
    photos = folder / 'photos'
    assert targets.files_of([f'camera:{photos}/a.png']) == [photos / 'a.png']
    assert set(targets.files_of([photos])) == {photos, *photos.iterdir()}
    with pytest.raises(UserError, match=r'^--output .*: is the source itself'):
        targets.check_apart({'output': photos / 'a.png'}, {'source': targets.files_of([photos])})


@pytest.mark.parametrize('rename', [Path, by_another_way, in_linked_folder])
def test_nothing_is_written_twice(folder, rename):
    """To files that are not there yet, either."""
    new = folder / 'photos' / 'new.png'
    with pytest.raises(UserError, match=r'^--contact-sheet .*: is the output itself'):
        targets.check_apart({'output': new, 'contact-sheet': rename(new)}, {})
    targets.check_apart({'output': new, 'contact-sheet': folder / 'new.png'}, {'target': [folder]})


@pytest.mark.parametrize(
    'sheet, target, message',
    [
        ('sheet.mp4', 'both', 'must end in .jpg'),
        ('photos/a.png', 'both', 'exists already'),
        ('none/a.png', 'both', 'is no folder'),
        ('both/sheet.png', 'both', 'lies in the folder of the target'),
        ('out/sub/sheet.png', 'both', 'lies in the folder of the output'),
        ('sheet.png', 'camera:0', 'a camera cannot be looked at twice'),
    ],
)
def test_sheets_that_cannot_be(folder, sheet, target, message):
    """The message names the option that is wrong."""
    (folder / 'out').mkdir()
    target = target if target.startswith('camera') else folder / target
    with pytest.raises(UserError, match=f'^--contact-sheet .*{message}'):
        targets.check_sheet(folder / sheet, target, folder / 'out')
