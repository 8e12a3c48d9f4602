"""A folder's photos and videos are found wherever they lie; all else is named."""

import os

from apgan_jax.files.image_files import encode_image
from apgan_jax.files.media import find_media
from support.faces import blank


def write(folder, *names, data=b'something'):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def names_of(paths):
    return [path.as_posix() for path in paths]


def test_photos_and_videos_of_all_folders(tmp_path):
    write(tmp_path, 'b.JPG', 'a.mkv', 'sub/z.mp4', 'sub/deep/er/c.heic', 'sub/a.txt', 'notes')
    write(tmp_path, '.hidden.jpg', '.git/a.jpg', 'sub/._b.jpg')
    write(tmp_path, 'IMG 1', 'photo.dat', data=encode_image(blank(), '.jpg'))
    media = find_media(tmp_path)
    assert names_of(media.files) == [
        *('IMG 1', 'a.mkv', 'b.JPG', 'photo.dat'),
        *('sub/z.mp4', 'sub/deep/er/c.heic'),
    ]
    assert names_of(media.left_out) == ['notes', 'sub/a.txt']
    assert media.unreadable == {}


def test_what_is_no_file_does_not_stop_the_search(tmp_path):
    write(tmp_path, 'in/a.jpg', 'elsewhere/b.jpg')
    (tmp_path / 'in' / 'folder').symlink_to(tmp_path)
    (tmp_path / 'in' / 'gone.jpg').symlink_to(tmp_path / 'none.jpg')
    os.mkfifo(tmp_path / 'in' / 'pipe')
    media = find_media(tmp_path / 'in')
    assert names_of(media.files) == ['a.jpg', 'gone.jpg']
    assert names_of(media.left_out) == ['folder', 'pipe']


def test_an_output_in_the_folder_is_passed_over(tmp_path):
    write(tmp_path, 'a.jpg', 'out/a.jpg', 'sub/out/b.jpg')
    (tmp_path / 'link').symlink_to(tmp_path / 'out')
    assert names_of(find_media(tmp_path, without=tmp_path / 'link').files) == [
        *('a.jpg', 'sub/out/b.jpg')
    ]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    write(tmp_path, 'a.jpg', 'sub/b.jpg')
    scan = os.scandir

    def closed(path):
        if os.fspath(path).endswith('sub'):
            raise PermissionError(13, 'Permission denied', os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, 'scandir', closed)
    media = find_media(tmp_path)
    assert names_of(media.files) == ['a.jpg']
    assert {path.as_posix(): why for path, why in media.unreadable.items()} == {
        'sub': 'Permission denied'
    }
