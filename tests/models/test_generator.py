import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from apgan_jax.models.generator import (
    MASK_START,
    Generator,
    IdentityCondition,
    Painting,
    compose,
    generate,
    paint,
    unit_rms,
)
from apgan_jax.models.identity import IdentityEmbedding

BATCH = 3


def inputs(count=BATCH, seed=0, size=64):
    """Target, boundary map and identity (MobileFaceNet's shapes) of `count` examples."""
    rng = np.random.default_rng(seed)
    target = rng.uniform(-1, 1, (count, size, size, 3)).astype(np.float32)
    boundary_map = (rng.uniform(size=(count, size, size, 3)) > 0.9).astype(np.float32)
    return target, boundary_map, embedding(count, rng)


def embedding(count, rng):
    vector = rng.normal(size=(count, 192)).astype(np.float32)
    features = {'56': 128, '28': 256, '14': 512, '7': 512}
    return IdentityEmbedding(
        vector / np.linalg.norm(vector, axis=-1, keepdims=True),
        {name: rng.normal(size=(count, c)).astype(np.float32) for name, c in features.items()},
    )


@pytest.fixture(scope='module')
def swap(tiny_model, tiny_state):
    apply = jax.jit(lambda params, *args: tiny_model.generator.apply({'params': params}, *args))
    return lambda *args: np.asarray(apply(tiny_state.generator_params, *args))


@pytest.fixture(scope='module')
def generated(swap):
    return swap(*inputs())


def count_parameters(generator):
    arguments = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), inputs(1))
    shapes = jax.eval_shape(generator.init, jax.random.key(0), *arguments)['params']
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


def test_shape_dtype_and_range(generated):
    assert generated.shape == (BATCH, 64, 64, 3)
    assert generated.dtype == np.float32
    assert np.abs(generated).max() <= 1
    assert generated.std() > 0.01


def test_an_example_does_not_depend_on_the_rest_of_the_batch(swap, generated):
    target, boundary_map, identity = inputs()
    others = inputs(seed=1)
    mixed = jax.tree.map(
        lambda ours, theirs: np.concatenate([ours[:1], theirs[1:]]),
        (target, boundary_map, identity),
        others,
    )
    result = swap(*mixed)
    np.testing.assert_allclose(result[0], generated[0], rtol=0, atol=1e-5)
    assert np.abs(result[1] - generated[1]).max() > 0.01


@pytest.mark.parametrize('change', ['target', 'boundary_map', 'vector', 'features'])
def test_every_input_changes_the_picture(swap, generated, change):
    target, boundary_map, identity = inputs()
    other_target, other_map, other_identity = inputs(seed=1)
    if change == 'target':
        target = other_target
    elif change == 'boundary_map':
        boundary_map = other_map
    else:
        identity = identity.replace(**{change: getattr(other_identity, change)})
    result = swap(target, boundary_map, identity)
    assert np.abs(result - generated).max(axis=(1, 2, 3)).min() > 1e-3


def test_dropping_a_skip_drops_the_weights_that_read_it(tiny_model):
    """At 8 px: 32 channels from below and 32 from the skip go into the first half of an ID block.

    Without the skip: 32 fewer rho, a head of 2 * 32 instead of 2 * 64 outputs on an embedding of
    192 + 32 and a bias, 9 * 32 * 32 fewer weights of the convolution, and no 64x32 shortcut.
    """
    generator = tiny_model.generator
    without = dataclasses.replace(generator, skip_resolutions=(4, 16, 32, 64))
    expected = 32 + 2 * 32 * (192 + 32 + 1) + 9 * 32 * 32 + 64 * 32
    assert count_parameters(generator) - count_parameters(without) == expected


def test_the_coarsest_stage_needs_no_skip(tiny_model):
    generator = tiny_model.generator
    without = dataclasses.replace(generator, skip_resolutions=(8, 16, 32, 64))
    assert count_parameters(generator) == count_parameters(without)


def test_blocks_are_where_the_fields_ask_for_them(tiny_state):
    params = tiny_state.generator_params
    blocks = {name for name in params if name.startswith(('id_', 'pe_'))}
    assert blocks == {'id_4', 'id_8', 'id_16', 'id_32', 'pe_32', 'pe_64'}
    assert set(params['id_8']) >= {'norm_0', 'norm_1', 'conv_0', 'conv_1'}
    assert 'norm_1' not in params['pe_64']
    assert params['pe_64']['modulation_0']['shared']['kernel'].shape == (3, 3, 3, 8)


def test_adain_has_no_rho(tiny_model):
    adain = dataclasses.replace(tiny_model.generator, use_layer_norm=False)
    # A rho a channel of the input of every AdaLIN: id_4 32+32, id_8 64+32, id_16 64+32, id_32
    # 32+16, pe_32 16, pe_64 16.
    rhos = 64 + 96 + 96 + 48 + 16 + 16
    assert count_parameters(tiny_model.generator) - count_parameters(adain) == rhos


@pytest.mark.parametrize(
    'resolution, stage', [(4, '7'), (8, '7'), (16, '14'), (32, '28'), (64, '56')]
)
def test_a_stage_sees_the_nearest_identity_features(resolution, stage):
    identity = embedding(1, np.random.default_rng(0))
    module = IdentityCondition(5)
    params = module.init(jax.random.key(0), identity, resolution)['params']
    kernel = params['dense']['kernel']
    assert kernel.shape[0] == identity.features[stage].shape[-1]
    condition = module.apply({'params': params}, identity, resolution)
    expected = np.asarray(unit_rms(jnp.asarray(identity.features[stage]))) @ np.asarray(kernel)
    np.testing.assert_allclose(condition[:, 192:], expected, rtol=1e-4, atol=1e-4)


def test_without_features_the_condition_is_the_vector_at_unit_size():
    identity = embedding(2, np.random.default_rng(0))
    condition = IdentityCondition(0).apply({}, identity, 8)
    # The vectors have length 1: of 192 entries, each is multiplied by sqrt(192).
    np.testing.assert_allclose(condition, identity.vector * 192**0.5, rtol=1e-4)


def test_computing_in_bfloat16_changes_little_and_keeps_float32_weights(tiny_model, tiny_state):
    generator = dataclasses.replace(tiny_model.generator, dtype=jnp.bfloat16)
    shapes = jax.eval_shape(generator.init, jax.random.key(0), *inputs(1))['params']
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype('float32')}
    picture = jax.eval_shape(generator.apply, {'params': tiny_state.generator_params}, *inputs(1))
    assert picture.dtype == jnp.float32


def small(**fields):
    """A generator of two stages, with fields beyond the paper's."""
    fields = {'size': 16, 'widths': (8, 8), 'skip_resolutions': (8, 16), 'pe_hidden': 4} | fields
    return Generator(id_resolutions=(8,), pe_resolutions=(8, 16), id_features=4, **fields)


def started(generator):
    """Inputs and initial parameters."""
    given = inputs(2, size=generator.size)
    return given, generator.init(jax.random.key(0), *given)['params']


def flat(params):
    return traverse_util.flatten_dict(params, sep='/')


def test_composing_leaves_the_picture_or_the_target_bit_for_bit():
    picture, target = np.random.default_rng(0).uniform(-1, 1, (2, 1, 4, 4, 3)).astype(np.float32)
    mask = np.zeros((1, 4, 4, 1), np.float32)
    mask[:, :, 1], mask[:, :, 2] = 1, 0.25
    composed = compose(Painting(picture, mask), target)
    np.testing.assert_array_equal(composed[:, :, (0, 3)], target[:, :, (0, 3)])
    np.testing.assert_array_equal(composed[:, :, 1], picture[:, :, 1])
    half = 0.25 * picture[:, :, 2] + 0.75 * target[:, :, 2]
    np.testing.assert_allclose(composed[:, :, 2], half, rtol=1e-6)


def test_without_a_mask_the_picture_is_all():
    generator = small()
    given, params = started(generator)
    picture, mask = paint(generator, params, *given)
    np.testing.assert_array_equal(mask, np.ones((2, 16, 16, 1), np.float32))
    np.testing.assert_array_equal(picture, generate(generator, params, *given))


def test_a_mask_is_a_layer_more_and_changes_nothing_else():
    plain, masked = small(), small(mask=True)
    given, params = started(plain)
    _, with_mask = started(masked)
    assert with_mask['to_mask']['kernel'].shape == (3, 3, 8, 1)
    others = {name: block for name, block in with_mask.items() if name != 'to_mask'}
    jax.tree.map(np.testing.assert_array_equal, others, params)
    painting = paint(masked, with_mask, *given)
    np.testing.assert_allclose(painting.picture, generate(plain, params, *given), atol=1e-6)
    assert (painting.mask.shape, painting.mask.dtype) == ((2, 16, 16, 1), np.float32)
    np.testing.assert_allclose(painting.mask, MASK_START, atol=0.05)
    composed = generate(masked, with_mask, *given)
    np.testing.assert_allclose(composed, compose(painting, given[0]), atol=1e-6)


@pytest.mark.parametrize('bias, of_target', [(-1e4, True), (1e4, False)])
def test_a_closed_mask_leaves_the_target(bias, of_target):
    generator = small(mask=True)
    given, params = started(generator)
    params['to_mask'] = {'kernel': 0 * params['to_mask']['kernel'], 'bias': np.float32([bias])}
    expected = given[0] if of_target else paint(generator, params, *given).picture
    np.testing.assert_array_equal(generate(generator, params, *given), expected)


@pytest.mark.parametrize('shuffle, refine_channels', [(1, 0), (2, 0), (2, 4)])
def test_the_gradient_reaches_every_parameter(shuffle, refine_channels):
    size = 16 * shuffle
    generator = small(size=size, mask=True, shuffle=shuffle, refine_channels=refine_channels)
    given, params = started(generator)
    picture, mask = paint(generator, params, *given)
    assert (picture.shape, mask.shape) == ((2, size, size, 3), (2, size, size, 1))
    assert picture.dtype == mask.dtype == np.float32

    def loss(params):
        return jnp.square(generate(generator, params, *given) - 0.5).mean()

    for name, gradient in flat(jax.grad(loss)(params)).items():
        assert np.isfinite(gradient).all(), name
        assert np.abs(gradient).max() > 0, name


def test_four_pixels_go_through_the_stages_as_one():
    """At both ends alone the layers are others than at half the size without shuffling."""
    _, shuffled = started(small(size=32, shuffle=2, mask=True))
    _, plain = started(small(mask=True))
    shapes, others = ({k: v.shape for k, v in flat(each).items()} for each in (shuffled, plain))
    differing = {name: shape for name, shape in shapes.items() if shape != others[name]}
    assert shapes.keys() == others.keys()
    assert differing == {
        'down_16/kernel': (3, 3, 12, 8),
        'to_rgb/kernel': (3, 3, 8, 12),
        'to_rgb/bias': (12,),
        'to_mask/kernel': (3, 3, 8, 4),
        'to_mask/bias': (4,),
    }


def test_refining_starts_small_and_sees_single_pixels():
    plain, refined = small(size=32, shuffle=2), small(size=32, shuffle=2, refine_channels=4)
    given, params = started(plain)
    _, more = started(refined)
    assert more.keys() - params.keys() == {'refine_0', 'refine_1', 'to_fine'}
    before, after = generate(plain, params, *given), generate(refined, more, *given)
    assert 0 < np.abs(after - before).mean() < 0.1
    for number in (0, 1):
        changed = [*given]
        changed[number] = given[number].copy()
        changed[number][:, 9, 9] = 0.3
        fine = paint(refined, more, *changed).picture - generate(plain, params, *changed)
        assert np.abs(fine - (after - before))[:, 8:11, 8:11].max() > 1e-4
