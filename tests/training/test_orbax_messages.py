"""What reaches the terminal of a process that says what Orbax says, and things of its own."""

import subprocess
import sys

import pytest

from support.processes import environment

# Messages of Orbax are known by the file that logs them.
SCRIPT = """
import logging as standard_logging
import warnings

from absl import logging

from apgan_jax.training.orbax_messages import silence_orbax

silence_orbax()
silence_orbax()
logging.set_verbosity(logging.{verbosity})


class Dropped:
    def __init__(self, reason):
        self.reason = reason

    def __del__(self):
        raise RuntimeError(self.reason)


def say(line):
    logging.error(line)


of_orbax = {{'logging': logging}}
exec(compile('def say(line): logging.error(line)', 'site-packages/orbax/a.py', 'exec'), of_orbax)
of_orbax['say']('Orbax: lost')
say('ours: kept')
standard_logging.getLogger('asyncio').error('Task exception was never retrieved')
standard_logging.getLogger('asyncio').error('asyncio: kept')
warnings.warn('coroutine save was never awaited', RuntimeWarning)
warnings.warn('warning: kept', RuntimeWarning)
Dropped('Event loop is closed')
Dropped('dropped: kept')
"""
OURS = ['ours: kept', 'asyncio: kept', 'warning: kept', 'dropped: kept']
ORBAXS = ['Orbax: lost', 'never retrieved']


@pytest.mark.parametrize(
    ('verbosity', 'shown', 'hidden'),
    [
        ('WARNING', OURS, [*ORBAXS, 'never awaited', 'Event loop']),
        ('INFO', [*OURS, *ORBAXS], ['never awaited', 'Event loop']),
    ],
)
def test_orbaxs_messages_are_hidden_and_others_are_not(verbosity, shown, hidden):
    process = subprocess.run(
        [sys.executable, '-c', SCRIPT.format(verbosity=verbosity)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in shown if line not in process.stderr] == []
    assert [line for line in hidden if line in process.stderr] == []
