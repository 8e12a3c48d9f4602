import dataclasses
import functools

import jax
import numpy as np
import pytest
from flax import traverse_util

from apgan_jax import bundle
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.models import spectral_norm
from apgan_jax.models.generator import generate
from apgan_jax.training import experiment, export, warm_start
from apgan_jax.training.train_step import create_train_state
from configs import lite64, lite64_grow, lite128, lite256, tiny
from support.checkpoints import save_once


def flat(params):
    return traverse_util.flatten_dict(jax.device_get(params), sep='/')


def started(state, path, model, *, discriminator='', **crop):
    """The warm-started state, its lines."""
    return warm_start.warm_start(
        jax.device_put(state),
        bundle_file=path,
        discriminator_file=discriminator,
        identity_encoder=model.identity_encoder,
        crop_spec=dataclasses.replace(experiment.crop_spec(tiny.get_config()), **crop),
    )


def other_state(state):
    """Of the same network, with other weights."""
    return jax.tree.map(lambda leaf: leaf + 0.5 if leaf.dtype == np.float32 else leaf, state)


@pytest.fixture(scope='module')
def warm(tiny_model, tiny_state, tiny_bundle_file):
    return started(other_state(tiny_state), tiny_bundle_file, tiny_model)


def test_the_first_steps_generator_is_the_bundles(warm, tiny_bundle):
    state, _ = warm
    rng = np.random.default_rng(0)
    picture = rng.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    boundary_map = rng.uniform(0, 1, (2, 64, 64, 3)).astype(np.float32)
    encoder = tiny_bundle.identity_encoder
    face = rng.uniform(-1, 1, (2, 112, 112, 3)).astype(np.float32)
    swap = jax.jit(functools.partial(generate, tiny_bundle.generator))
    identity = jax.jit(encoder.embed)(encoder.params, face)
    expected = swap(tiny_bundle.generator_params, picture, boundary_map, identity)
    assert np.std(expected) > 0.1
    for params in (state.generator_params, state.generator_ema_params):
        normalised, _ = spectral_norm.normalise(params, state.generator_spectral)
        actual = swap(normalised, picture, boundary_map, identity)
        np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_a_bundle_of_another_crop_is_a_start_and_is_named(
    warm, tiny_model, tiny_state, tiny_bundle_file
):
    face = CropSpec.named('face-v1', 64)
    changed = {name: getattr(face, name) for name in ('name', 'template', 'arcface_window')}
    state, report = started(other_state(tiny_state), tiny_bundle_file, tiny_model, **changed)
    jax.tree.map(np.testing.assert_array_equal, state.generator_params, warm[0].generator_params)
    assert report[0] == (
        f'warm start from another crop: {tiny_bundle_file} learned faces of head-v1, this run has '
        'those of face-v1'
    )
    assert report[1:] == warm[1]


def test_all_of_the_generator_is_loaded_and_nothing_of_the_rest(warm, tiny_bundle, tiny_state):
    state, report = warm
    expected = flat(tiny_bundle.generator_params)
    for params in (state.generator_params, state.generator_ema_params):
        for name, value in flat(params).items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert f'{len(expected)} of {len(expected)} tensors loaded' in report[0]
    assert report[1:] == ['warm start of the discriminator: none saved, it starts anew']
    untouched = other_state(tiny_state)
    for name in ('discriminator_params', 'discriminator_spectral', 'generator_optimizer', 'step'):
        jax.tree.map(np.testing.assert_array_equal, getattr(state, name), getattr(untouched, name))


def test_the_exported_discriminator_is_found_beside_the_bundle(tiny_model, tiny_state, tmp_path):
    save_once(tmp_path / 'run', tiny_state, tiny.get_config())
    output = tmp_path / 'model.safetensors'
    export.export(tmp_path / 'run', output, with_discriminator=True)
    beside = tmp_path / 'model.discriminator.safetensors'
    for choice in ('', str(beside)):
        state, report = started(other_state(tiny_state), output, tiny_model, discriminator=choice)
        for name in ('discriminator_params', 'discriminator_spectral'):
            jax.tree.map(
                np.testing.assert_array_equal, getattr(state, name), getattr(tiny_state, name)
            )
        assert str(beside) in report[-1]
    _, report = started(other_state(tiny_state), output, tiny_model, discriminator='none')
    assert report[-1].endswith('it starts anew')
    with pytest.raises(UserError, match=r'model\.discriminator\.safetensors exists already'):
        output.unlink()
        export.export(tmp_path / 'run', output, with_discriminator=True)


def test_the_discriminator_of_lite128_takes_less_than_12_mb():
    model = experiment.build_model(lite128.get_config())
    picture = jax.ShapeDtypeStruct((1, 128, 128, 3), np.float32)
    shapes = jax.eval_shape(model.discriminator.init, jax.random.key(0), picture, picture)
    assert 4 * sum(leaf.size for leaf in jax.tree.leaves(shapes)) < 12e6


def test_a_larger_model_takes_what_a_smaller_one_has_at_its_resolutions(
    tiny_model, tiny_state, tiny_bundle, tmp_path
):
    """The 32-px model has the 64-px one's widths at 32 px and below."""
    small = tiny_bundle.generator.clone(
        size=32,
        widths=(16, 32, 32, 32),
        id_resolutions=(4, 8, 16),
        pe_resolutions=(16, 32),
        skip_resolutions=(4, 8, 16, 32),
    )
    shapes = jax.eval_shape(
        small.init,
        jax.random.key(0),
        *[jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)] * 2,
        jax.eval_shape(
            tiny_model.identity_encoder.embed,
            tiny_model.identity_encoder.params,
            jax.ShapeDtypeStruct((1, 112, 112, 3), np.float32),
        ),
    )['params']
    path = tmp_path / 'small.safetensors'
    crop_spec = dataclasses.replace(tiny_bundle.crop_spec, size=32)
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.125, leaf.dtype), shapes)
    bundle.save_bundle(
        path,
        dataclasses.replace(
            tiny_bundle, generator=small, generator_params=params, crop_spec=crop_spec
        ),
    )
    state, report = started(tiny_state, path, tiny_model)
    loaded = {
        name for name, value in flat(state.generator_params).items() if (value == 0.125).all()
    }
    blocks = {name.split('/')[0] for name in loaded}
    assert {'down_16', 'down_8', 'down_4', 'up_8', 'up_16', 'up_32', 'id_4', 'id_8'} <= blocks
    assert not blocks & {'down_64', 'up_64', 'pe_64', 'identity_32'}
    listed = '\n'.join(report)
    assert 'not loaded: down_32/kernel ((3, 3, 3, 16) in the file, (3, 3, 8, 16) here)' in listed
    assert 'not loaded: up_64/kernel (not in the file)' in listed
    assert f'{len(loaded)} of {len(flat(state.generator_params))} tensors loaded' in report[0]


def test_the_last_layer_is_of_its_size(tiny_state, tiny_bundle):
    encoder, params = tiny_bundle.identity_encoder, tiny_state.generator_params
    same, other = (
        warm_start._match_generator(tiny_bundle, params, encoder, size) for size in (64, 128)
    )
    assert same.loaded.keys() - other.loaded.keys() == {'to_rgb/kernel', 'to_rgb/bias'}
    assert other.missed['to_rgb/bias'] == 'works at another size'


def test_what_lite128_takes_from_lite64():
    """As the docstring has it; the last layer fits too, but is of another size."""
    small, large = (flat_shapes(config.get_config()) for config in (lite64, lite128))
    loaded = warm_start.match(small, large).loaded
    del loaded['to_rgb/kernel'], loaded['to_rgb/bias']
    assert len(loaded) == 18
    assert sum(leaf.size for leaf in loaded.values()) == pytest.approx(1.74e6, abs=5e3)


TRUNK_128 = {
    *(f'down_{size}' for size in (4, 8, 16, 32)),
    *(f'up_{size}' for size in (8, 16, 32, 64)),
    *(f'{kind}_{size}' for kind in ('identity', 'id') for size in (4, 8, 16, 32, 64)),
    'pe_64',
}


@pytest.mark.parametrize(
    'small, large, trunk, anew',
    [
        (
            lite64_grow,
            lite128,
            TRUNK_128,
            {'down_64', 'down_128', 'up_128', 'pe_128', 'to_mask'},
        ),
        (
            lite128,
            lite256,
            TRUNK_128 | {'down_64', 'up_128', 'pe_128'},
            {'down_128', 'to_mask', 'refine_0', 'refine_1', 'to_fine'},
        ),
    ],
)
def test_weights_grow_outwards(small, large, trunk, anew):
    """All stages are taken over, and what works with pixels starts anew."""
    config = large.get_config()
    found, params = (flat_shapes(each) for each in (small.get_config(), config))
    model = experiment.build_model(small.get_config())
    old = bundle.Bundle(
        generator=model.generator,
        generator_params=found,
        identity_encoder=model.identity_encoder,
        crop_spec=experiment.crop_spec(small.get_config()),
        model_card={},
    )
    loaded, missed = warm_start._match_generator(old, params, model.identity_encoder, config.size)
    assert {name.split('/')[0] for name in loaded} == trunk
    blocks = {name.split('/')[0] for name in params}
    assert {name.split('/')[0] for name in missed} & blocks == anew | {'to_rgb'}
    assert len(loaded) + sum(name in params for name in missed) == len(params)


def test_a_mask_starts_anew_beside_colours_that_do_not(tiny_model, tiny_state, tiny_bundle):
    masked = tiny_bundle.generator.clone(mask=True)
    picture = np.zeros((1, 64, 64, 3), np.float32)
    encoder = tiny_bundle.identity_encoder
    identity = jax.eval_shape(encoder.embed, encoder.params, np.zeros((1, 112, 112, 3), np.float32))
    params = jax.eval_shape(masked.init, jax.random.key(0), picture, picture, identity)['params']
    loaded, missed = warm_start._match_generator(tiny_bundle, params, encoder, 64)
    assert {'to_rgb/kernel', 'to_rgb/bias'} <= loaded.keys()
    assert missed == dict.fromkeys(('to_mask/kernel', 'to_mask/bias'), 'not in the file')


def flat_shapes(config):
    model = experiment.build_model(config)
    state = jax.eval_shape(functools.partial(create_train_state, model), jax.random.key(0))
    return traverse_util.flatten_dict(state.generator_params, sep='/')


def test_another_identity_encoder_starts_what_reads_it_anew(
    tiny_model, tiny_state, tiny_bundle, tmp_path
):
    path = tmp_path / 'other.safetensors'
    encoder = dataclasses.replace(tiny_bundle.identity_encoder, sha256='0' * 64)
    bundle.save_bundle(path, dataclasses.replace(tiny_bundle, identity_encoder=encoder))
    _, report = started(tiny_state, path, tiny_model)
    missed = [line for line in report if 'reads another identity encoder' in line]
    # A dense layer a stage; heads of two modulations; kernel and bias each.
    assert len(missed) == 4 * 2 + 4 * 2 * 2


def test_what_does_not_fit_is_refused(tiny_model, tiny_state, tiny_bundle_file, tmp_path):
    style = r'crop_spec\.boundary_style is .* in .*tiny\.safetensors but .other'
    with pytest.raises(UserError, match=style):
        started(tiny_state, tiny_bundle_file, tiny_model, boundary_style='other')
    with pytest.raises(UserError, match=r'holds no discriminator; give what --mode=export'):
        started(tiny_state, tiny_bundle_file, tiny_model, discriminator=str(tiny_bundle_file))
    with pytest.raises(UserError, match=r'none\.safetensors: no such file'):
        started(tiny_state, tmp_path / 'none.safetensors', tiny_model)


def test_tensors_are_sorted_by_name_and_shape():
    # Only of block e do all tensors fit.
    names = ('b/x', 'd/x', 'e/x', 'e/y/z')
    found = dict.fromkeys(names, np.zeros(1)) | {'d/y': np.zeros(1), 'b/y': np.zeros(1)}
    wanted = dict.fromkeys(names, np.zeros(1)) | {'b/y': np.zeros(2)}
    loaded, missed = warm_start.match(found, wanted)
    assert list(loaded) == ['e/x', 'e/y/z']
    assert missed['b/x'] == missed['d/x'] == 'fits, but not all of its block'
    assert list(warm_start.match(found, wanted, depth=2).loaded) == [*names]
    found = {'a': np.zeros(3), 'b': np.zeros((2, 2)), 'c': np.ones(1)}
    wanted = {'a': np.zeros(3), 'b': np.zeros((2, 3)), 'd': np.zeros(1)}
    loaded, missed = warm_start.match(found, wanted)
    assert list(loaded) == ['a']
    assert missed == {
        'b': '(2, 2) in the file, (2, 3) here',
        'c': 'not in this network',
        'd': 'not in the file',
    }
