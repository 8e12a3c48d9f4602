"""The loop on the built data set, and a step on a batch of its own."""

import dataclasses
import functools
import json
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
from tensorboardX.proto.event_pb2 import Event

from apgan_jax.data import tfrecord
from apgan_jax.errors import UserError
from apgan_jax.evaluation.of_checkpoint import evaluate_run
from apgan_jax.face import boundary
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.training.losses import LossWeights
from apgan_jax.training.run_log import read_run
from apgan_jax.training.train import train_and_evaluate
from apgan_jax.training.train_step import train_step
from benchmarks import gradient_norms
from configs import tiny
from support.faces import brighter, make_records, portrait, write_dataset
from support.processes import environment

SCALARS = {
    'generator',
    'adversarial',
    'identity',
    'reconstruction',
    'occlusion',
    'style',
    'discriminator',
    'cos_source',
    'cos_target',
}


def tiny_config(data_dir):
    config = tiny.get_config()
    config.data_dir = str(data_dir)
    config.num_steps = 4
    # Half as many steps lie between two checkpoints.
    config.checkpoint_every = 4
    config.log_every = 1
    return config


def scalars(workdir):
    """The TensorBoard scalars, {(name, step): value}; event files are TFRecords."""
    values = {}
    for path in (workdir / 'tensorboard').glob('events.*'):
        with open(path, 'rb') as file:
            for offset in tfrecord.index_tfrecord(path):
                event = Event.FromString(tfrecord.read_record(file.fileno(), offset, path))
                for value in event.summary.value:
                    if not value.tag.startswith('train/'):
                        continue
                    values[value.tag.removeprefix('train/'), event.step] = value.simple_value
    return values


def traces(workdir):
    return [path for path in workdir.rglob('*') if path.name.endswith('.xplane.pb')]


def checkpoint_steps(workdir):
    """Of the whole ones: an unfinished one has a longer name."""
    return {int(path.name) for path in (workdir / 'checkpoints').iterdir() if path.name.isdigit()}


@pytest.fixture(scope='module')
def run(built_dataset, tmp_path_factory):
    """(workdir, last state) of four steps with checkpoints of the second and the fourth."""
    workdir = tmp_path_factory.mktemp('run')
    state = train_and_evaluate(tiny_config(built_dataset.folder), workdir)
    return workdir, jax.device_get(state)


@pytest.fixture(scope='module')
def interrupted(run, tmp_path_factory):
    """The folder as a run leaves it that is killed after the second step."""
    workdir = tmp_path_factory.mktemp('interrupted')
    shutil.copytree(run[0] / 'checkpoints', workdir / 'checkpoints')
    shutil.rmtree(workdir / 'checkpoints' / '4')
    return workdir


def test_every_step_is_logged_and_finite(run):
    values = scalars(run[0])
    assert {step for _, step in values} == {1, 2, 3, 4}
    assert {name for name, _ in values} == SCALARS
    assert np.isfinite(list(values.values())).all()


def test_gradients_of_a_checkpoint_are_measured_term_by_term(run, capsys):
    arguments = ['--workdir', str(run[0]), '--batches', '2', '--weight', 'identity=0']
    assert gradient_norms.main(arguments) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (row['step'], row['batches']) == (4, 2)
    assert row['gradient'].pop('identity') == 0
    assert row['gradient'].keys() == {'adversarial', 'occlusion', 'style', 'reconstruction'}
    assert min(row['gradient'].values()) > 0
    config = tiny.get_config().discriminator
    assert len(row['discriminator']) == config.num_scales
    for scale in row['discriminator']:
        assert 0 <= scale['auc'] <= 1
        assert len(scale['features']) == config.depth
        assert min(scale['features']) > 0


@pytest.mark.parametrize('weight', ['beauty=3', 'style', 'style=much', 'style=nan'])
def test_a_weight_that_no_term_has_is_refused(weight, run, capsys):
    assert gradient_norms.main(['--workdir', str(run[0]), '--weight', weight]) == 1
    error = capsys.readouterr().err
    assert f'--weight {weight}: must be a number for one of adversarial' in error


def test_no_batches_are_no_measure(run, capsys):
    assert gradient_norms.main(['--workdir', str(run[0]), '--batches', '0']) == 1
    assert '--batches 0: must be at least 1' in capsys.readouterr().err


def test_checkpoints_are_of_the_steps_asked_for(run):
    # Orbax keeps the first step too, so that a run is never without one.
    assert checkpoint_steps(run[0]) == {1, 2, 4}


def test_a_step_changes_everything(run, tiny_state):
    _, state = run
    assert int(state.step) == 4
    for name in (
        'generator_params',
        'generator_ema_params',
        'generator_spectral',
        'discriminator_params',
        'discriminator_spectral',
    ):
        before, after = getattr(tiny_state, name), getattr(state, name)
        changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, after)
        # A unit vector of one number can only change its sign.
        changed = jax.tree.map(lambda different, leaf: different or leaf.size == 1, changed, after)
        assert np.mean(jax.tree.leaves(changed)) > 0.95, name
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after)), name


def test_the_average_differs_from_the_parameters(run):
    _, state = run
    differs = jax.tree.map(
        lambda a, b: bool(np.any(a != b)), state.generator_params, state.generator_ema_params
    )
    assert np.mean(jax.tree.leaves(differs)) > 0.95


def test_rho_stays_between_0_and_1(run):
    flat = jax.tree_util.tree_leaves_with_path(run[1].generator_params)
    rhos = np.concatenate([value for path, value in flat if path[-1].key == 'rho'])
    assert rhos.min() >= 0
    assert rhos.max() <= 1


def test_a_resumed_run_ends_bit_for_bit_where_an_uninterrupted_one_does(
    run, interrupted, built_dataset
):
    assert checkpoint_steps(interrupted) == {1, 2}
    config = tiny_config(built_dataset.folder)
    config.profile.first_step = 4
    resumed = jax.device_get(train_and_evaluate(config, interrupted))
    # Of the one step that was left of those to trace; it changes no number, here below.
    assert len(traces(interrupted)) == 1
    assert not traces(run[0])
    assert {step for _, step in scalars(interrupted)} == {3, 4}
    assert checkpoint_steps(interrupted) == {1, 2, 4}
    for (path, expected), actual in zip(
        jax.tree_util.tree_leaves_with_path(run[1]), jax.tree.leaves(resumed), strict=True
    ):
        np.testing.assert_array_equal(actual, expected, err_msg=jax.tree_util.keystr(path))


def test_a_finished_run_is_left_alone(run, built_dataset):
    logs = sorted((run[0] / 'tensorboard').iterdir())
    state = train_and_evaluate(tiny_config(built_dataset.folder), run[0])
    assert int(state.step) == 4
    assert checkpoint_steps(run[0]) == {1, 2, 4}
    assert sorted((run[0] / 'tensorboard').iterdir()) == logs


def test_an_evaluation_that_a_kill_took_is_done_by_the_next_start(run, built_dataset, tmp_path):
    shutil.copytree(run[0] / 'checkpoints', tmp_path / 'checkpoints')
    train_and_evaluate(tiny_config(built_dataset.folder), tmp_path)
    assert read_run(tmp_path).scalars['train_pairs/ssim'].keys() == {4}


def test_the_checkpoint_of_a_run_is_evaluated(run, capsys):
    evaluate_run(run[0])
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    table = json.loads((run[0] / 'evaluation.json').read_text())
    (ssim,) = (line for line in table['rows'] if line['key'] == 'ssim')
    assert row['ssim'] == pytest.approx(ssim['values'][0], abs=1e-4)
    assert row['pairs'] == ssim['counts'][0] > 0
    assert '| SSIM ↑ |' in (run[0] / 'evaluation.md').read_text()
    # The same pairs, the same weights: what the log says of the last step.
    logged = read_run(run[0]).scalars['train_pairs/ssim']
    assert row['ssim'] == pytest.approx(logged[max(logged)], abs=0.02)


def test_an_export_says_what_it_wrote_and_nothing_else(run, tmp_path):
    output = tmp_path / 'tiny.safetensors'
    process = subprocess.run(
        [
            *[sys.executable, '-m', 'apgan_jax.main', '--mode=export', f'--workdir={run[0]}'],
            *[f'--output={output}', '--with_discriminator'],
        ],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = process.stdout.splitlines()
    assert first == f'{output}: 6.5 MB, the generator of {run[0]} at step 4'
    assert second.startswith(f'{tmp_path / "tiny.discriminator.safetensors"}: ')
    assert process.stderr == ''


@pytest.mark.parametrize(
    'name, value, rule',
    [
        ('log_every', 0, 'must be at least 1'),
        ('evaluation.num_pairs', 0, 'must be at least 1'),
        ('profile.num_steps', 0, 'must be at least 1'),
        ('data.prefetch', -1, 'must be at least 1'),
        ('generator.widths', (), 'must be at least 1'),
        ('generator.widths', (8, 0, 8), 'must be at least 1'),
        ('discriminator.num_scales', 9, 'must be 7 or less'),
        ('data.max_corrupt_share', 1.5, 'must be from 0 to 1'),
        ('optimizer.ema_decay', float('nan'), 'must be from 0 to 1'),
    ],
)
def test_numbers_out_of_their_limits_are_refused(tmp_path, name, value, rule):
    config = tiny_config(tmp_path)
    config.update_from_flattened_dict({name: value})
    with pytest.raises(UserError, match=re.escape(f'config.{name}={value}: {rule}')):
        train_and_evaluate(config, tmp_path / 'run')


def test_a_full_disk_ends_a_run_in_one_line(run, built_dataset, tmp_path):
    shutil.copytree(run[0] / 'checkpoints', tmp_path / 'checkpoints')
    # Room for the log, not for the state.
    code = (
        'import resource\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n'
        'from apgan_jax import main\n'
        'main._run()'
    )
    fields = {'data_dir': built_dataset.folder, 'num_steps': 8, 'checkpoint_every': 4}
    fields |= {'evaluation.every': 0}
    process = subprocess.run(
        [
            *[sys.executable, '-c', code, '--config=tiny', f'--workdir={tmp_path}'],
            *[f'--config.{name}={value}' for name, value in fields.items()],
        ],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    bar, line = process.stderr.rsplit('\n', 2)[:2]
    assert all('step/s' in part or 's/step' in part for part in bar.split('\r') if part.strip())
    parameters, compiling = process.stdout.splitlines()[-2:]
    assert parameters.endswith(f'parameters: {tmp_path / "parameters.txt"}')
    assert compiling.startswith('compiling, about ')
    assert line == (
        f'apgan_jax.main: {tmp_path}: cannot be written (File too large); stopped, the checkpoint '
        'of step 4 is whole; make room there, and run the same command again to go on'
    )
    assert checkpoint_steps(tmp_path) == {1, 2, 4}


def test_a_checkpoint_of_another_network_is_refused(run, built_dataset):
    config = tiny_config(built_dataset.folder)
    config.generator.id_features = 16
    with pytest.raises(UserError, match=r'checkpoints/4 is of another run') as caught:
        train_and_evaluate(config, run[0])
    assert '\n' not in str(caught.value)


def test_crops_of_another_size_are_refused(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(2, str))
    with pytest.raises(UserError, match=r'crop_spec\.size is 64 in the config but 16 in .*data'):
        train_and_evaluate(tiny_config(folder), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_an_empty_data_dir_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'config\.data_dir is empty.*data_prep\.build'):
        train_and_evaluate(tiny_config(''), tmp_path / 'run')


def test_the_identity_loss_alone_moves_the_face_towards_the_source(
    tiny_model, tiny_state, portrait_face
):
    """The gradient goes through the frozen encoder, the ArcFace window and the generator."""
    face = align_face(portrait(), portrait_face.landmarks, CropSpec(size=64))
    batch = {
        'source': np.stack([face.crop, brighter(face.crop, 0.7)]),
        'target': np.stack([face.crop[:, ::-1], brighter(face.crop, 1.3)]),
        'boundary_map': np.stack([boundary.mirror(face.boundary_map), face.boundary_map]),
        'same_image': np.array([False, False]),
    }
    model = dataclasses.replace(
        tiny_model,
        weights=LossWeights(0.0, 10.0, 0.0, 0.0, 0.0, 0.0),
        generator_tx=optax.adam(1e-3, b1=0.0),
    )
    state = tiny_state.replace(
        generator_optimizer=model.generator_tx.init(tiny_state.generator_params)
    )
    step = jax.jit(functools.partial(train_step, model))
    cosines = []
    for _ in range(20):
        state, step_metrics = step(state, model.identity_encoder.params, batch)
        cosines.append(1 - float(step_metrics.identity.compute()))
    assert cosines[-1] > cosines[0] + 0.1, cosines
    assert np.mean(cosines[10:]) > np.mean(cosines[:10])
