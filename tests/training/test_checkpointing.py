"""Saving and restoring small states; the whole run is in test_train.py and test_resume.py."""

import copy
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from apgan_jax.errors import UserError, first_line
from apgan_jax.face.alignment import CropSpec
from apgan_jax.training import checkpointing, sharding
from configs import tiny
from support.checkpoints import INPUTS, batches_of, save_once, small_state
from support.processes import environment


def restore(workdir, config, *, inputs=INPUTS, shardings=None):
    """(state, changes, step)."""
    manager = checkpointing.open_manager(workdir, most_steps_lost=2, max_to_keep=3)
    shardings = shardings or sharding.state_shardings(sharding.create_mesh(), small_state())
    state, changes = checkpointing.restore(
        manager,
        abstract_state=jax.tree.map(
            lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
            small_state(),
            shardings,
        ),
        batches=batches_of(workdir / 'data'),
        crop_spec=CropSpec(size=config.size),
        config=config.to_dict(),
        inputs=inputs,
    )
    step = manager.latest_step()
    manager.close()
    return state, changes, step


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('saved')
    save_once(workdir, small_state(), tiny.get_config())
    return workdir


def changed(name, value, **others):
    config = copy.deepcopy(tiny.get_config())
    config.update_from_flattened_dict({name: value} | others)
    return config


@pytest.mark.parametrize(
    'name, value',
    [
        ('num_steps', 5),
        ('data_dir', '/moved'),
        ('data.reverse_dir', '/moved'),
        ('log_every', 3),
        ('checkpoint_every', 7),
        ('keep_checkpoints', 1),
        ('profile.first_step', 100),
        ('mesh.fsdp', 2),
        ('data.num_threads', 1),
        ('data.cached_sources', 9),
        ('data.prefetch', 2),
    ],
)
def test_where_it_runs_and_how_it_reports_may_change(saved, name, value):
    _, changes, _ = restore(saved, changed(name, value))
    assert changes == []


def test_a_new_course_is_reported(saved):
    _, changes, _ = restore(saved, changed('loss.identity_weight', 12.5))
    assert changes == ['loss.identity_weight 10.0 -> 12.5']
    _, changes, _ = restore(saved, changed('cpu_products', 'bfloat16'))
    assert changes == ['cpu_products float32 -> bfloat16']
    # More steps move the decay, and with it the rate.
    config = changed('num_steps', 5_000, **{'optimizer.decay_steps': 100})
    _, changes, _ = restore(saved, config)
    assert changes == ['num_steps 1000 -> 5000', 'optimizer.decay_steps 0 -> 100']


@pytest.mark.parametrize(
    'name, value, text',
    [
        ('seed', 1, 'seed 0 -> 1'),
        ('batch_size', 16, 'batch_size 8 -> 16'),
        ('generator.pe_hidden', 4, 'generator.pe_hidden 8 -> 4'),
        ('identity_encoder', 'sface', 'identity_encoder mobilefacenet -> sface'),
    ],
)
def test_another_run_is_refused_in_one_line(saved, name, value, text):
    with pytest.raises(UserError, match=rf'checkpoints/4 is of another run \({text}\)') as caught:
        restore(saved, changed(name, value))
    assert '\n' not in str(caught.value)


def test_a_field_newer_than_the_checkpoint_is_reported(saved):
    config = copy.deepcopy(tiny.get_config())
    with config.unlocked():
        config.discriminator.invented_later = 3
    _, changes, _ = restore(saved, config)
    assert changes == ['discriminator.invented_later None -> 3']


def test_a_run_from_before_reverse_data_sets_goes_on(saved, monkeypatch):
    read = checkpointing._restore

    def as_it_was(*arguments, **items):
        found = read(*arguments, **items)
        if 'inputs' in items:
            del found['inputs']['reverse_bytes']
        return found

    monkeypatch.setattr(checkpointing, '_restore', as_it_was)
    _, changes, _ = restore(saved, tiny.get_config())
    assert changes == []


@pytest.mark.parametrize('name', [field.name for field in dataclasses.fields(INPUTS)])
def test_other_inputs_are_refused(saved, name):
    inputs = dataclasses.replace(INPUTS, **{name: 12})
    with pytest.raises(UserError, match=rf'another run \({name} \w+ -> 12\)'):
        restore(saved, tiny.get_config(), inputs=inputs)


def test_the_iterator_goes_on_where_it_was(tmp_path):
    uninterrupted = batches_of(tmp_path / 'data')
    manager = checkpointing.open_manager(tmp_path, most_steps_lost=1, max_to_keep=1)
    for step in (1, 2, 3):
        next(uninterrupted)
        config = tiny.get_config()
        checkpointing.save(
            manager,
            step,
            state=small_state(),
            batches=uninterrupted,
            crop_spec=CropSpec(size=64),
            config=config.to_dict(),
            inputs=INPUTS,
        )
    resumed = batches_of(tmp_path / 'data')
    checkpointing.restore(
        manager,
        abstract_state=small_state(),
        batches=resumed,
        crop_spec=CropSpec(size=64),
        config=config.to_dict(),
        inputs=INPUTS,
    )
    manager.close()
    for _ in range(6):
        jax.tree.map(np.testing.assert_array_equal, next(resumed), next(uninterrupted))


def test_two_processes_go_on_with_the_batches_of_one(tmp_path):
    one = batches_of(tmp_path / 'data')
    for _ in range(5):
        next(one)
    shards = [batches_of(tmp_path / 'data', batch_size=1, shard=(index, 2)) for index in range(2)]
    for shard in shards:
        shard.set_state(one.get_state())
    for _ in range(6):
        parts = [next(shard) for shard in shards]
        together = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
        jax.tree.map(np.testing.assert_array_equal, together, next(one))


def test_due_steps_are_half_of_the_most_lost_apart_and_the_newest_stay(tmp_path):
    manager = checkpointing.open_manager(tmp_path, most_steps_lost=4, max_to_keep=3)
    batches = batches_of(tmp_path / 'data')
    due = [
        checkpointing.save(
            manager,
            step,
            state=small_state(),
            batches=batches,
            crop_spec=CropSpec(size=64),
            config={},
            inputs=INPUTS,
        )
        for step in range(1, 9)
    ]
    manager.wait_until_finished()
    assert manager.all_steps() == [4, 6, 8]
    manager.close()
    # The first step, so that a run is never without a checkpoint, and then every second.
    assert due == [True, True, False, True, False, True, False, True]


def test_a_half_written_checkpoint_is_not_read(saved):
    whole = saved / 'checkpoints' / '4'
    half = saved / 'checkpoints' / '6.orbax-checkpoint-tmp'
    (half / 'state').mkdir(parents=True)
    (half / 'config').mkdir()
    (half / 'config' / 'metadata').write_text('{"seed"')
    state, _, step = restore(saved, tiny.get_config())
    assert step == 4
    assert whole.is_dir()
    np.testing.assert_array_equal(state['kernel'], small_state()['kernel'])


def test_a_damaged_checkpoint_is_refused_with_its_folder(tmp_path):
    save_once(tmp_path, small_state(), tiny.get_config())
    (tmp_path / 'checkpoints' / '4' / 'config' / 'metadata').write_text('{"seed"')
    with pytest.raises(UserError, match=r'checkpoints/4: .* is damaged; move that folder away'):
        restore(tmp_path, tiny.get_config())


def test_a_checkpoint_of_another_version_is_not_called_damaged(saved, tmp_path):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / 'checkpoints' / '4' / 'inputs')
    with pytest.raises(UserError, match=r'"inputs" was not found .* is of another version; go on'):
        restore(tmp_path, tiny.get_config())


def test_a_state_of_another_version_is_not_called_damaged(saved, monkeypatch):
    state = small_state() | {'more': np.zeros(3, np.float32)}
    monkeypatch.setitem(globals(), 'small_state', lambda: state)
    with pytest.raises(UserError, match=r'checkpoints/4: .* is of another version') as caught:
        restore(saved, tiny.get_config())
    assert '\n' not in str(caught.value)


def test_init_from_does_nothing_to_a_run_that_goes_on(saved):
    _, changes, _ = restore(saved, changed('init_from', 'some.safetensors'))
    assert changes == ['init_from some.safetensors (ignored: only a new run starts from it)']


def test_the_first_line_of_an_exception():
    assert first_line(ValueError('\nfirst\nsecond')) == 'first'
    assert first_line(ValueError()) == 'ValueError'


def test_a_state_moves_to_another_mesh_and_back(saved, tmp_path):
    """Saved on one device, restored and saved on four that share it, exported from one."""
    process = subprocess.run(
        [sys.executable, __file__, str(saved), str(tmp_path)],
        env=environment(XLA_FLAGS='--xla_force_host_platform_device_count=4', JAX_PLATFORMS='cpu'),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout.splitlines()[-1])
    assert answer == {'devices': 4, 'shard': [64, 128], 'equal': True}
    state, crop_spec, config, step = checkpointing.restore_for_export(tmp_path)
    np.testing.assert_array_equal(state['kernel'], small_state()['kernel'])
    assert (crop_spec, config['size'], step) == (CropSpec(size=64), 64, 4)


def move(source, target):
    """What the four devices do."""
    shardings = sharding.state_shardings(sharding.create_mesh(fsdp=4), small_state())
    state, _, _ = restore(source, changed('mesh.fsdp', 4), shardings=shardings)
    kernel = state['kernel']
    save_once(target, state, tiny.get_config())
    return {
        'devices': jax.device_count(),
        'shard': kernel.addressable_shards[0].data.shape,
        'equal': bool((np.asarray(kernel) == small_state()['kernel']).all()),
    }


if __name__ == '__main__':
    print(json.dumps(move(Path(sys.argv[1]), Path(sys.argv[2]))))
