"""The ablations differ by what their names say, and every one of them trains."""

import dataclasses
import functools
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from apgan_jax.errors import UserError
from apgan_jax.models import spectral_norm
from apgan_jax.models.generator import generate
from apgan_jax.models.identity import IdentityEmbedding, IdentityEncoder
from apgan_jax.models.identity.embedding import unit_length
from apgan_jax.models.images import (
    ARCFACE_SIZE,
    arcface_window,
    normalise_boundary_map,
    normalise_image,
)
from apgan_jax.training import experiment, losses
from apgan_jax.training.train_step import create_train_state, train_step
from configs import ablations
from support.faces import random_state

SIZE, WIDTHS, HIDDEN, WIDTH, SCALES = 16, (4, 8, 12), 5, 4, 2
ROWS = ('base', 'pe_block', 'pe_discriminator', 'adalin', 'occlusion', 'style')
WITHOUT = ('no_pe_block', 'no_pe_discriminator', 'no_adalin', 'no_occlusion', 'no_style')

# Channels that each AdaLIN normalises: twice as many where a skip is concatenated. At 8 px the PE
# block comes after the ID block.
ID_NORMS = (12 + 12) + (2 * 8 + 8)
PE_INPUTS = {8: 8, 16: 2 * 4}


def pe_parameters():
    """Modulation (two convolutions), convolution and shortcut of both PE blocks.

    Without that of 16 px the picture's last layer sees the skip's channels too.
    """
    count = 0
    for channels, width in ((PE_INPUTS[8], WIDTHS[1]), (PE_INPUTS[16], WIDTHS[0])):
        count += 9 * 3 * HIDDEN + HIDDEN + 9 * HIDDEN * 2 * channels + 2 * channels
        count += 9 * channels * width + width
        count += channels * width if channels != width else 0
    return count - 9 * 3 * (PE_INPUTS[16] - WIDTHS[0])


ID_RHOS, PE_RHOS = ID_NORMS, sum(PE_INPUTS.values())
MAP_KERNELS = 4 * 4 * 3 * WIDTH * SCALES


def small(name):
    """An ablation of tiny, made smaller still."""
    config = ablations.get_config(f'{name},tiny')
    config.size = SIZE
    config.generator.update(
        widths=WIDTHS, id_resolutions=(4, 8), skip_resolutions=(4, 8, 16), pe_hidden=HIDDEN
    )
    if config.generator.pe_resolutions:
        config.generator.pe_resolutions = (8, 16)
    config.discriminator.update(width=WIDTH, num_scales=SCALES, depth=2)
    return config


class SmallEncoder(nn.Module):
    """The ablations are about the other networks; MobileFaceNet's step is in test_train."""

    @nn.compact
    def __call__(self, images):
        pooled = images[:, ::16, ::16].reshape(len(images), -1)
        features = {stage: nn.Dense(8, name=f'stage{stage}')(pooled) for stage in ('14', '7')}
        return IdentityEmbedding(unit_length(nn.Dense(16, name='vector')(pooled)), features)


@functools.cache
def small_encoder():
    module = SmallEncoder()
    params = module.init(jax.random.key(0), jnp.zeros((1, ARCFACE_SIZE, ARCFACE_SIZE, 3)))['params']
    return IdentityEncoder('small', '', module, params)


@functools.cache
def model_of(name):
    model = experiment.build_model(small(name))
    return dataclasses.replace(model, identity_encoder=small_encoder())


def parameters(name):
    """(of the generator, of the discriminator)"""
    state = jax.eval_shape(functools.partial(create_train_state, model_of(name)), jax.random.key(0))
    trees = (state.generator_params, state.discriminator_params)
    return np.array([sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in trees])


def make_batch():
    rng = np.random.default_rng(0)
    pictures = {
        name: rng.integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
        for name in ('source', 'target', 'boundary_map')
    }
    return pictures | {'same_image': np.array([True, False])}


@functools.cache
def run_step(name):
    """(state before, state after, metrics) of one step."""
    model = model_of(name)
    state = random_state(model)
    # Not compiled as a whole: single operations are compiled once for all the ablations.
    return state, *train_step(model, state, model.identity_encoder.params, make_batch())


def test_names():
    assert set(ablations.LACKING) == {*ROWS, *WITHOUT}
    assert ablations.get_config() == ablations.get_config('style,paper256')


@pytest.mark.parametrize('argument', ['nonsense', '', 'no_base,lite64', 'adalin,nonsense'])
def test_an_unknown_name_is_answered_with_the_known_ones(argument):
    with pytest.raises(UserError, match='must be one of') as caught:
        ablations.get_config(argument)
    assert ('paper256' if argument.startswith('adalin') else 'no_style') in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'without, name, generator, discriminator',
    [
        ('base', 'pe_block', pe_parameters(), 0),
        ('pe_block', 'pe_discriminator', 0, MAP_KERNELS),
        ('pe_discriminator', 'adalin', ID_RHOS + PE_RHOS, 0),
        ('adalin', 'occlusion', 0, 0),
        ('occlusion', 'style', 0, 0),
        ('no_pe_block', 'style', pe_parameters() + PE_RHOS, 0),
        ('no_pe_discriminator', 'style', 0, MAP_KERNELS),
        ('no_adalin', 'style', ID_RHOS + PE_RHOS, 0),
        ('no_occlusion', 'style', 0, 0),
        ('no_style', 'style', 0, 0),
    ],
)
def test_a_component_has_the_parameters_that_it_must_have(without, name, generator, discriminator):
    assert (parameters(name) - parameters(without)).tolist() == [generator, discriminator]


@pytest.mark.parametrize('name', ROWS)
def test_rows_of_the_losses(name):
    weights = model_of(name).weights
    assert weights.occlusion == (1.0 if name in ('occlusion', 'style') else 0.0)
    assert weights.style == (3.0 if name == 'style' else 0.0)


@pytest.mark.parametrize('name', [*ROWS, *WITHOUT])
def test_every_ablation_trains_a_step(name):
    before, after, step_metrics = run_step(name)
    assert all(np.isfinite(value) for value in step_metrics.compute().values())
    for field in ('generator_params', 'discriminator_params'):
        leaves = zip(
            jax.tree.leaves(getattr(before, field)),
            jax.tree.leaves(getattr(after, field)),
            strict=True,
        )
        assert np.mean([np.any(old != new) for old, new in leaves]) > 0.9, field
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(getattr(after, field)))


def gradient_without_discriminator_features(model, state, batch):
    """The generator's gradient of eq. 11 without its last two terms, from the losses themselves."""
    source, target = normalise_image(batch['source']), normalise_image(batch['target'])
    boundary_map = normalise_boundary_map(batch['boundary_map'])
    embed = functools.partial(model.identity_encoder.embed, model.identity_encoder.params)
    identity = embed(arcface_window(source, model.arcface_window))
    judge_params, _ = spectral_norm.normalise(
        state.discriminator_params, state.discriminator_spectral
    )

    def objective(params):
        params, _ = spectral_norm.normalise(params, state.generator_spectral)
        swapped = generate(model.generator, params, target, boundary_map, identity)
        judged = model.discriminator.apply({'params': judge_params}, swapped, boundary_map)
        vector = embed(arcface_window(swapped, model.arcface_window)).vector
        weights = model.weights
        return (
            weights.adversarial * losses.adversarial_loss(fake_logits=[o.logits for o in judged])
            + weights.identity
            * losses.identity_loss(swapped_vector=vector, source_vector=identity.vector)
            + weights.reconstruction
            * losses.reconstruction_loss(
                swapped=swapped,
                target=target,
                same_image=jnp.asarray(batch['same_image']),
                different_weight=weights.different_reconstruction,
            )
        )

    return jax.jit(jax.grad(objective))(state.generator_params)


def test_terms_of_weight_0_leave_the_gradient_alone():
    """With beta1 = 0, the first moment that Adam keeps is the gradient itself."""
    before, after, step_metrics = run_step('base')
    assert float(step_metrics.compute()['occlusion']) > 0
    assert float(step_metrics.compute()['style']) > 0
    gradient = optax.tree.get(after.generator_optimizer, 'mu')
    expected = gradient_without_discriminator_features(model_of('base'), before, make_batch())
    for actual, wanted in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=1e-6)


def test_an_unknown_name_ends_training_with_one_line():
    run = subprocess.run(
        [sys.executable, '-m', 'apgan_jax.main', '--config=configs/ablations.py:nonsense'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.count('\n') == 1
    assert 'base, pe_block, pe_discriminator' in run.stderr
