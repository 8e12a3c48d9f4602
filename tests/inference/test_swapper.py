"""The compiled networks: what they give does not depend on what is computed beside it."""

import dataclasses

import jax
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.aligned import align_face
from apgan_jax.inference.swapper import Painted, Swapper
from support.faces import portrait
from support.identities import random_identity


@pytest.fixture(scope='module')
def swapper(tiny_bundle):
    return Swapper(tiny_bundle)


@pytest.fixture(scope='module')
def faces(swapper, portrait_face):
    """Crops and boundary maps of the portrait, its negative and its transpose."""
    aligned = align_face(portrait(), portrait_face.landmarks, swapper.bundle.crop_spec)
    pairs = [(aligned.crop, aligned.boundary_map)]
    pairs += [(255 - pairs[0][0], pairs[0][1])]
    pairs += [tuple(each.swapaxes(0, 1) for each in pairs[0])]
    return tuple(np.stack(each) for each in zip(*pairs, strict=True))


def test_vectors_are_of_unit_length_and_of_each_crop_alone(swapper, faces):
    crops, _ = faces
    vectors = np.concatenate([swapper.embed_vectors(crop[None]) for crop in crops[:2]])
    assert vectors.shape == (2, 192)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert vectors[0] @ vectors[1] < 0.9
    np.testing.assert_array_equal(swapper.embed(crops[:1]).vector, vectors[:1])


def test_a_source_is_the_mean_of_its_crops(swapper, faces):
    first, second = faces[0][:2]
    one = swapper.embed(first[None])
    again = swapper.embed_source([first, first, first])
    both = swapper.embed_source([first, second])
    for ours, theirs in zip(jax.tree.leaves(again), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    total = np.asarray(one.vector) + swapper.embed_vectors(second[None])
    np.testing.assert_allclose(both.vector, total / np.linalg.norm(total), atol=1e-5)
    features = np.asarray(one.features['7']) + np.asarray(swapper.embed(second[None]).features['7'])
    np.testing.assert_allclose(both.features['7'], features / 2, rtol=1e-4, atol=1e-5)


def swap_alone(swapper, faces, number, identity):
    painted = swapper.swap(*(each[number : number + 1] for each in faces), identity)
    return painted.pictures[0].astype(int)


def test_faces_are_swapped_each_by_itself_to_an_identity_of_its_own(swapper, faces):
    identities = [random_identity(seed) for seed in (0, 1, 0)]
    one_each = jax.tree.map(lambda *x: np.concatenate(x), *identities)
    together = swapper.swap(*faces, one_each).pictures
    assert (together.shape, together.dtype) == (faces[0].shape, np.uint8)
    for number, identity in enumerate(identities):
        alone = swap_alone(swapper, faces, number, identity)
        assert np.abs(together[number] - alone).max() <= 1
    other = swap_alone(swapper, faces, 0, identities[1])
    assert np.abs(together[0] - other).mean() > 1


def test_one_identity_is_for_all(swapper, faces):
    identity = random_identity()
    for number, picture in enumerate(swapper.swap(*faces, identity).pictures):
        assert np.abs(picture - swap_alone(swapper, faces, number, identity)).max() <= 1


def test_without_a_mask_all_of_the_picture_shows(swapper, faces):
    painted = swapper.swap(*faces, random_identity())
    assert painted.masks.shape == faces[0].shape[:3]
    assert (painted.masks.dtype, painted.masks.min()) == (np.uint8, 255)
    assert painted.over(faces[0]) is painted.pictures


@pytest.mark.parametrize('logit, level', [(-30.0, 0), (0.0, 230), (30.0, 255)])
def test_picture_and_mask_come_apart(swapper, tiny_bundle, faces, logit, level):
    """230 of 255 is what an untaught mask starts with."""
    mask = {'kernel': np.zeros((3, 3, 8, 1), np.float32), 'bias': np.float32([logit])}
    bundle = dataclasses.replace(
        tiny_bundle,
        generator=tiny_bundle.generator.clone(mask=True),
        generator_params={**tiny_bundle.generator_params, 'to_mask': mask},
    )
    painted = Swapper(bundle).swap(*faces, random_identity())
    assert np.unique(painted.masks).tolist() == [level]
    plain = swapper.swap(*faces, random_identity()).pictures
    assert np.abs(painted.pictures.astype(int) - plain).max() <= 1


def test_pictures_are_put_over_their_targets():
    pictures, targets = np.random.default_rng(0).integers(0, 256, (2, 1, 1, 3, 3), np.uint8)
    composed = Painted(pictures, np.uint8([[[0, 255, 51]]])).over(targets)
    assert composed.dtype == np.uint8
    np.testing.assert_array_equal(composed[0, 0, 0], targets[0, 0, 0])
    np.testing.assert_array_equal(composed[0, 0, 1], pictures[0, 0, 1])
    fifth = 0.2 * pictures[0, 0, 2] + 0.8 * targets[0, 0, 2]
    assert np.abs(composed[0, 0, 2] - fifth).max() <= 0.51


def with_generator_weights(bundle, value):
    filled = jax.tree.map(lambda leaf: np.full_like(leaf, value), bundle.generator_params)
    return Swapper(dataclasses.replace(bundle, generator_params=filled))


@pytest.mark.parametrize('value', [np.nan, 1e30])
def test_weights_that_make_no_numbers_make_no_picture(tiny_bundle, faces, value):
    """1e30 is finite, and what is computed with it is not."""
    with pytest.raises(UserError, match="the bundle tiny: its generator's result is no finite"):
        with_generator_weights(tiny_bundle, value).swap(*faces, random_identity())


def test_an_identity_that_is_no_number_makes_no_picture(swapper, faces):
    identity = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), random_identity())
    with pytest.raises(UserError, match='or the identity is'):
        swapper.swap(*faces, identity)


def test_an_encoder_that_makes_no_numbers_embeds_nobody(tiny_bundle, faces):
    encoder = tiny_bundle.identity_encoder
    params = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), encoder.params)
    broken = dataclasses.replace(encoder, params=params)
    swapper = Swapper(dataclasses.replace(tiny_bundle, identity_encoder=broken))
    for embed in (swapper.embed_vectors, swapper.embed_source):
        with pytest.raises(UserError, match="its identity encoder's result is no finite"):
            embed(faces[0][:1])
