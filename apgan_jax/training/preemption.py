"""Stopping between two steps, with the checkpoint written, when somebody asks for it.

A scheduler that takes a machine away sends SIGTERM, a user presses Ctrl-C (SIGINT). Both end the
run after the step at hand. A second signal ends the process at once.

One process keeps the signal in a flag. Of several, only some may get one: there JAX's preemption
service, which listens to SIGTERM from `jax.distributed.initialize` on, agrees on one step. A second
SIGTERM ends such a process from that step on, while it saves; until then it is as the first.
"""

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

import jax

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class PreemptedError(Exception):
    """The run was asked to stop and did, its checkpoint on disk; the message is one line.

    Attributes:
      exit_code: 128 + the signal's number, as shells have it: 143 for SIGTERM, 130 for SIGINT.
    """

    def __init__(self, step: int, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__(
            f'stopped by {name} after step {step}, which is saved; the same command goes on from '
            'there'
        )
        self.exit_code = 128 + number


def _may_listen() -> bool:
    """Python takes signal handlers from the main thread only."""
    return threading.current_thread() is threading.main_thread()


class StopRequest:
    """Listens while it is entered.

    Attributes:
      number: of the signal that came; SIGTERM if another host got it.
    """

    def __init__(self) -> None:
        self.number = int(signal.SIGTERM)
        self._asked = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # JAX's own SIGTERM handler must stay where there is one.
        if _may_listen():
            numbers = _SIGNALS if jax.process_count() == 1 else (signal.SIGINT,)
            self._previous = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop_listening()

    def reached(self, manager: Any, step: int) -> bool:
        """Whether to save and stop after `step`; the same answer on every host.

        Args:
          manager: Orbax's, which asks JAX's preemption service.
          step: the one just done; to be called after each.
        """
        if not manager.reached_preemption(step):
            return self._asked
        if _may_listen():
            # Instead of the service's handler, which would only note a second one.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return True

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._stop_listening()
        self.number = number
        if jax.process_count() > 1:
            # Ctrl-C on one host must stop all: it becomes what the preemption service hears.
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self._asked = True
        # `print` may be what was interrupted, and cannot be entered twice.
        name = signal.Signals(number).name
        os.write(2, f'\n{name}: saving and stopping; again to stop at once\n'.encode())

    def _stop_listening(self) -> None:
        while self._previous:
            number, previous = self._previous.popitem()
            signal.signal(number, previous)
