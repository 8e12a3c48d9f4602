"""Thumbnails, and the sheet that is made of them."""

import numpy as np

from apgan_jax.evaluation import picture_sheet
from apgan_jax.files.image_files import read_image
from apgan_jax.provenance import manifest
from support.faces import portrait, write_photos


def test_rows_of_four_pairs_filled_up_with_white(tiny_bundle, tmp_path):
    parent = write_photos(tmp_path, {'target.png': portrait()}) / 'target.png'
    pairs = [
        tuple(np.full((200, 200, 3), 10 * n + k, np.uint8) for k in range(3)) for n in range(5)
    ]
    picture_sheet.write_picture_sheet(tmp_path / 'sheet.png', pairs, tiny_bundle, parent)
    sheet = read_image(tmp_path / 'sheet.png')
    assert sheet.shape == (400, 4 * 612, 3)
    assert sheet[0, [0, 200, 400, 600, 612], 0].tolist() == [0, 1, 2, 255, 10]
    assert (sheet[200:, :200] == 40).all() and (sheet[200:, 612:] == 255).all()
    assert manifest.verify(tmp_path / 'sheet.png').is_marked_synthetic


def test_a_thumbnail_stays_within_its_picture(portrait_face):
    picture, points = portrait(), portrait_face.landmarks
    shown = picture_sheet.thumbnail(picture, points)
    assert shown.shape == (200, 200, 3)
    narrow = picture[:, 190:262]
    shown = picture_sheet.thumbnail(narrow, points - np.array([190, 0]))
    assert shown.shape == (200, 200, 3) and shown.std() > 20
