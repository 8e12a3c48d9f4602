"""Photos come back as they were, upright and in RGB; what is none is refused in one line."""

import cv2
import numpy as np
import pytest
from PIL import Image

from apgan_jax.errors import UserError
from apgan_jax.files.image_files import (
    decode_image,
    encode_image,
    images_in,
    read_image,
    write_image,
)
from support.faces import portrait


def corners():
    """Red, green, blue and white in the quarters, RGB uint8 (32, 48, 3)."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24, 0] = picture[:16, 24:, 1] = picture[16:, :24, 2] = 255
    picture[16:, 24:] = 255
    return picture


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.PNG'])
def test_formats_without_loss_come_back_exactly(tmp_path, suffix):
    path = tmp_path / f'photo{suffix}'
    write_image(path, portrait())
    np.testing.assert_array_equal(read_image(path), portrait())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('suffix', ['.jpg', '.jpeg', '.webp', '.JPG'])
def test_formats_with_loss_come_back_nearly(tmp_path, suffix):
    path = tmp_path / f'photo{suffix}'
    write_image(path, portrait())
    assert np.abs(read_image(path).astype(int) - portrait()).mean() < 3


def test_red_is_the_first_channel_for_others_too(tmp_path):
    write_image(tmp_path / 'photo.png', corners())
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'photo.png')), corners())


def test_a_jpegs_quality_is_chosen():
    sizes = [len(encode_image(portrait(), '.jpg', jpeg_quality=q)) for q in (50, 95, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] / 2


@pytest.mark.parametrize(('orientation', 'turns'), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_a_photo_is_upright_by_its_exif(tmp_path, orientation, turns):
    stored = Image.fromarray(np.rot90(corners(), turns))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / 'photo.jpg', quality=100, subsampling=0, exif=exif)
    picture = read_image(tmp_path / 'photo.jpg')
    assert picture.shape == corners().shape
    assert np.abs(picture.astype(int) - corners()).mean() < 8


def test_grey_and_transparent_pictures_have_three_channels(tmp_path):
    for mode, level in (('L', 7), ('RGBA', (7, 7, 7, 128))):
        Image.new(mode, (5, 4), level).save(tmp_path / 'photo.png')
        np.testing.assert_array_equal(read_image(tmp_path / 'photo.png'), np.full((4, 5, 3), 7))


@pytest.mark.parametrize('data', [b'', b'text', encode_image(corners(), '.png')[:40]])
def test_what_is_no_picture(tmp_path, data):
    path = tmp_path / 'photo.png'
    path.write_bytes(data)
    assert decode_image(data) is None
    with pytest.raises(UserError, match=r'photo\.png: not a readable image; .*jpg, jpeg, png'):
        read_image(path)


@pytest.mark.parametrize('name', ['none.png', '.'])
def test_what_is_no_file(tmp_path, name):
    with pytest.raises(UserError, match='no such file; give the path of a photo'):
        read_image(tmp_path / name)


def test_a_picture_of_nothing_is_not_written_and_the_older_file_stays(tmp_path):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(b'older')
    with pytest.raises(cv2.error):
        write_image(path, np.zeros((0, 0, 3), np.uint8))
    assert path.read_bytes() == b'older'


def test_the_photos_of_a_folder_by_name(tmp_path):
    for name in ('b.png', 'a.JPG', 'c.txt', 'd', '.png', 'e.webp', 'png'):
        (tmp_path / name).touch()
    assert [path.name for path in images_in(tmp_path)] == ['a.JPG', 'b.png', 'e.webp']
