"""The mesh. Run as a program, this file prints the losses of two steps on all devices there are."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from faces import random_state
from jax.sharding import AbstractMesh, PartitionSpec

from apgan_jax import sharding
from apgan_jax.errors import UserError
from apgan_jax.losses import LossWeights
from apgan_jax.models.discriminator import MultiScaleDiscriminator
from apgan_jax.models.generator import Generator
from apgan_jax.models.identity import load_identity_encoder
from apgan_jax.train_step import TrainingModel, train_step

ROOT = Path(__file__).resolve().parents[1]
MESH = AbstractMesh((2, 4), ('data', 'fsdp'))


def spec_of(*shape):
    return sharding.state_shardings(MESH, jax.ShapeDtypeStruct(shape, np.float32)).spec


@pytest.mark.parametrize(
    'shape, expected',
    [
        ((3, 3, 64, 128), PartitionSpec(None, None, None, 'fsdp')),
        ((3, 3, 256, 64), PartitionSpec(None, None, 'fsdp')),
        ((40_000,), PartitionSpec('fsdp')),
        # 130 is the largest axis, but four does not divide it.
        ((3, 3, 64, 130), PartitionSpec(None, None, 'fsdp')),
        ((131, 133), PartitionSpec()),
        # Small arrays stay whole.
        ((128,), PartitionSpec()),
        ((), PartitionSpec()),
    ],
)
def test_the_largest_axis_that_divides_is_split(shape, expected):
    assert spec_of(*shape) == expected


def test_without_fsdp_the_state_is_whole_everywhere():
    state = {'kernel': jax.ShapeDtypeStruct((3, 3, 64, 128), np.float32)}
    mesh = AbstractMesh((8, 1), ('data', 'fsdp'))
    assert sharding.state_shardings(mesh, state)['kernel'].spec == PartitionSpec()


def test_the_batch_is_split_over_all_devices():
    assert sharding.batch_sharding(MESH).spec == PartitionSpec(('data', 'fsdp'))
    assert sharding.batch_sharding(MESH).shard_shape((16, 5)) == (2, 5)
    assert sharding.replicated(MESH).shard_shape((16, 5)) == (16, 5)


def test_the_mesh_of_one_device():
    if jax.device_count() != 1:
        pytest.skip('more than one device')
    for sizes in ({}, {'data': 1, 'fsdp': -1}, {'data': 1, 'fsdp': 1}):
        assert dict(sharding.create_mesh(**sizes).shape) == {'data': 1, 'fsdp': 1}
    batch = {'x': np.arange(6.0).reshape(3, 2)}
    placed = sharding.put_batch(batch, sharding.batch_sharding(sharding.create_mesh()))
    np.testing.assert_array_equal(placed['x'], batch['x'])


@pytest.mark.parametrize(
    'sizes', [{'data': 3}, {'data': -1, 'fsdp': 3}, {'data': -1, 'fsdp': -1}, {'data': 0}]
)
def test_sizes_that_do_not_fit_the_devices_are_refused(sizes):
    with pytest.raises(UserError, match=r'must multiply to the .* devices'):
        sharding.create_mesh(**sizes)


def small_model():
    """Trained by SGD: Adam amplifies the rounding of near-zero gradients."""
    return TrainingModel(
        generator=Generator(
            size=16,
            widths=(8, 16, 64),
            id_resolutions=(4, 8),
            pe_resolutions=(8, 16),
            skip_resolutions=(4, 8, 16),
            pe_hidden=4,
            id_features=8,
        ),
        discriminator=MultiScaleDiscriminator(width=32, depth=2, num_scales=1),
        identity_encoder=load_identity_encoder(),
        generator_tx=optax.sgd(1e-3),
        discriminator_tx=optax.sgd(1e-3),
        weights=LossWeights(),
    )


def random_batch():
    rng = np.random.default_rng(0)
    names = ('source', 'target', 'boundary_map')
    batch = {name: rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8) for name in names}
    return batch | {'same_image': np.array([True, False, False, True])}


def losses_of_two_steps(**mesh_sizes):
    """Losses by step, and how many arrays of the state are split."""
    mesh = sharding.create_mesh(**mesh_sizes)
    model = small_model()
    state = random_state(model)
    state = jax.device_put(state, sharding.state_shardings(mesh, state))
    encoder_params = jax.device_put(model.identity_encoder.params, sharding.replicated(mesh))
    batch = sharding.put_batch(random_batch(), sharding.batch_sharding(mesh))
    step = jax.jit(functools.partial(train_step, model), donate_argnums=0)
    rows = []
    for _ in range(2):
        state, step_metrics = step(state, encoder_params, batch)
        rows.append({name: float(value) for name, value in step_metrics.compute().items()})
    leaves = jax.tree.leaves(state)
    split = sum(not leaf.sharding.is_fully_replicated for leaf in leaves)
    return {'losses': rows, 'split': split}


def test_four_devices_compute_the_losses_of_one():
    flags = '--xla_force_host_platform_device_count=4'
    environment = os.environ | {
        'XLA_FLAGS': flags,
        'JAX_PLATFORMS': 'cpu',
        'PYTHONPATH': str(ROOT),
    }
    process = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    four = json.loads(process.stdout.splitlines()[-1])
    one = losses_of_two_steps()
    assert four['devices'] == 4
    assert four['split'] > 0
    for step in range(2):
        assert four['losses'][step] == pytest.approx(one['losses'][step], rel=1e-5, abs=1e-5)
    assert one['losses'][0] != one['losses'][1]


if __name__ == '__main__':
    print(json.dumps(losses_of_two_steps(data=2, fsdp=2) | {'devices': jax.device_count()}))
