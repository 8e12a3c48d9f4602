import dataclasses
import json

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from apgan_jax import bundle as bundle_module
from apgan_jax import identity_file
from apgan_jax.bundle import load_bundle, read_model_card, save_bundle
from apgan_jax.errors import UserError
from apgan_jax.files import safetensors_file
from apgan_jax.files.tensors import flatten
from support.identities import random_identity


@pytest.fixture(scope='module')
def identity():
    return random_identity()


def rewrite(source, path, *, document=None, drop=(), replace=None):
    """A copy of a bundle with changes to its document or its tensors."""
    tensors, original = safetensors_file.read(source, 'bundle')
    tensors = {name: value for name, value in tensors.items() if name not in drop}
    safetensors_file.write(path, tensors | (replace or {}), original | (document or {}))
    return path


def assert_refused(path, *values):
    with pytest.raises(UserError) as caught:
        load_bundle(path)
    message = str(caught.value)
    assert str(path) in message
    assert '\n' not in message
    for value in values:
        assert value in message


def test_a_bundle_comes_back(tiny_bundle, tiny_bundle_file):
    loaded = load_bundle(tiny_bundle_file)
    assert loaded.generator == tiny_bundle.generator
    assert loaded.crop_spec == tiny_bundle.crop_spec
    assert loaded.model_card == tiny_bundle.model_card
    assert loaded.name == 'tiny'
    assert loaded.identity_encoder.kind == 'mobilefacenet'
    assert loaded.identity_encoder.sha256 == tiny_bundle.identity_encoder.sha256
    assert loaded.sha256 == safetensors_file.sha256_of(tiny_bundle_file)
    for ours, theirs in (
        (tiny_bundle.generator_params, loaded.generator_params),
        (tiny_bundle.identity_encoder.params, loaded.identity_encoder.params),
    ):
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_loaded_bundle_generates_the_same(tiny_bundle, tiny_bundle_file, identity):
    rng = np.random.default_rng(0)
    target, boundary_map = rng.uniform(size=(2, 1, 64, 64, 3)).astype(np.float32)
    generate = jax.jit(
        lambda params: tiny_bundle.generator.apply(
            {'params': params}, target, boundary_map, identity
        )
    )
    loaded = load_bundle(tiny_bundle_file)
    assert loaded.generator == tiny_bundle.generator
    np.testing.assert_array_equal(
        generate(loaded.generator_params), generate(tiny_bundle.generator_params)
    )


def test_where_it_computes_in_bfloat16_is_not_written(tiny_bundle, tmp_path):
    bfloat16 = dataclasses.replace(tiny_bundle.generator, dtype=jax.numpy.bfloat16)
    path = tmp_path / 'b.safetensors'
    save_bundle(path, dataclasses.replace(tiny_bundle, generator=bfloat16))
    assert load_bundle(path).generator.dtype is None


def test_in_half_the_size_the_generator_is_rounded_and_the_encoder_is_not(tiny_bundle, tmp_path):
    path, whole = tmp_path / 'half.safetensors', tmp_path / 'whole.safetensors'
    save_bundle(path, tiny_bundle, float16=True)
    save_bundle(whole, tiny_bundle)
    saved = sum(2 * leaf.size for leaf in jax.tree.leaves(tiny_bundle.generator_params))
    assert whole.stat().st_size - path.stat().st_size == pytest.approx(saved, rel=0.05)
    loaded = load_bundle(path)
    for name, value in flatten(loaded.generator_params).items():
        assert value.dtype == np.float32
        wanted = flatten(tiny_bundle.generator_params)[name]
        np.testing.assert_allclose(value, wanted, rtol=1e-3, atol=1e-7)
    jax.tree.map(
        np.testing.assert_array_equal,
        loaded.identity_encoder.params,
        tiny_bundle.identity_encoder.params,
    )


def test_what_16_bits_do_not_hold_is_named_and_nothing_is_written(tiny_bundle, tmp_path):
    params = jax.tree.map(lambda leaf: np.full_like(leaf, 1e5), tiny_bundle.generator_params)
    path = tmp_path / 'half.safetensors'
    with pytest.raises(UserError, match=r'has 100000, which 16 bits do not hold; leave out'):
        save_bundle(path, dataclasses.replace(tiny_bundle, generator_params=params), float16=True)
    assert list(tmp_path.iterdir()) == []


def test_the_file_holds_what_the_design_says(tiny_bundle_file):
    with safe_open(tiny_bundle_file, framework='numpy') as file:
        names = set(file.keys())
        (document,) = file.metadata().values()
    assert {name.split('/')[0] for name in names} == {'generator', 'identity_encoder'}
    assert not any('spectral' in name for name in names)
    fields = json.loads(document)
    assert fields.keys() == {
        'format_version',
        'generator',
        'identity_encoder',
        'crop_spec',
        'model_card',
    }
    assert fields['generator']['size'] == 64
    assert fields['crop_spec']['name'] == 'head-v1'


def test_nothing_but_the_file_is_left(tiny_bundle_file):
    assert [path.name for path in tiny_bundle_file.parent.iterdir()] == ['tiny.safetensors']


def test_a_missing_file(tmp_path):
    assert_refused(tmp_path / 'none.safetensors', 'no such file')


def test_a_file_of_another_format(tmp_path):
    path = tmp_path / 'text.safetensors'
    path.write_bytes(b'not tensors at all, whatever the name says')
    assert_refused(path, 'no readable safetensors file')


def test_a_truncated_file(tiny_bundle_file, tmp_path):
    path = tmp_path / 'half.safetensors'
    path.write_bytes(tiny_bundle_file.read_bytes()[:100_000])
    assert_refused(path, 'no readable safetensors file')


def test_a_foreign_safetensors_file(tmp_path):
    path = tmp_path / 'foreign.safetensors'
    save_file({'weight': np.zeros(3, np.float32)}, path)
    assert_refused(path, 'is no bundle of this project')


def test_a_later_format(tiny_bundle_file, tmp_path):
    path = rewrite(tiny_bundle_file, tmp_path / 'b.safetensors', document={'format_version': 2})
    assert_refused(path, 'bundle format 2', 'reads 1')


def test_a_bundle_from_before_the_mask(tiny_bundle, tiny_bundle_file, tmp_path):
    _, document = safetensors_file.read(tiny_bundle_file, 'bundle')
    later = ('mask', 'shuffle', 'refine_channels')
    fields = {name: value for name, value in document['generator'].items() if name not in later}
    path = rewrite(tiny_bundle_file, tmp_path / 'b.safetensors', document={'generator': fields})
    loaded = load_bundle(path)
    assert loaded.generator == tiny_bundle.generator
    assert not loaded.generator.mask


def test_a_field_that_is_missing_and_has_no_default(tiny_bundle_file, tmp_path):
    _, document = safetensors_file.read(tiny_bundle_file, 'bundle')
    del document['generator']['widths']
    path = rewrite(tiny_bundle_file, tmp_path / 'b.safetensors', document=document)
    assert_refused(path, 'generator: widths is missing: must be a list of 1 to 12')


def test_a_bundle_with_a_mask_comes_back(tiny_bundle, identity, tmp_path):
    generator = tiny_bundle.generator.clone(mask=True, shuffle=2, size=128, refine_channels=4)
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 1, 128, 128, 3)).astype(np.float32)
    params = generator.init(jax.random.key(0), *pictures, identity)['params']
    path = tmp_path / 'b.safetensors'
    crop_spec = dataclasses.replace(tiny_bundle.crop_spec, size=128)
    bundle = dataclasses.replace(
        tiny_bundle, generator=generator, generator_params=params, crop_spec=crop_spec
    )
    save_bundle(path, bundle)
    loaded = load_bundle(path)
    assert loaded.generator == generator
    jax.tree.map(np.testing.assert_array_equal, loaded.generator_params, params)


@pytest.mark.parametrize('name', ['generator/to_rgb/kernel', 'identity_encoder/dense/kernel'])
def test_a_missing_tensor(tiny_bundle_file, tmp_path, name):
    path = rewrite(tiny_bundle_file, tmp_path / 'b.safetensors', drop=[name])
    assert_refused(path, name.partition('/')[2])


def test_a_tensor_of_another_shape(tiny_bundle_file, tmp_path):
    wrong = {'generator/to_rgb/bias': np.zeros(4, np.float32)}
    path = rewrite(tiny_bundle_file, tmp_path / 'b.safetensors', replace=wrong)
    assert_refused(path, 'to_rgb/bias')


def test_an_unknown_field_of_the_generator(tiny_bundle_file, tmp_path):
    _, document = safetensors_file.read(tiny_bundle_file, 'bundle')
    generator = document['generator'] | {'attention': True}
    path = rewrite(tiny_bundle_file, tmp_path / 'b.safetensors', document={'generator': generator})
    assert_refused(path, 'attention')


def test_an_identity_file_is_no_bundle(tiny_bundle, identity, tmp_path):
    path = tmp_path / 'identity.safetensors'
    identity_file.save_identity(path, identity, tiny_bundle.identity_encoder)
    assert_refused(path)


@pytest.mark.parametrize('name', ['generator/to_rgb/kernel', 'identity_encoder/dense/kernel'])
def test_weights_that_are_no_numbers(tiny_bundle_file, tmp_path, name):
    tensors, _ = safetensors_file.read(tiny_bundle_file, 'bundle')
    wrong = {name: np.full_like(tensors[name], np.nan)}
    path = rewrite(tiny_bundle_file, tmp_path / 'b.safetensors', replace=wrong)
    assert_refused(path, name.partition('/')[2], 'no finite numbers')


@pytest.mark.parametrize(
    ('part', 'fields', 'problem'),
    [
        ('generator', {'size': '64'}, "size = '64': must be a whole number"),
        ('generator', {'widths': [8] * 50}, 'must be a list of 1 to 12'),
        ('generator', {'mask': 1}, 'mask = 1: must be true or false'),
        ('generator', {'id_resolutions': [4], 'widths': [8] * 12}, 'cannot be built'),
        ('identity_encoder', {'kind': None}, 'kind = None: must be a text'),
        ('model_card', {'name': ['tiny']}, "name = ['tiny']: must be a text"),
        ('crop_spec', {'size': 32}, 'crop_spec.size is 32'),
        ('crop_spec', {'version': 2}, 'crop_spec.version is 2'),
        ('crop_spec', {'template': [[0.5, 0.5]] * 5}, 'must be five points'),
        ('crop_spec', {'arcface_window': [0.9, 0.1, 0.1, 0.9]}, 'must be left, top, right'),
    ],
)
def test_fields_of_a_part_that_are_wrong(tiny_bundle_file, tmp_path, part, fields, problem):
    _, document = safetensors_file.read(tiny_bundle_file, 'bundle')
    changed = {part: document[part] | fields}
    path = rewrite(tiny_bundle_file, tmp_path / 'b.safetensors', document=changed)
    assert_refused(path, problem)


def test_every_field_of_a_generator_is_held_to_a_rule(tiny_bundle_file):
    """Loading refuses what it has no rule for."""
    _, document = safetensors_file.read(tiny_bundle_file, 'bundle')
    assert set(document['generator']) == set(bundle_module._GENERATOR_RULES)


def test_a_model_card_is_read_or_named(tmp_path):
    card = tmp_path / 'card.json'
    card.write_text('{"name": "mine", "steps": 3}')
    assert read_model_card(card) == {'name': 'mine', 'steps': 3}
    card.write_text('{"name": ')
    for path in (card, tmp_path / 'none.json'):
        with pytest.raises(UserError, match=f'^{path}: .*; give a JSON file'):
            read_model_card(path)
