import struct

import cv2
import numpy as np
import pytest

from apgan_jax.data import png
from apgan_jax.files.image_files import decode_image, encode_image


def picture(height=24, width=37):
    # Black but for some of it, as boundary maps are.
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 4 : height // 2, ::3] = np.random.default_rng(0).integers(0, 256, 3)
    return image


@pytest.mark.parametrize('size', [(1, 1), (24, 37), (128, 128), (256, 256)])
def test_pictures_come_back(size):
    image = picture(*size)
    np.testing.assert_array_equal(png.decode_map(png.encode_map(image)), image)


def test_opencv_reads_the_same_picture():
    image = picture()
    np.testing.assert_array_equal(decode_image(png.encode_map(image)), image)


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'no picture, but as long as one would have to be at least, and then some more of it.',
        encode_image(picture(), '.jpg'),
        cv2.imencode('.png', picture(), [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH])[1],
        cv2.imencode('.png', picture()[..., 0])[1],
        cv2.imencode('.png', picture().astype(np.uint16))[1],
    ],
    ids=['nothing', 'text', 'JPEG', 'filtered', 'grey', '16 bits'],
)
def test_other_pictures_are_left_to_others(data):
    assert png.decode_map(bytes(data)) is None


def test_damage_is_never_more_than_a_wrong_picture():
    data = png.encode_map(picture())
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        cut = len(data) - int(rng.integers(3))
        decoded = png.decode_map(bytes(damaged[:cut]))
        assert decoded is None or decoded.dtype == np.uint8


@pytest.mark.parametrize('sizes', [(2**31 - 1, 2**31 - 1), (0, 16), (16, 0)])
def test_a_picture_that_claims_to_be_huge_or_empty_is_not_made(sizes):
    data = bytearray(png.encode_map(picture()))
    data[16:24] = struct.pack('>II', *sizes)
    assert png.decode_map(bytes(data)) is None
