"""Gradient accumulation and bfloat16, which a step must not change; terms that are no paper's."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import export
from jax.extend import core

from apgan_jax.models import native, spectral_norm
from apgan_jax.models.generator import compose, paint
from apgan_jax.models.images import arcface_window
from apgan_jax.models.landmark_reader import LandmarkReader
from apgan_jax.training import experiment, sharding
from apgan_jax.training.losses import LossWeights
from apgan_jax.training.train_step import (
    SOURCE_EMBEDDINGS,
    create_train_state,
    embed_sources,
    eval_step,
    jit_train_step,
    train_step,
)
from configs import lite128, lite256, tiny
from support.departures import abstract_batch, with_departures
from support.faces import random_state
from support.small_step import random_batch, small_model

BATCH = random_batch()


def step_function(model):
    return functools.partial(train_step, model)


@functools.cache
def after_a_step(**changes):
    """(state, losses) after one step from the same state."""
    model = small_model(**changes)
    encoder_params = model.identity_encoder.params
    state, metrics = jax.jit(step_function(model))(random_state(model), encoder_params, BATCH)
    return jax.device_get(state), {name: float(x) for name, x in metrics.compute().items()}


def assert_close(actual, expected, **tolerance):
    for (path, value), other in zip(
        jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(actual), strict=True
    ):
        np.testing.assert_allclose(other, value, err_msg=jax.tree_util.keystr(path), **tolerance)


def test_a_batch_in_parts_makes_the_same_step():
    whole, losses = after_a_step()
    parts, losses_of_parts = after_a_step(accumulation_steps=4)
    assert losses_of_parts == pytest.approx(losses, rel=1e-5)
    assert_close(parts, whole, rtol=1e-5, atol=1e-5)
    # Not by being tiny: the gradients differ from each other far less than from 0.
    before = random_state(small_model())
    for name in ('generator_params', 'discriminator_params'):
        moved = jax.tree.map(lambda a, b: a - b, getattr(whole, name), getattr(before, name))
        moved_by_parts = jax.tree.map(
            lambda a, b: a - b, getattr(parts, name), getattr(before, name)
        )
        scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(moved))
        assert scale > 1e-5
        assert_close(moved_by_parts, moved, rtol=0, atol=1e-3 * scale)


def test_a_batch_in_parts_is_still_one_step():
    whole, _ = after_a_step()
    parts, _ = after_a_step(accumulation_steps=4)
    assert parts.step == 1
    # The singular vectors are found from the parameters alone, once.
    assert_close(parts.generator_spectral, whole.generator_spectral, rtol=1e-6, atol=1e-6)
    assert_close(parts.discriminator_spectral, whole.discriminator_spectral, rtol=1e-6, atol=1e-6)


def test_bfloat16_changes_the_losses_little_and_no_array_of_the_state():
    _, expected = after_a_step()
    state, losses = after_a_step(dtype=jnp.bfloat16)
    assert losses == pytest.approx(expected, rel=0.05)
    assert losses != expected
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        assert leaf.dtype in (np.float32, np.int32), jax.tree_util.keystr(path)
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    'fields',
    [
        {'dtype': jnp.bfloat16},
        pytest.param(
            {'bfloat16_products': True},
            marks=pytest.mark.skipif(
                not native.multiplies_bfloat16(), reason='no products of bfloat16'
            ),
        ),
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_bfloat16_moves_the_parameters_the_same_way(fields):
    before = random_state(small_model())
    exact, expected = after_a_step()
    rounded, losses = after_a_step(**fields)
    assert losses == pytest.approx(expected, rel=0.05)
    assert losses != expected
    for name in ('generator_params', 'discriminator_params'):
        moves = [
            np.concatenate(
                [
                    (a - b).ravel()
                    for a, b in zip(
                        jax.tree.leaves(getattr(state, name)),
                        jax.tree.leaves(getattr(before, name)),
                        strict=True,
                    )
                ]
            )
            for state in (exact, rounded)
        ]
        cosine = moves[0] @ moves[1] / np.linalg.norm(moves[0]) / np.linalg.norm(moves[1])
        assert cosine > 0.95, name


def equations(jaxpr, scope=''):
    """(scope, equation) of everything inside."""
    for equation in jaxpr.eqns:
        inner = f'{scope}/{equation.source_info.name_stack}'
        bodies = list(core.jaxprs_in_params(equation.params))
        for body in bodies:
            yield from equations(body, inner)
        if not bodies:
            yield inner, equation


@pytest.fixture(scope='module')
def bfloat16_equations():
    model = small_model(dtype=jnp.bfloat16)
    arguments = random_state(model), model.identity_encoder.params, BATCH
    traced = jax.make_jaxpr(step_function(model))(*arguments)
    return list(equations(traced.jaxpr))


@pytest.mark.skipif(not native.multiplies_bfloat16(), reason='no products of bfloat16')
def test_products_are_bfloat16_in_the_two_networks_alone():
    model = small_model(bfloat16_products=True)
    model = dataclasses.replace(model, landmark_reader=LandmarkReader.load())
    arguments = random_state(model), model.identity_encoder.params, BATCH
    traced = jax.make_jaxpr(step_function(model))(*arguments)
    kinds = {}
    for scope, equation in equations(traced.jaxpr):
        assert 'bfloat16' not in dtypes(equation)
        if equation.primitive.name == 'ffi_call':
            network = 'Generator' in scope or 'Discriminator' in scope
            kinds.setdefault(network, set()).add(dict(equation.params['attributes'])['rounded'])
    assert kinds == {True: {True}, False: {False}}


def dtypes(equation):
    return {atom.aval.dtype.name for atom in (*equation.invars, *equation.outvars)}


def test_convolutions_are_bfloat16_and_those_of_the_frozen_encoder_float32(bfloat16_equations):
    kinds = {}
    for scope, equation in bfloat16_equations:
        if equation.primitive.name == 'conv_general_dilated':
            network = 'Generator' in scope or 'Discriminator' in scope
            kinds.setdefault(network, set()).update(dtypes(equation))
    assert kinds == {True: {'bfloat16'}, False: {'float32'}}


def test_statistics_losses_and_norms_are_float32(bfloat16_equations):
    exact = {'sqrt', 'rsqrt', 'exp', 'log', 'log1p', 'logistic', 'tanh', 'square', 'div'}
    for scope, equation in bfloat16_equations:
        if equation.primitive.name in exact:
            assert 'bfloat16' not in dtypes(equation), (scope, equation)


def test_matrix_products_outside_the_networks_are_exact_on_every_platform(bfloat16_equations):
    """Gram matrices and singular values; TPUs and GPUs round float32 by default."""
    products = [
        (scope, equation)
        for scope, equation in bfloat16_equations
        if equation.primitive.name == 'dot_general'
    ]
    grams = [equation for scope, equation in products if 'npi,npj->nij' in scope]
    # Only power iteration multiplies a matrix with a vector: three times a kernel, and back.
    norms = [each for _, each in products if min(atom.aval.ndim for atom in each.invars) == 1]
    state = random_state(small_model())
    kernels = len(state.generator_spectral) + len(state.discriminator_spectral)
    assert grams
    assert len(norms) > 3 * kernels
    for equation in (*grams, *norms):
        assert equation.params['precision'] == (jax.lax.Precision.HIGHEST,) * 2


def test_cosines_are_means_over_pairs_of_different_pictures(monkeypatch):
    compared = {'encoder_source': jnp.arange(4.0), 'encoder_target': -jnp.arange(4.0)}
    monkeypatch.setattr('apgan_jax.training.train_step.swap_pairs', lambda *arguments: compared)
    model = small_model()
    state = random_state(model)
    same_image = jnp.array([True, False, True, False])
    judged = eval_step(model, state, None, {'same_image': same_image})
    assert judged == {'cos_source': 2.0, 'cos_target': -2.0}
    nothing = eval_step(model, state, None, {'same_image': same_image | True})
    assert all(np.isnan(value) for value in nothing.values())


# --- What is not the paper's ---------------------------------------------------------------------

TRUTHS = BATCH | {
    'truth': BATCH['source'][::-1],
    'has_truth': np.arange(8) % 2 == 0,
    'mask': BATCH['source'][..., 0],
    'offsets': np.random.default_rng(1).integers(-2, 3, (8, 2), dtype=np.int32),
}
ALL_TERMS = LossWeights(truth=100.0, mask_error=60.0, mask_cost=0.5, shift=7.0)


def masked_model(**changes):
    model = small_model()
    generator = dataclasses.replace(model.generator, mask=True)
    return dataclasses.replace(model, generator=generator, weights=ALL_TERMS, **changes)


def a_step(model, batch, state=None):
    state = state or random_state(model)
    state, metrics = jax.jit(step_function(model))(state, model.identity_encoder.params, batch)
    return jax.device_get(state), {name: float(x) for name, x in metrics.compute().items()}


def test_every_term_is_reported_and_summed():
    model = masked_model(most_shift=2)
    state, losses = a_step(model, TRUTHS)
    named = ('adversarial', 'identity', 'reconstruction', 'occlusion', 'style')
    names = {*named, 'truth', 'mask_error', 'mask_cost', 'shift'}
    assert set(losses) == names | {'generator', 'discriminator'}
    total = sum(getattr(ALL_TERMS, name) * losses[name] for name in names)
    assert losses['generator'] == pytest.approx(total, rel=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.generator_params))
    assert losses['shift'] > 0


def test_terms_are_of_the_composed_picture():
    model = masked_model(most_shift=2)
    state = random_state(model)
    params, _ = spectral_norm.normalise(state.generator_params, state.generator_spectral)
    source, target, truth = (
        np.float32(TRUTHS[name]) / 127.5 - 1 for name in ('source', 'target', 'truth')
    )
    faces = arcface_window(source, model.arcface_window)
    identity = model.identity_encoder.embed(model.identity_encoder.params, faces)
    boundary_map = np.float32(TRUTHS['boundary_map']) / 255
    painting = paint(model.generator, params, target, boundary_map, identity)
    composed = np.asarray(compose(painting, target), np.float64)
    _, losses = a_step(model, TRUTHS)
    squares = np.square(composed - truth).mean(axis=(1, 2, 3))
    assert losses['truth'] == pytest.approx(np.mean(squares * TRUTHS['has_truth']), rel=1e-3)
    wanted = TRUTHS['mask'][..., None] / 255
    assert losses['mask_error'] == pytest.approx(np.square(painting.mask - wanted).mean(), rel=1e-3)
    assert losses['mask_cost'] == pytest.approx(float(painting.mask.mean()), rel=1e-3)


def test_the_mask_follows_its_truth():
    """By the mask's term alone."""
    weights = LossWeights(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, mask_error=1.0)
    model = dataclasses.replace(masked_model(), weights=weights, generator_tx=optax.sgd(0.3))
    batch = {name: value for name, value in TRUTHS.items() if name != 'offsets'}
    batch['mask'] = np.zeros_like(batch['mask'])
    state, first = a_step(model, batch)
    for _ in range(3):
        state, losses = a_step(model, batch, state)
    assert losses['mask_error'] < 0.7 * first['mask_error']
    assert losses['mask_cost'] < first['mask_cost']


def test_the_identity_term_ends_and_its_view_has_no_hair():
    whole = a_step(masked_model(), TRUTHS)[1]['identity']
    ended = a_step(masked_model(identity_margin=-1.0), TRUTHS)[1]['identity']
    hidden = a_step(masked_model(identity_view=(30, 10)), TRUTHS)[1]['identity']
    assert ended == 0 < whole
    assert abs(hidden - whole) > 1e-4


def test_weights_change_with_the_step():
    model = masked_model(courses={'mask_error': ((0, 60.0), (1, 0.0))})
    batch = {name: value for name, value in TRUTHS.items() if name != 'offsets'}
    state, first = a_step(model, batch)
    _, second = a_step(model, batch, state)
    rest = dataclasses.replace(ALL_TERMS, mask_error=0.0, shift=0.0)
    names = ('adversarial', 'identity', 'reconstruction', 'occlusion', 'style', 'truth')
    for losses, mask in ((first, 60.0), (second, 0.0)):
        total = sum(getattr(rest, name) * losses[name] for name in (*names, 'mask_cost'))
        assert losses['generator'] == pytest.approx(total + mask * losses['mask_error'], rel=1e-5)


def test_projected_discriminators_teach_both_networks():
    """By the adversarial term alone, with the picture's own discriminators silent."""
    model = small_model()
    discriminator = dataclasses.replace(model.discriminator, projected_width=4)
    weights = LossWeights(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    model = dataclasses.replace(model, discriminator=discriminator, weights=weights)
    state = random_state(model)
    faces = [name for name in state.discriminator_params if name.startswith('face_')]
    assert len(faces) == 4
    silent = {
        name: tree if name in faces else jax.tree.map(jnp.zeros_like, tree)
        for name, tree in state.discriminator_params.items()
    }
    state = state.replace(discriminator_params=silent)
    before = jax.device_get(state)
    after, losses = a_step(model, BATCH, state)
    assert losses['discriminator'] != pytest.approx(2 * 5 * np.log(2), abs=1e-3)
    moved = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()),
        (after.discriminator_params, after.generator_params),
        (before.discriminator_params, before.generator_params),
    )
    for name in faces:
        assert moved[0][name]['conv']['kernel'] > 0, name
    assert max(jax.tree.leaves(moved[1])) > 0


# --- On an accelerator ---------------------------------------------------------------------------


def programs_for(platform, config):
    """StableHLO of a run's programs, lowered here for one device of another platform."""
    config = with_departures(config)
    config.dtype = 'bfloat16'
    model = experiment.build_model(config)
    mesh = sharding.create_mesh()
    create = jax.jit(functools.partial(create_train_state, model))
    rng = jax.eval_shape(lambda: jax.random.key(0, impl='rbg'))
    state = jax.eval_shape(create, rng)
    params, batch = model.identity_encoder.params, abstract_batch(config)
    embed = jax.jit(functools.partial(embed_sources, model))
    batch[SOURCE_EMBEDDINGS] = jax.eval_shape(embed, params, batch['source'])
    arguments = state, params, batch
    step = jit_train_step(model, mesh, sharding.state_shardings(mesh, state))
    judge = jax.jit(functools.partial(eval_step, model))
    programs = {
        'create': export.export(create, platforms=[platform])(rng),
        'embed': export.export(embed, platforms=[platform])(params, batch['source']),
        'step': export.export(step, platforms=[platform])(*arguments),
        'judge': export.export(judge, platforms=[platform])(*arguments),
    }
    assert {program.platforms for program in programs.values()} == {(platform,)}
    return {name: program.mlir_module() for name, program in programs.items()}


def assert_nothing_of_the_cpu(platform, config):
    """No foreign function, native ones included, and the vendor's convolutions in bfloat16."""
    programs = programs_for(platform, config)
    for name, text in programs.items():
        assert 'custom_call' not in text, name
    assert re.search(r'stablehlo\.convolution.*-> tensor<[0-9x]*xbf16>', programs['step'])


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_a_run_with_everything_lowers_for_an_accelerator(platform):
    assert_nothing_of_the_cpu(platform, tiny.get_config())


@pytest.mark.slow
@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
@pytest.mark.parametrize('recipe', [lite128, lite256])
def test_the_recipes_lower_for_an_accelerator(platform, recipe):
    assert_nothing_of_the_cpu(platform, recipe.get_config())
