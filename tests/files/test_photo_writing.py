"""What a format can hold is written, the rest is named."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageCms

from apgan_jax.errors import UserError
from apgan_jax.files.photo_writing import PHOTO_OUTPUT_SUFFIXES, write_photo
from apgan_jax.files.photos import WholePhoto, read_photo
from support.video_clips import still

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
WITH_ALPHA = [suffix for suffix in PHOTO_OUTPUT_SUFFIXES if suffix not in ('.jpg', '.jpeg')]


def photo(**fields):
    return dataclasses.replace(WholePhoto(still(64, 96)), **fields)


def alpha():
    return np.tile(np.where(np.arange(96) < 40, 0, 255).astype(np.uint8), (64, 1))


def exif():
    data = Image.Exif()
    data[0x010F] = 'Phone'
    return data.tobytes().removeprefix(b'Exif\0\0')


def difference(one, other):
    return np.abs(one.astype(int) - other).mean()


@pytest.mark.parametrize('suffix', PHOTO_OUTPUT_SUFFIXES)
def test_every_format_comes_back(tmp_path, suffix):
    path = tmp_path / f'photo{suffix}'
    lost = write_photo(path, photo(profile=SRGB, exif=exif()))
    back = read_photo(path)
    assert difference(back.rgb, still(64, 96)) < (16 if suffix == '.gif' else 3)
    if suffix == '.gif':
        assert lost == ('all but 256 colours', 'EXIF')
    else:
        assert lost == ()
        assert back.profile == SRGB
        assert b'Phone' in back.exif
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('suffix', WITH_ALPHA)
def test_transparency_is_kept(tmp_path, suffix):
    path = tmp_path / f'photo{suffix}'
    write_photo(path, photo(alpha=alpha()))
    assert difference(read_photo(path).alpha, alpha()) < 1


def test_without_transparency_there_is_white_and_a_word(tmp_path):
    path = tmp_path / 'photo.jpg'
    assert write_photo(path, photo(alpha=alpha())) == ('transparency (JPEG has none): white',)
    rgb = read_photo(path).rgb
    assert rgb[:, :36].min() > 245
    assert difference(rgb[:, 44:], still(64, 96)[:, 44:]) < 4


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif', '.avif'])
def test_grey_stays_grey(tmp_path, suffix):
    path = tmp_path / f'photo{suffix}'
    write_photo(path, photo(pixels=still(64, 96)[:, :, 0].copy()))
    assert read_photo(path).is_grey


@pytest.mark.parametrize('is_grey', [False, True])
@pytest.mark.parametrize('has_alpha', [False, True])
def test_sixteen_bits_of_a_png_come_back_exactly(tmp_path, is_grey, has_alpha):
    deep = still(64, 96).astype(np.uint16) * 257 + 3
    deep = deep[:, :, 0].copy() if is_grey else deep
    transparent = alpha().astype(np.uint16) * 257 if has_alpha else None
    path = tmp_path / 'photo.png'
    assert write_photo(path, photo(pixels=deep, alpha=transparent, exif=exif())) == ()
    back = read_photo(path)
    np.testing.assert_array_equal(back.rgb[:, :, 0], np.atleast_3d(deep)[:, :, 0] // 257)
    assert b'Phone' in back.exif
    if has_alpha:
        np.testing.assert_array_equal(back.alpha, transparent)
    else:
        np.testing.assert_array_equal(back.pixels, deep)


@pytest.mark.parametrize('suffix', ['.jpg', '.webp', '.tiff'])
def test_other_formats_have_8_bits_and_say_so(tmp_path, suffix):
    path = tmp_path / f'photo{suffix}'
    (lost,) = write_photo(path, photo(pixels=still(64, 96).astype(np.uint16) * 257))
    assert lost.startswith('8 of 16 bits')
    assert difference(read_photo(path).rgb, still(64, 96)) < 3


def test_what_a_format_does_not_take_is_one_line_and_the_older_file_stays(tmp_path):
    path = tmp_path / 'photo.webp'
    path.write_bytes(b'older')
    with pytest.raises(UserError, match='WEBP does not take a picture of 17000×1'):
        write_photo(path, WholePhoto(np.zeros((1, 17_000, 3), np.uint8)))
    assert path.read_bytes() == b'older'
