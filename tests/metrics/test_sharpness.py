"""Sharpness against what was done to a picture."""

import cv2
import numpy as np
import pytest

from apgan_jax.metrics.sharpness import relative_sharpness
from support.faces import portrait


def stripes(contrast):
    columns = 128 + contrast * (-1) ** np.arange(512)
    return np.broadcast_to(columns[None, :, None], (512, 512, 3)).astype(np.uint8)


def test_contrast_is_what_stripes_differ_in(portrait_face):
    # |Laplacian| of alternating columns is four times their contrast.
    value = relative_sharpness(stripes(10), stripes(40), portrait_face.landmarks)
    assert value == pytest.approx(0.25, abs=1e-6)


def test_blurring_lowers_it_and_the_rest_of_the_picture_does_not_count(portrait_face):
    photo, points = portrait(), portrait_face.landmarks
    assert relative_sharpness(photo, photo, points) == 1.0
    blurred = [
        relative_sharpness(cv2.GaussianBlur(photo, (0, 0), s), photo, points) for s in (0.7, 1.5, 3)
    ]
    assert 1 > blurred[0] > blurred[1] > blurred[2] > 0
    elsewhere = photo.copy()
    elsewhere[250:] = 0
    assert relative_sharpness(elsewhere, photo, points) == 1.0


def test_what_has_no_detail_has_no_sharpness(portrait_face):
    plain = np.full((512, 512, 3), 90, np.uint8)
    assert relative_sharpness(portrait(), plain, portrait_face.landmarks) is None
    assert relative_sharpness(plain, plain, portrait_face.landmarks + 5000) is None
    assert relative_sharpness(plain, portrait(), portrait_face.landmarks) == 0.0
