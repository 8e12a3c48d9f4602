"""Of EXIF stays what is true of a changed picture and shows nothing of the original."""

import pytest
from PIL import Image

from apgan_jax.files.exif import kept_exif


def read(data):
    exif = Image.Exif()
    exif.load(data)
    return exif


def test_what_is_kept():
    exif = Image.Exif()
    # Maker, orientation, width; exposure, the maker's notes, width; latitude.
    exif.update({0x010F: 'Phone', 0x0112: 6, 0x0100: 96})
    exif[0x8769] = {0x829A: 0.01, 0x927C: b'thumbnail' * 9, 0xA002: 96}
    exif[0x8825] = {1: 'N', 2: (52.0, 31.0, 0.0)}
    kept = read(kept_exif(read(exif.tobytes())))
    assert set(kept) == {0x010F, 0x8769, 0x8825}
    assert set(kept.get_ifd(0x8769)) == {0x829A}
    assert set(kept.get_ifd(0x8825)) == {1, 2}


@pytest.mark.parametrize('tags', [{}, {0x0112: 6}])
def test_where_nothing_is_kept_there_is_none(tags):
    exif = Image.Exif()
    exif.update(tags)
    assert kept_exif(exif) == b''
