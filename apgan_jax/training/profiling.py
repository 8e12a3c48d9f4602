"""The trace of some steps, for TensorBoard's profiler: what host and devices did, and when.

`--config.profile.first_step=100` traces step 100 and the four after it into
WORKDIR/tensorboard/plugins/profile, where `tensorboard --logdir WORKDIR` shows it if it has the
plugin `tensorboard-plugin-profile`. Only the first process writes. A session's first step compiles:
choose a later one. Traced steps are slower, and so is what the log says of their speed.
"""

from pathlib import Path
from typing import Any

import jax


class StepTrace:
    """Starts and ends the trace at its steps.

    Args:
      workdir: of the run.
      first_step: the first that is traced, from 1; 0: none is.
      num_steps: how many are.
    """

    def __init__(self, workdir: Path, *, first_step: int, num_steps: int) -> None:
        self._folder = Path(workdir) / 'tensorboard'
        speaks = first_step > 0 and jax.process_index() == 0
        self._steps = range(first_step, first_step + num_steps) if speaks else range(0)
        self._is_running = False

    def start(self, step: int) -> None:
        """Begins the trace if this step, which is about to wait for its data, is one of them."""
        if step in self._steps and not self._is_running:
            jax.profiler.start_trace(self._folder)
            self._is_running = True

    def stop(self, step: int, outputs: Any) -> None:
        """Writes the trace if this step was the last of them.

        Args:
          step: the one just dispatched.
          outputs: of it; the trace waits until the devices have computed them.
        """
        if self._is_running and step + 1 not in self._steps:
            jax.block_until_ready(outputs)
            self.close()

    def close(self) -> None:
        """Writes the trace if it still runs: the run ended before its last step."""
        if self._is_running:
            jax.profiler.stop_trace()
            self._is_running = False
