import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apgan_jax.models.discriminator import (
    MultiScaleDiscriminator,
    PatchDiscriminator,
    ProjectedDiscriminator,
)


def pictures(seed=0):
    rng = np.random.default_rng(seed)
    image = rng.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    boundary_map = (rng.uniform(size=(2, 64, 64, 3)) > 0.9).astype(np.float32)
    return image, boundary_map


def initialised(module):
    params = module.init(jax.random.key(0), *pictures())
    return lambda *inputs: module.apply(params, *inputs)


def test_scales_stages_and_shapes():
    outputs = initialised(MultiScaleDiscriminator(width=8, depth=4, num_scales=3))(*pictures())
    shapes = [[feature.shape for feature in output.features] for output in outputs]
    assert shapes == [
        [(2, 32, 32, 8), (2, 16, 16, 16), (2, 8, 8, 32), (2, 8, 8, 64)],
        [(2, 16, 16, 8), (2, 8, 8, 16), (2, 4, 4, 32), (2, 4, 4, 64)],
        [(2, 8, 8, 8), (2, 4, 4, 16), (2, 2, 2, 32), (2, 2, 2, 64)],
    ]
    assert [output.logits.shape for output in outputs] == [
        (2, 8, 8, 1),
        (2, 4, 4, 1),
        (2, 2, 2, 1),
    ]


def test_depth_is_a_field():
    module = PatchDiscriminator(width=8, depth=2)
    x = np.zeros((1, 64, 64, 6), np.float32)
    output = module.apply(module.init(jax.random.key(0), x), x)
    assert [feature.shape for feature in output.features] == [(1, 32, 32, 8), (1, 32, 32, 16)]
    assert output.logits.shape == (1, 32, 32, 1)


def test_the_gain_multiplies_every_activation():
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 6)).astype(np.float32)
    params = PatchDiscriminator(width=4, depth=2).init(jax.random.key(0), x)
    # Without biases, which are 0 at first, each stage is proportional to the one before.
    once, twice = (
        PatchDiscriminator(width=4, depth=2, activation_gain=gain).apply(params, x)
        for gain in (1.0, 2.0)
    )
    for stage, factor in enumerate((2, 4)):
        np.testing.assert_allclose(
            twice.features[stage], factor * once.features[stage], rtol=1e-4, atol=1e-6
        )
    np.testing.assert_allclose(twice.logits, 4 * once.logits, rtol=1e-4, atol=1e-6)


def test_kernels_are_4x4_and_read_picture_and_map():
    params = MultiScaleDiscriminator(width=8).init(jax.random.key(0), *pictures())['params']
    assert set(params) == {'scale_0', 'scale_1', 'scale_2'}
    assert params['scale_2']['conv_0']['kernel'].shape == (4, 4, 6, 8)
    assert params['scale_2']['logits']['kernel'].shape == (4, 4, 64, 1)


@pytest.mark.parametrize('use_boundary_map', [True, False])
def test_the_boundary_map_counts_where_it_is_used(use_boundary_map):
    module = MultiScaleDiscriminator(width=4, num_scales=2, use_boundary_map=use_boundary_map)
    judge = initialised(module)
    image, boundary_map = pictures()
    given, without = judge(image, boundary_map), judge(image, np.zeros_like(boundary_map))
    for one, other in zip(given, without, strict=True):
        assert bool((one.logits != other.logits).any()) == use_boundary_map


def test_coarser_scales_see_the_picture_averaged():
    """A checkerboard of single pixels is grey from the second scale on."""
    judge = initialised(MultiScaleDiscriminator(width=4, num_scales=2))
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 2.0 - 1)[None, :, :, None].repeat(3, -1)
    board = board.astype(np.float32)
    nothing = np.zeros((1, 64, 64, 3), np.float32)
    fine, coarse = judge(board, nothing)
    plain_fine, plain_coarse = judge(nothing, nothing)
    np.testing.assert_allclose(coarse.logits, plain_coarse.logits, atol=1e-6)
    assert float(jnp.abs(fine.logits - plain_fine.logits).max()) > 1e-3


def test_logits_are_float32_where_it_computes_in_bfloat16():
    module = MultiScaleDiscriminator(width=4, num_scales=1, dtype=jnp.bfloat16)
    (output,) = initialised(module)(*pictures())
    assert output.logits.dtype == jnp.float32
    assert output.features[0].dtype == jnp.bfloat16


def face_maps():
    rng = np.random.default_rng(1)
    return {size: np.float32(rng.normal(size=(2, int(size), int(size), 12))) for size in '74'}


def test_each_map_of_the_face_has_a_discriminator_of_its_own():
    module = MultiScaleDiscriminator(width=4, num_scales=2, projected_width=8)
    image, boundary_map = pictures()
    params = module.init(jax.random.key(0), image, boundary_map, face_maps())
    assert {*params['params']} == {'scale_0', 'scale_1', 'face_7', 'face_4'}
    outputs = module.apply(params, image, boundary_map, face_maps())
    assert [output.logits.shape for output in outputs[2:]] == [(2, 7, 7, 1), (2, 4, 4, 1)]
    # Eqs. 8-10 compare features of pictures, not of the encoder's stages.
    assert [len(output.features) for output in outputs] == [4, 4, 0, 0]


def test_a_projected_discriminator_does_not_see_how_large_a_stage_is():
    module = ProjectedDiscriminator(width=8)
    x = face_maps()['7']
    params = module.init(jax.random.key(0), x)
    logits, larger = (module.apply(params, factor * x).logits for factor in (1, 50))
    np.testing.assert_allclose(larger, logits, rtol=1e-4, atol=1e-6)
    assert float(jnp.std(logits)) > 0
