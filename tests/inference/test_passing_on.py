"""What is not changed is passed on whole: as it is, or as its picture and sound alone."""

import pytest

from apgan_jax.errors import UserError
from apgan_jax.files.image_files import read_image
from apgan_jax.files.photos import read_photo
from apgan_jax.inference.passing_on import PassedOn, PassingOn
from apgan_jax.video.encoding import Encoding
from support.faces import blank, flip_byte, write_photos
from support.video_clips import count_frames, write_clip

AS_IT_IS, BARE = (PassingOn(bare, Encoding()) for bare in (False, True))
PART = PassingOn(False, Encoding(), start=0.2)


@pytest.fixture(scope='module')
def media(tmp_path_factory):
    folder = write_photos(tmp_path_factory.mktemp('media'), {'photo.bmp': blank()})
    write_clip(folder / 'clip.mkv', is_moving=True)
    return folder


@pytest.mark.parametrize('name', ['photo.bmp', 'clip.mkv'])
def test_a_copy_is_the_file_itself(media, tmp_path, name):
    assert AS_IT_IS.put(media / name, tmp_path / name) == PassedOn()
    assert (tmp_path / name).read_bytes() == (media / name).read_bytes()
    assert AS_IT_IS.has_put(media / name, tmp_path / name)
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    flip_byte(tmp_path / name, 100)
    assert not AS_IT_IS.has_put(media / name, tmp_path / name)


@pytest.mark.parametrize('passing_on', [AS_IT_IS, BARE])
def test_another_format_is_written_anew(media, tmp_path, passing_on):
    photo, clip = tmp_path / 'photo.png', tmp_path / 'clip.mp4'
    passing_on.put(media / 'photo.bmp', photo)
    assert (read_image(photo) == blank()).all()
    assert read_photo(photo).exif is None
    assert passing_on.put(media / 'clip.mkv', clip).video.frames == 12
    assert count_frames(clip) == 12
    assert passing_on.has_put(media / 'photo.bmp', photo)
    assert passing_on.has_put(media / 'clip.mkv', clip)
    assert sorted(tmp_path.iterdir()) == [clip, photo]


def test_another_video_is_not_what_was_passed_on(media, tmp_path):
    """One of other pictures, one that ends early, one that is cut off."""
    still, short, broken = (tmp_path / f'{name}.mp4' for name in ('still', 'short', 'broken'))
    write_clip(still, is_moving=False)
    PART.put(media / 'clip.mkv', short)
    AS_IT_IS.put(media / 'clip.mkv', broken)
    assert AS_IT_IS.has_put(media / 'clip.mkv', broken)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    for output in (still, short, broken):
        assert not AS_IT_IS.has_put(media / 'clip.mkv', output)


def test_of_a_part_no_more_is_passed_on(media, tmp_path):
    assert PART.copies(media / 'photo.bmp')
    assert not PART.copies(media / 'clip.mkv')
    PART.put(media / 'clip.mkv', tmp_path / 'clip.mp4')
    assert count_frames(tmp_path / 'clip.mp4') == 7


def test_what_cannot_be_read_leaves_nothing(tmp_path):
    broken, output = tmp_path / 'broken.jpg', tmp_path / 'out.jpg'
    broken.write_bytes(b'no photo')
    with pytest.raises(UserError, match='not a readable image'):
        BARE.put(broken, output)
    assert list(tmp_path.iterdir()) == [broken]
