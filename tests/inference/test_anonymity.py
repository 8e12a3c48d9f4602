"""Faces that stay too alike are told by what is seen, and a blurred face is nobody's."""

import cv2
import numpy as np
import pytest

from apgan_jax.face import blending
from apgan_jax.face.aligned import align_face
from apgan_jax.face.tracking import TrackedFace
from apgan_jax.inference.anonymity import TooAlike, blurred_patch
from apgan_jax.inference.identity_means import IdentityMeans
from apgan_jax.models.identity import IdentityEmbedding
from support.faces import portrait


@pytest.fixture
def face(portrait_face):
    return TrackedFace(3, portrait_face.landmarks)


@pytest.mark.parametrize('share, too_alike', [(0.0, True), (1.0, False)])
def test_what_is_seen_is_compared_and_not_what_was_generated(tiny_bundle, face, share, too_alike):
    """By encoders that know a picture by its colour, a blue patch on the portrait is nobody's."""

    class Colours:
        bundle = tiny_bundle

        def embed(self, crops, window=None):
            means = crops.astype(np.float64).mean(axis=(1, 2)) - 128
            return means / np.linalg.norm(means, axis=1, keepdims=True)

        embed_vectors = embed

    crop = align_face(portrait(), face.landmarks, tiny_bundle.crop_spec).crop
    own = IdentityEmbedding(Colours().embed(crop[None]), {})
    means, sface_means = (IdentityMeans(lambda *_: own) for _ in range(2))
    means.observe(face.person, crop)
    check = TooAlike(Colours(), means, sface_means, Colours())
    blue = np.zeros_like(crop)
    blue[..., 2] = 255
    patch = blending.Patch(blue, np.full(crop.shape[:2], share, np.float32), np.eye(2, 3) * 7)
    assert check(portrait(), face, crop, patch) is too_alike


def test_a_blurred_face_is_found_by_nobody(face, image_landmarker):
    photo = portrait().copy()
    blending.paste(photo, blurred_patch(photo, face.box))
    assert image_landmarker.detect(photo) == []
    # What is not near the face is as it was.
    left, top, right, bottom = (round(edge) for edge in face.box)
    changed = cv2.absdiff(photo, portrait()).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert rows.min() > top - 0.4 * (bottom - top)
    assert columns.max() < right + 0.4 * (right - left)


def test_a_blurred_face_at_the_edge_of_a_frame():
    photo = portrait()
    patch = blurred_patch(photo, (-30.0, -20.0, 25.0, 40.0))
    blending.paste(photo.copy(), patch)
    assert np.isfinite(patch.picture_from_frame).all()
