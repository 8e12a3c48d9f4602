"""From a checkpoint to a bundle, in memory and on disk."""

import json

import jax
import numpy as np
import pytest

from apgan_jax.bundle import discriminator_file_of, load_bundle, load_discriminator
from apgan_jax.errors import UserError
from apgan_jax.files.tensors import flatten
from apgan_jax.models import spectral_norm
from apgan_jax.training import export
from configs import tiny
from support.checkpoints import save_once


@pytest.fixture(scope='module')
def workdir(tiny_state, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('run')
    save_once(workdir, tiny_state, tiny.get_config())
    return workdir


def test_a_bundle_in_memory_has_the_averaged_weights_and_the_fields(workdir, tiny_state):
    bundle, fields = export.bundle_of_run(workdir)
    expected = spectral_norm.fold(tiny_state.generator_ema_params)
    jax.tree.map(np.testing.assert_array_equal, bundle.generator_params, expected)
    assert fields['generator']['widths'] == list(tiny.get_config().generator.widths)
    assert bundle.model_card['name'] == workdir.name


def test_the_card_tells_of_the_run_and_takes_more_fields(workdir, tmp_path):
    (tmp_path / 'card.json').write_text(json.dumps({'licence': 'none'}))
    output = tmp_path / 'model.safetensors'
    export.export(workdir, output, model_card=tmp_path / 'card.json')
    card = load_bundle(output).model_card
    told = {name: card[name] for name in ('name', 'steps', 'batch_size', 'licence')}
    assert told == {'name': 'model', 'steps': 4, 'batch_size': 8, 'licence': 'none'}


def test_a_discriminator_in_half_the_size_starts_a_run_too(workdir, tmp_path, tiny_state):
    output = tmp_path / 'model.safetensors'
    export.export(workdir, output, with_discriminator=True, float16=True)
    params, spectral = load_discriminator(discriminator_file_of(output))
    for name, value in flatten(tiny_state.discriminator_params).items():
        assert params[name].dtype == np.float32
        np.testing.assert_allclose(params[name], value, rtol=1e-3, atol=1e-6)
    assert spectral.keys() == tiny_state.discriminator_spectral.keys()


def test_a_file_that_exists_is_not_replaced(workdir, tmp_path):
    output = tmp_path / 'model.safetensors'
    output.touch()
    with pytest.raises(UserError, match='exists already; remove it or choose another'):
        export.export(workdir, output)
