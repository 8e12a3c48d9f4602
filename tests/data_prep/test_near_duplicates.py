"""The same photo twice is told from two photos, whatever their order and names."""

import csv
import random

import cv2
import numpy as np
import pytest

from apgan_jax.face.alignment import HEAD_V1_WINDOW
from apgan_jax.files.image_files import decode_image, encode_image
from data_prep.near_duplicates import (
    FacePrint,
    find_near_duplicates,
    is_same,
    make_print,
    thumbnail_correlation,
)
from support.faces import brighter, head, write_photos


def crop() -> np.ndarray:
    """A square about the head, RGB uint8 (128, 128, 3)."""
    return cv2.resize(head()[:220], (128, 128), interpolation=cv2.INTER_AREA)


def print_of(image, key='0', *, identity='', width=80.0):
    return make_print(
        image, HEAD_V1_WINDOW, key=key, name=f'{key}.jpg', identity=identity, width=width
    )


def drawn(bits: int, key: str, *, width=80.0, identity='') -> FacePrint:
    """Prints of one flat picture: the hash alone tells them apart."""
    return FacePrint(key, f'{key}.jpg', identity, width, bits, bytes(32 * 32))


def recompressed(image):
    return decode_image(encode_image(image, '.jpg', jpeg_quality=40))


@pytest.mark.parametrize(
    'change',
    [
        recompressed,
        lambda image: brighter(image, 0.7),
        lambda image: cv2.resize(cv2.resize(image, (80, 80)), (128, 128)),
        lambda image: np.roll(image, 1, axis=1),
    ],
    ids=['recompressed', 'darker', 'smaller', 'a pixel aside'],
)
def test_a_changed_copy_is_the_same_photo(change):
    assert is_same(print_of(crop()), print_of(change(crop())))


@pytest.mark.parametrize(
    'change',
    [
        lambda image: image[:, ::-1],
        lambda image: np.roll(image, 12, axis=0),
        lambda image: cv2.flip(image, 0),
    ],
    ids=['mirrored', 'elsewhere', 'upside down'],
)
def test_another_picture_is_not(change):
    assert not is_same(print_of(crop()), print_of(np.ascontiguousarray(change(crop()))))


def test_of_copies_the_labelled_then_the_largest_then_the_first_stays():
    same = [
        print_of(crop(), '0', width=200),
        print_of(crop(), '1', width=80, identity='ann'),
        print_of(crop(), '2', width=90, identity='ann'),
        print_of(crop(), '3', width=90, identity='ann'),
    ]
    expected = dict.fromkeys('013', '2.jpg')
    for seed in range(5):
        shuffled = random.Random(seed).sample(same, len(same))
        assert find_near_duplicates(shuffled) == expected


def test_nothing_is_left_out_of_nothing():
    assert find_near_duplicates([]) == {}


def test_what_was_left_out_leaves_out_nothing_itself():
    """5 bits from one to the next: the middle one goes, the far one has no copy that stays."""
    prints = [drawn(0, '0'), drawn(0b11111, '1'), drawn(0b11111_11111, '2')]
    assert find_near_duplicates(prints) == {'1': '0.jpg'}


def test_no_pair_of_hashes_is_overlooked():
    """The bands find what comparing every pair finds, up to the last bit that is allowed."""
    rng = random.Random(0)
    hashes = [rng.getrandbits(64) for _ in range(200)]
    for distance in (0, 6, 7, 8):
        changed = [
            bits ^ sum(1 << bit for bit in rng.sample(range(64), distance)) for bits in hashes
        ]
        prints = [
            drawn(bits, f'{place:03d}', width=100.0 if place < 200 else 50.0)
            for place, bits in enumerate(hashes + changed)
        ]
        expected = {f'{place + 200}': f'{place:03d}.jpg' for place in range(200)}
        assert find_near_duplicates(prints) == (expected if distance < 8 else {})


def test_two_photos_of_one_label_may_differ_more():
    rng = np.random.default_rng(0)
    noisy = np.clip(crop() + rng.normal(0, 47, (128, 128, 1)), 0, 255).astype(np.uint8)
    one, other = print_of(crop(), '0'), print_of(noisy, '1')
    assert 0.96 < thumbnail_correlation(one.thumbnail, other.thumbnail) < 0.98
    assert not is_same(one, other)
    labelled = [print_of(crop(), '0', identity='ann'), print_of(noisy, '1', identity='ann')]
    assert is_same(*labelled)
    strangers = [print_of(crop(), '0', identity='ann'), print_of(noisy, '1', identity='bob')]
    assert not is_same(*strangers)


def test_correlation_of_known_pictures():
    ramp = bytes(range(256)) * 4
    assert thumbnail_correlation(ramp, ramp) == pytest.approx(1)
    assert thumbnail_correlation(ramp, ramp[::-1]) == pytest.approx(-1)
    assert thumbnail_correlation(bytes(1024), bytes(1024)) == 1
    assert thumbnail_correlation(bytes(1024), ramp) == 0


def test_the_command_keeps_one_of_each_across_folders(tmp_path):
    build = pytest.importorskip('data_prep.build', exc_type=ImportError)
    close = head()
    write_photos(tmp_path / 'a', {'small.png': cv2.resize(close, None, fx=0.8, fy=0.8)})
    write_photos(tmp_path / 'b', {'large.png': close, 'mirrored.png': close[:, ::-1]})
    sources = [f'--source=folder:{tmp_path / name}' for name in 'ab']
    arguments = [*sources, '--size=64', f'--output={tmp_path / "out"}']
    assert build.main([*arguments, '--unique']) == 0
    with open(tmp_path / 'out' / 'rejected.tsv', newline='', encoding='utf-8') as file:
        rows = list(csv.reader(file, delimiter='\t'))[1:]
    small, large = tmp_path / 'a' / 'small.png', tmp_path / 'b' / 'large.png'
    assert rows == [[str(small), f'near-duplicate: {large}']]
