"""Runs that are stopped: by signals, by SIGKILL, on one process and on two."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import orbax.checkpoint as ocp
import pytest

from apgan_jax.data.records import SYNTHETIC_KEY
from apgan_jax.files.image_files import encode_image
from apgan_jax.training import checkpointing
from apgan_jax.training.preemption import StopRequest
from apgan_jax.training.run_log import read_run
from benchmarks import resume
from benchmarks.scaling import free_port
from support.departures import DEPARTURES
from support.faces import make_records, numbered_picture, oval_landmarks, write_dataset
from support.processes import ROOT, environment

TINY = 'configs/tiny.py'


def test_sigterm_saves_the_step_and_the_command_goes_on_from_it(built_dataset, tmp_path):
    arguments = [f'--config={TINY}', f'--config.data_dir={built_dataset.folder}']
    command = [sys.executable, '-m', 'apgan_jax.main', *arguments, f'--workdir={tmp_path}']
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / 'checkpoints' / '1', process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143
    step = max(int(path.name) for path in (tmp_path / 'checkpoints').iterdir())
    assert errors.splitlines()[-1] == (
        f'apgan_jax.main: stopped by SIGTERM after step {step}, which is saved; the same command '
        'goes on from there'
    )
    again = subprocess.run(
        [*command, f'--config.num_steps={step + 1}'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert f'resuming from step {step} of' in again.stdout
    assert (tmp_path / 'checkpoints' / str(step + 1)).is_dir()


def test_a_killed_run_ends_bit_for_bit_where_an_undisturbed_one_does(built_dataset, tmp_path):
    result = resume.run(
        tmp_path, data_dir=built_dataset.folder, steps=16, kills=2, save_interval=4, seed=1
    )
    recomputed = result.pop('most_steps_recomputed')
    assert result == {'kills': 2, 'bit_exact': True, 'save_interval': 4}
    assert 0 <= recomputed <= 4


@pytest.fixture
def photos_and_reverse(tmp_path):
    """Two photos each of twelve people, every third head turned; and swapped ones of them."""

    def points(number):
        return oval_landmarks(64, turned=number % 3 == 0)

    def truth(number):
        return {'truth': encode_image(numbered_picture(number + 1, 64), '.png'), 'made_by': b'lite'}

    def person(number):
        return f'person {number % 12}'

    photos = make_records(24, person, 64, points=points)
    swapped = make_records(24, person, 64, points=points, more=truth)
    folders = write_dataset(tmp_path / 'a', photos, 64), write_dataset(tmp_path / 'b', swapped, 64)
    metadata = folders[1] / 'metadata.json'
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), SYNTHETIC_KEY: {}}))
    return folders


@pytest.fixture
def neither_tensorflow_nor_mediapipe(tmp_path, monkeypatch):
    """As if they were not installed, for processes that are started."""
    folder = tmp_path / 'absent'
    folder.mkdir()
    for name in ('tensorflow', 'mediapipe'):
        (folder / f'{name}.py').write_text(f'raise ModuleNotFoundError(name={name!r})\n')
    path = os.pathsep.join([str(folder), str(ROOT)])
    monkeypatch.setenv('PYTHONPATH', path)


@pytest.mark.slow
def test_a_killed_run_with_all_departures_does_so_too(
    photos_and_reverse, neither_tensorflow_nor_mediapipe, tmp_path
):
    photos, reverse = photos_and_reverse
    # Sources that are changed at random would never be found among those kept.
    still = {'data.source_jitter.brightness': 0, 'data.source_jitter.rotation': 0}
    values = {**DEPARTURES, **still, 'data.reverse_dir': reverse}
    result = resume.run(
        tmp_path,
        data_dir=photos,
        steps=16,
        kills=2,
        save_interval=4,
        seed=1,
        fields=[f'{name}={value}' for name, value in values.items()],
    )
    assert (result['kills'], result['bit_exact']) == (2, True)
    assert 0 <= result['most_steps_recomputed'] <= 4
    terms = {tag.rpartition('/')[2] for tag in read_run(tmp_path / 'killed').scalars}
    assert {'truth', 'mask_error', 'mask_cost', 'shift', 'landmarks'} <= terms


def test_differences_are_found(tmp_path):
    for name, value in (('a', 1.0), ('b', 1.0), ('c', 2.0)):
        save_number(tmp_path / name, value)
    assert resume.different(tmp_path / 'a', tmp_path / 'b', 1) == []
    assert resume.different(tmp_path / 'a', tmp_path / 'c', 1) == ["['number']"]


def save_number(workdir, value):
    manager = checkpointing.open_manager(workdir, most_steps_lost=2, max_to_keep=1)
    manager.save(
        1,
        args=ocp.args.Composite(
            state=ocp.args.StandardSave({'number': jax.numpy.float32(value)}),
            batches=ocp.args.JsonSave({'next_index': 1}),
        ),
    )
    manager.close()


def test_lost_steps_are_counted_from_the_step_gone_on_from():
    attempts = [resume.Attempt(0, 7, -9), resume.Attempt(4, 13, -9), resume.Attempt(10, 20, 0)]
    assert resume.steps_recomputed(attempts) == [3, 3]


def test_sigterm_to_one_of_two_processes_stops_both_after_the_same_step(tmp_path):
    port = free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), str(port), str(index)],
            env=environment(JAX_PLATFORMS='cpu'),
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    wait_for(tmp_path / 'started', processes[0])
    processes[1].send_signal(signal.SIGTERM)
    answers = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    assert answers[0] == answers[1]
    assert answers[0]['saved'] == answers[0]['stopped'] > 3
    # The second one finds no handler.
    assert answers[0]['sigterm_caught'] == [True, False]


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, f'ended with {process.returncode}'
        time.sleep(0.05)


def catches_sigterm():
    """Whether a handler is there; JAX's is none of Python's."""
    fields = dict(line.split(':\t') for line in Path('/proc/self/status').read_text().splitlines())
    return bool(int(fields['SigCgt'], 16) >> (signal.SIGTERM - 1) & 1)


def stop_together(workdir, port, index):
    """One of the two processes: steps without a network, until both have stopped."""
    jax.distributed.initialize(f'localhost:{port}', num_processes=2, process_id=index)
    manager = checkpointing.open_manager(workdir, most_steps_lost=10**6, max_to_keep=3)
    save_args = ocp.args.Composite(item=ocp.args.JsonSave({'x': 1}))
    step, caught = 0, [catches_sigterm()]
    with StopRequest() as stop:
        stopped = False
        while not stopped:
            step += 1
            time.sleep(0.05)
            stopped = stop.reached(manager, step)
            manager.save(step, args=save_args, force=stopped)
            if step == 3 and index == 0:
                (workdir / 'started').touch()
        manager.wait_until_finished()
    caught.append(catches_sigterm())
    answer = {'stopped': step, 'saved': manager.latest_step(), 'signal': stop.number}
    answer |= {'sigterm_caught': caught}
    manager.close()
    jax.distributed.shutdown()
    return answer


if __name__ == '__main__':
    print(json.dumps(stop_together(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
