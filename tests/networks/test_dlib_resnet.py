"""dlib's ResNet on the head crop, against dlib's own way of cutting a face out."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import HEAD_V1_WINDOW, CropSpec
from apgan_jax.networks import dlib_resnet
from apgan_jax.networks.dlib_resnet import DlibResNet, chip
from apgan_jax.networks.network import find_in_package
from support.faces import brighter, portrait


@pytest.fixture(scope='module')
def recogniser():
    pytest.importorskip('dlib')
    try:
        return DlibResNet()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='module')
def aligned(portrait_face):
    return align_face(portrait(), portrait_face.landmarks, CropSpec(256))


def test_vectors_are_of_unit_length_and_one_face_is_one_face(recogniser, aligned):
    mirrored = aligned.crop[:, ::-1]
    same, darker, mirror = recogniser.embed(
        np.stack([aligned.crop, brighter(aligned.crop, 0.7), mirrored]), HEAD_V1_WINDOW
    )
    assert np.linalg.norm(same) == pytest.approx(1, abs=1e-6)
    assert same @ darker > 0.97
    assert same @ mirror > 0.95


def test_descriptors_are_those_of_dlibs_own_chip(recogniser, aligned):
    import dlib

    corners = aligned.landmarks[[263, 362, 33, 133, 2]]
    points = [dlib.point(round(float(x)), round(float(y))) for x, y in corners]
    face = dlib.full_object_detection(dlib.rectangle(0, 0, 255, 255), points)
    own = dlib.get_face_chip(aligned.crop, face, size=150, padding=0.25)
    assert np.abs(chip(aligned.crop, HEAD_V1_WINDOW).astype(float) - own).mean() < 25
    descriptor = recogniser.descriptors(aligned.crop[None], HEAD_V1_WINDOW)[0]
    expected = np.array(recogniser._network.compute_face_descriptor(own))
    # dlib takes 0.6 and less for one person.
    assert np.linalg.norm(descriptor - expected) < 0.3


def test_chip_does_not_depend_on_the_crops_size(aligned):
    half = aligned.crop.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    whole = chip(aligned.crop, HEAD_V1_WINDOW).astype(float)
    assert np.abs(whole - chip(half, HEAD_V1_WINDOW)).mean() < 8


def test_chip_does_not_depend_on_the_crop(aligned, portrait_face):
    spec = CropSpec.named('face-v1', 256)
    face = align_face(portrait(), portrait_face.landmarks, spec)
    from_face = chip(face.crop, spec.arcface_window).astype(float)
    assert np.abs(from_face - chip(aligned.crop, HEAD_V1_WINDOW)).mean() < 4


def test_dlibs_points_land_where_dlib_puts_them():
    """The residual of the fit: the window is right if the points of mean crops are."""
    affine = dlib_resnet._chip_from_crop(256, HEAD_V1_WINDOW)
    points = np.hstack([dlib_resnet._HEAD_CROP_POINTS * 256 - 0.5, np.ones((5, 1))])
    expected = (dlib_resnet._DLIB_POINTS + 0.25) / 1.5 * 150
    assert np.abs(points @ affine.T - expected).max() < 1.0


def test_a_missing_package_is_named_with_its_command():
    with pytest.raises(UserError, match='run `pip install some-thing`'):
        find_in_package('no_such_package', 'a.dat', install='pip install some-thing')
