"""The command line of training, as far as it goes without training."""

import subprocess
import sys

import pytest

from support.processes import environment


@pytest.mark.parametrize(
    'arguments, value',
    [
        (['--config=configs/tiny.py', '--config.data_dir=/none/here'], '/none/here'),
        (['--config', 'tiny', '--config.batchsize=4'], 'did you mean config.batch_size'),
        (['--config=tiny', '--config.batch_size=four'], '--config.batch_size=8'),
        (['--config=configs/none.py'], 'lite64'),
        ([], '--config=configs/tiny.py'),
        (['--mode=export'], '--workdir'),
        (['--mode=evaluate'], '--workdir'),
        (['--mode=evaluate', '--workdir=/none'], '/none'),
    ],
)
def test_the_command_exits_with_one_line(arguments, value, tmp_path):
    process = subprocess.run(
        [sys.executable, '-m', 'apgan_jax.main', *arguments],
        # No folder `configs` is here: the installed one is meant.
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr.startswith('apgan_jax.main: ')
    assert value in process.stderr
    assert process.stderr.count('\n') == 1
