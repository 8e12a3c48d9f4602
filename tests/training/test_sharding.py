"""The mesh, several devices and several processes against one."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from apgan_jax.errors import UserError
from apgan_jax.training import sharding
from benchmarks.scaling import free_port
from support.processes import ROOT
from support.small_step import run, two_steps

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


@pytest.mark.parametrize('batch_size, accumulation_steps', [(6, 4), (8, 0), (0, 1)])
def test_batches_that_cannot_be_spread_evenly_are_refused(batch_size, accumulation_steps):
    with pytest.raises(UserError, match=rf'batch_size={batch_size}: .*={accumulation_steps};'):
        sharding.local_batch_size(batch_size, accumulation_steps=accumulation_steps)


def test_one_process_reads_the_whole_batch():
    assert sharding.local_batch_size(16 * jax.device_count(), accumulation_steps=4) == (
        16 * jax.device_count()
    )


def test_bytes_of_a_device():
    state = {
        'kernel': jax.ShapeDtypeStruct((3, 3, 64, 128), np.float32),
        'bias': jax.ShapeDtypeStruct((128,), np.float32),
    }
    split = sharding.state_shardings(MESH, state)
    assert sharding.bytes_per_device(state, split) == (9 * 64 * 128 // 4 + 128) * 4
    whole = sharding.state_shardings(AbstractMesh((8, 1), ('data', 'fsdp')), state)
    assert sharding.bytes_per_device(state, whole) == (9 * 64 * 128 + 128) * 4


def test_collectives_are_counted_by_kind():
    hlo = """
      %all-reduce.1 = (f32[], f32[4]{0}) all-reduce(%a, %b), to_apply=%add
      ROOT %x = f32[8]{0} all-gather-start(%all-reduce.1), dimensions={0}
      %y = f32[8]{0} all-gather-done(%x), metadata={op_name="all-to-all(nothing)"}
      %all-reduce.2 = f32[] all-reduce(%c), to_apply=%add
    """
    assert sharding.count_collectives(hlo) == {'all-gather': 1, 'all-reduce': 2}


@pytest.fixture(scope='module')
def one_device():
    if jax.device_count() != 1:
        pytest.skip('more than one device')
    return two_steps()


def assert_same_losses(result, one_device):
    for step in range(2):
        expected = pytest.approx(one_device['losses'][step], rel=1e-5)
        assert result['losses'][step] == expected


def test_one_device_has_nobody_to_talk_to(one_device):
    assert one_device['collectives'] == {}
    assert one_device['split'] == 0
    assert one_device['losses'][0] != one_device['losses'][1]


def test_four_devices_and_a_batch_in_two_parts_compute_the_losses_of_one(one_device):
    (four,) = run([{'data': 2, 'fsdp': 2, 'accumulation_steps': 2}], devices=4)
    assert four['devices'] == 4
    assert_same_losses(four, one_device)
    # The state stays where it was put, in the memory that it had, and one program does all steps.
    assert four['split'] > 0
    assert four['kept_shardings']
    assert four['given_away']
    assert four['programs'] == 1
    assert four['bytes'] == four['expected_bytes'] < 0.7 * one_device['bytes']
    # Kernels and gradients travel, examples do not.
    assert set(four['collectives']) <= {'all-gather', 'all-reduce', 'reduce-scatter'}
    assert {'all-gather', 'all-reduce'} <= set(four['collectives'])


def test_two_processes_compute_the_losses_of_one(one_device):
    address = {'coordinator_address': f'127.0.0.1:{free_port()}', 'num_processes': 2}
    jobs = [
        {'data': 2, 'fsdp': 2, 'distributed': address | {'process_id': number}}
        for number in range(2)
    ]
    for result in run(jobs, devices=2):
        assert (result['devices'], result['processes']) == (4, 2)
        assert result['refused'].startswith('number: 0 on process 0, but 1 on process 1; give all')
        assert_same_losses(result, one_device)


@pytest.mark.slow
def test_the_step_of_a_tpu_slice_lowers_for_it_and_compiles_for_sixteen_devices():
    # What is computed does not matter here: no time is spent to make it fast.
    (result,) = run([{'tpu_v4': True}], devices=16, flags='--xla_backend_optimization_level=0')
    assert result['bfloat16']
    assert result['whole_kernel']
    assert set(result['collectives']) <= {'all-gather', 'all-reduce', 'reduce-scatter'}
    assert {'all-gather', 'all-reduce'} <= set(result['collectives'])


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'num_processes': 2}, 'no coordinator_address'),
        ({'process_id': 0}, 'no coordinator_address'),
        ({'coordinator_address': 'host'}, 'HOST:PORT'),
    ],
)
def test_processes_that_could_not_meet_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        sharding.start_distributed(**arguments)


def join_cluster(monkeypatch, environment, *, error=None, **arguments):
    """(what JAX was given, which GPUs it may use then), where JAX takes GPU 0 as in a cluster."""
    given = []

    def initialize(*arguments, **options):
        given.extend(arguments)
        jax.config.update('jax_cuda_visible_devices', '0')
        if error:
            raise error

    for name in ('JAX_COORDINATOR_ADDRESS', 'JAX_LOCAL_DEVICE_IDS'):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.distributed, 'initialize', initialize)
    try:
        sharding.start_distributed(**arguments)
        return given, jax.config.values['jax_cuda_visible_devices']
    finally:
        jax.config.update('jax_cuda_visible_devices', 'all')


@pytest.mark.parametrize(
    'environment, devices',
    [
        ({'SLURM_STEP_NUM_NODES': '4', 'SLURM_NTASKS': '4'}, 'all'),
        ({'SLURM_STEP_NUM_NODES': '4', 'SLURM_NTASKS': '32'}, '0'),
        ({'OMPI_COMM_WORLD_LOCAL_SIZE': '1'}, 'all'),
        ({'OMPI_COMM_WORLD_LOCAL_SIZE': '8'}, '0'),
        ({'OMPI_COMM_WORLD_LOCAL_SIZE': '1', 'JAX_LOCAL_DEVICE_IDS': '0'}, '0'),
        ({}, '0'),
    ],
)
def test_the_only_process_of_a_host_drives_all_its_gpus(monkeypatch, environment, devices):
    assert join_cluster(monkeypatch, environment)[1] == devices


def test_the_address_may_come_from_the_environment(monkeypatch):
    address = {'JAX_COORDINATOR_ADDRESS': 'host:1'}
    given, _ = join_cluster(monkeypatch, address, num_processes=2, process_id=0)
    assert given == ['host:1', 2, 0]
    with pytest.raises(UserError, match='HOST:PORT'):
        join_cluster(monkeypatch, {'JAX_COORDINATOR_ADDRESS': 'host'})


@pytest.mark.parametrize('error', [ValueError('SLURM_NTASKS is odd'), RuntimeError()])
def test_what_jax_says_of_a_cluster_is_not_swallowed(monkeypatch, error):
    with pytest.raises(UserError, match=r'SLURM_NTASKS is odd|RuntimeError; start all'):
        join_cluster(monkeypatch, {}, error=error)


START = (
    'from apgan_jax.training.sharding import *; start_distributed({}); print(jax.process_count())'
)


def start(arguments=''):
    command = [sys.executable, '-c', START.format(arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_machine_without_a_cluster_is_left_alone():
    process = start()
    assert (process.stdout, process.returncode) == ('1\n', 0), process.stderr


@pytest.mark.parametrize(
    'arguments, message',
    [
        ("coordinator_address='127.0.0.1:1'", 'Number of processes must be defined'),
        (
            "coordinator_address='127.0.0.1:1', num_processes=2, process_id=2",
            'process_id < num_processes',
        ),
    ],
)
def test_what_jax_refuses_is_one_line(arguments, message):
    last = start(arguments).stderr.splitlines()[-1]
    assert last.startswith('apgan_jax.errors.UserError: config.distributed: coordinator_address=')
    assert message in last
