"""Crop, map and landmarks are of one similarity, wherever in the frame the face is."""

import cv2
import numpy as np
import pytest

from apgan_jax.face import alignment, boundary
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import HEAD_V1_TEMPLATE, CropSpec
from apgan_jax.face.landmarks import five_points
from support.faces import portrait

SPEC = CropSpec(size=96)


def test_the_parts_belong_together(portrait_face):
    face = align_face(portrait(), portrait_face.landmarks, SPEC)
    assert (face.crop.shape, face.crop.dtype) == ((96, 96, 3), np.uint8)
    assert (face.landmarks.shape, face.crop_from_frame.shape) == ((478, 2), (2, 3))
    moved = alignment.transform_points(face.crop_from_frame, portrait_face.landmarks)
    np.testing.assert_allclose(face.landmarks, moved)
    np.testing.assert_array_equal(face.boundary_map, boundary.draw_boundary_map(face.landmarks, 96))


def test_the_five_points_lie_near_the_template(portrait_face):
    face = align_face(portrait(), portrait_face.landmarks, SPEC)
    expected = 96 * np.array(HEAD_V1_TEMPLATE) - 0.5
    np.testing.assert_allclose(five_points(face.landmarks), expected, atol=5)


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_a_turned_frame_has_the_same_crop(portrait_face, turns):
    straight = align_face(portrait(), portrait_face.landmarks, SPEC)
    points = portrait_face.landmarks.astype(np.float64)
    for _ in range(turns):
        points = np.stack([points[:, 1], 511 - points[:, 0]], axis=1)
    frame = np.ascontiguousarray(np.rot90(portrait(), turns))
    turned = align_face(frame, points, SPEC)
    np.testing.assert_allclose(turned.landmarks, straight.landmarks, atol=1e-3)
    assert cv2.absdiff(turned.crop, straight.crop).mean() < 0.5
    assert cv2.absdiff(turned.boundary_map, straight.boundary_map).mean() < 0.5


def test_a_larger_crop_is_the_same_cut(portrait_face):
    small, large = (
        align_face(portrait(), portrait_face.landmarks, CropSpec(size=size)) for size in (64, 128)
    )
    np.testing.assert_allclose(2 * (small.landmarks + 0.5) - 0.5, large.landmarks, atol=1e-3)
    reduced = cv2.resize(large.crop, (64, 64), interpolation=cv2.INTER_AREA)
    assert cv2.absdiff(reduced, small.crop).mean() < 3
