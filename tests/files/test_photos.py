"""Photos of every format come with all that they have, upright; what is none is refused."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageCms

from apgan_jax.errors import UserError
from apgan_jax.files.image_files import decode_image, read_image
from apgan_jax.files.photos import WholePhoto, decode_photo, is_photo, read_photo
from support.video_clips import still

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
FORMATS = ('JPEG', 'PNG', 'WEBP', 'AVIF', 'HEIF', 'TIFF', 'GIF', 'BMP')
WITH_EXIF = ('JPEG', 'PNG', 'WEBP', 'AVIF', 'HEIF', 'TIFF')


def picture():
    """Different in each corner, RGB uint8 (64, 96, 3)."""
    return still(64, 96)


def exif(**tags):
    data = Image.Exif()
    data.update({0x0112: 1, 0x010F: 'Phone'} | {int(tag[1:], 16): tags[tag] for tag in tags})
    return data.tobytes()


def encoded(samples, name, **options):
    data = io.BytesIO()
    Image.fromarray(samples).save(data, name, **options)
    return data.getvalue()


def difference(one, other):
    return np.abs(one.astype(int) - other).mean()


@pytest.mark.parametrize('suffix', ['', '.jpg', '.mp4'])
@pytest.mark.parametrize('name', FORMATS)
def test_the_content_says_what_a_photo_is(tmp_path, name, suffix):
    path = tmp_path / f'photo{suffix}'
    path.write_bytes(encoded(picture(), name))
    assert is_photo(path)
    assert difference(read_photo(path).rgb, picture()) < (16 if name == 'GIF' else 5)
    decoded = decode_image(path.read_bytes())
    assert decoded is not None and decoded.shape == picture().shape


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('name', WITH_EXIF)
def test_photos_are_upright_by_their_exif(tmp_path, name, orientation):
    path = tmp_path / 'photo'
    path.write_bytes(encoded(_stored(picture(), orientation), name, exif=exif(x0112=orientation)))
    photo = read_photo(path)
    assert difference(photo.rgb, picture()) < 5
    kept = Image.Exif()
    kept.load(photo.exif)
    assert dict(kept) == {0x010F: 'Phone'}


def _stored(upright, orientation):
    """What a camera stores that was held as each of EXIF's numbers says."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]


def test_what_exif_shows_of_the_original_is_left_out():
    tags = Image.Exif()
    tags[0x8769] = {0x927C: b'maker' * 9, 0x829A: 0.01, 0xA002: 96}
    tags[0x8825] = {1: 'N', 2: (52.0, 31.0, 0.0)}
    kept = Image.Exif()
    kept.load(decode_photo(encoded(picture(), 'JPEG', exif=tags)).exif)
    assert set(kept.get_ifd(0x8769)) == {0x829A}
    assert set(kept.get_ifd(0x8825)) == {1, 2}


def test_damaged_exif_disturbs_nothing():
    data = encoded(picture(), 'JPEG', exif=b'Exif\0\0MM\0*\0\0\0\x08\xff\xff' + bytes(30))
    photo = decode_photo(data)
    assert photo.exif is None
    assert difference(photo.rgb, picture()) < 3


@pytest.mark.parametrize(('depth', 'lost'), [(8, ()), (10, ('10 bits (8 are read)',))])
@pytest.mark.parametrize('name', ['AVIF', 'HEIF'])
def test_bits_that_are_not_read_are_named(name, depth, lost):
    deep = picture().astype(np.uint16) << (depth - 8)
    if name == 'AVIF':
        samples = picture() if depth == 8 else deep
        data = cv2.imencode('.avif', samples[:, :, ::-1], [cv2.IMWRITE_AVIF_DEPTH, depth])[
            1
        ].tobytes()
    elif depth == 8:
        data = encoded(picture(), name)
    else:
        file = io.BytesIO()
        pillow_heif.from_bytes('RGB;16', (96, 64), (deep << 6).tobytes()).save(file)
        data = file.getvalue()
    photo = decode_photo(data)
    assert photo.not_kept == lost
    assert difference(photo.rgb, picture()) < 5


@pytest.mark.parametrize('name', ['PNG', 'TIFF'])
@pytest.mark.parametrize('orientation', [1, 6])
def test_sixteen_bits_are_read(tmp_path, name, orientation):
    deep = picture().astype(np.uint16) * 257 + 3
    path = tmp_path / 'photo'
    if name == 'PNG':
        path.write_bytes(_deep_png(deep))
    else:
        # 274 is the orientation.
        stored, tags = np.rot90(deep, orientation > 1), [(274, 'H', 1, orientation, True)]
        tifffile.imwrite(path, stored, photometric='rgb', extratags=tags)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, deep)
    np.testing.assert_array_equal(photo.rgb, picture())


def _deep_png(samples):
    return cv2.imencode('.png', samples[:, :, ::-1])[1].tobytes()


@pytest.mark.parametrize('name', ['PNG', 'WEBP', 'AVIF', 'HEIF', 'TIFF'])
def test_transparency_is_read_apart(name):
    alpha = np.tile(np.arange(96, dtype=np.uint8), (64, 1))
    photo = decode_photo(encoded(np.dstack([picture(), alpha]), name))
    assert photo.alpha is not None
    assert difference(photo.alpha, alpha) < 3
    opaque = np.full_like(alpha, 255)
    assert decode_photo(encoded(np.dstack([picture(), opaque]), name)).alpha is None


@pytest.mark.parametrize('name', ['JPEG', 'PNG', 'TIFF', 'AVIF', 'BMP'])
def test_grey_is_grey(name):
    grey = picture()[:, :, 0]
    photo = decode_photo(encoded(grey, name))
    assert photo.is_grey
    assert photo.rgb.shape == picture().shape
    assert difference(photo.rgb[:, :, 2], grey) < 2


def test_grey_of_16_bits_with_transparency():
    def chunk(kind, data):
        checksum = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + checksum

    header = struct.pack('>IIBBBBB', 2, 1, 16, 4, 0, 0, 0)
    row = zlib.compress(b'\0' + bytes.fromhex('0102ffff03040000'))
    parts = [chunk(b'IHDR', header), chunk(b'IDAT', row), chunk(b'IEND', b'')]
    photo = decode_photo(b'\x89PNG\r\n\x1a\n' + b''.join(parts))
    np.testing.assert_array_equal(photo.pixels, [[0x0102, 0x0304]])
    np.testing.assert_array_equal(photo.alpha, [[0xFFFF, 0]])


@pytest.mark.parametrize('name', WITH_EXIF)
def test_profiles_are_kept(name):
    assert decode_photo(encoded(picture(), name, icc_profile=SRGB)).profile == SRGB


def test_a_profile_that_does_not_fit_is_named():
    for profile, samples in ((b'none', picture()), (SRGB, picture()[:, :, 0])):
        photo = decode_photo(encoded(samples, 'TIFF', icc_profile=profile))
        assert photo.profile is None
        assert photo.not_kept == ('a colour profile that does not fit',)


def test_colours_go_to_srgb_and_back():
    """A profile whose red and blue are exchanged."""
    photo = WholePhoto(picture()[:, :, ::-1].copy(), profile=_exchanged(SRGB))
    assert difference(photo.rgb, picture()) < 1
    assert difference(photo.own_colours(picture()), photo.pixels) < 1


def _exchanged(profile):
    """Where the tags of red and of blue stand in the profile's table."""
    exchanged = profile.replace(b'rXYZ', b'_XYZ', 1).replace(b'bXYZ', b'rXYZ', 1)
    return exchanged.replace(b'_XYZ', b'bXYZ', 1)


def test_cmyk_becomes_srgb_and_is_named():
    data = io.BytesIO()
    Image.fromarray(picture()).convert('CMYK').save(data, 'JPEG', quality=95)
    photo = decode_photo(data.getvalue())
    assert photo.not_kept == ('CMYK colours',)
    assert difference(photo.rgb, picture()) < 5


def test_nothing_but_the_picture():
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:8] = 0
    photo = WholePhoto(picture(), alpha=alpha, profile=SRGB, exif=b'MM')
    bare = photo.bare()
    assert (bare.profile, bare.exif) == (None, None)
    assert not bare.pixels[:8].any()
    assert difference(bare.pixels[8:], picture()[8:]) < 1
    grey = WholePhoto(picture()[:, :, 0]).bare()
    assert grey.is_grey


@pytest.mark.parametrize(
    ('name', 'is_still'),
    [('GIF', False), ('PNG', False), ('WEBP', True), ('AVIF', True), ('TIFF', True)],
)
def test_animations_are_videos_where_they_can_be_and_else_named(tmp_path, name, is_still):
    first, second = Image.fromarray(picture()), Image.fromarray(255 - picture())
    first.save(tmp_path / 'photo', name, save_all=True, append_images=[second])
    assert is_photo(tmp_path / 'photo') == is_still
    photo = read_photo(tmp_path / 'photo')
    assert photo.not_kept == ('all but the first of 2 pictures',)
    assert difference(photo.rgb, picture()) < 16


def test_what_is_no_photo(tmp_path):
    (tmp_path / 'clip').write_bytes(b'\0\0\1\xb3' + bytes(100))  # Pillow calls MPEG a picture.
    os.mkfifo(tmp_path / 'pipe.jpg')
    assert not is_photo(tmp_path / 'clip')
    assert is_photo(tmp_path / 'none.jpg')  # by its name, so that a photo is what is missed
    for name in ('clip', 'pipe.jpg', 'none.jpg', '.'):
        with pytest.raises(UserError, match=r'jpg, jpeg, png'):
            read_photo(tmp_path / name)


@pytest.mark.parametrize('name', ['JPEG', 'PNG', 'BMP', 'GIF', 'TIFF', 'WEBP', 'AVIF', 'HEIF'])
def test_cut_off_photos_are_one_line(tmp_path, name):
    data = encoded(picture(), name)
    for length in (12, len(data) // 4):
        (tmp_path / 'photo').write_bytes(data[:length])
        with pytest.raises(UserError, match='not a readable image'):
            read_image(tmp_path / 'photo')


def test_a_picture_that_fills_the_memory_is_refused_by_its_header(tmp_path):
    header = b'IHDR' + struct.pack('>IIBBBBB', 30_000, 30_000, 8, 2, 0, 0, 0)
    data = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + header
    data += struct.pack('>I', zlib.crc32(header)) + struct.pack('>I', 0) + b'IDAT' + bytes(4)
    (tmp_path / 'photo').write_bytes(data)
    assert is_photo(tmp_path / 'photo')
    with pytest.raises(UserError, match='has more than 178 megapixels; make it smaller'):
        read_photo(tmp_path / 'photo')


def test_samples_of_32_bits_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / 'photo.tif', np.zeros((8, 8), np.float32))
    with pytest.raises(UserError, match='more than 16 bits'):
        read_photo(tmp_path / 'photo.tif')
