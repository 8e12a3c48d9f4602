"""What the speed comparisons share: workers that are timed in turn, and the JSON line.

Each side of a comparison lives in a process of its own, on the same cores, and only one of them
works at a time: two frameworks in one process leave threads that spin against each other.
"""

import importlib
import json
import multiprocessing
import os
import statistics
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from apgan_jax.errors import UserError
from apgan_jax.runtime import keep_memory

NUM_THREADS = 2


class Worker:
    """A class of another process: `call(method, …)` runs a method there and waits for it.

    Arguments and results are pickled, so they should be NumPy arrays and plain values.
    """

    def __init__(self, module: str, class_name: str, *arguments: Any) -> None:
        """Imports `module` in a new process and makes an object of its `class_name` there."""
        context = multiprocessing.get_context('spawn')
        self._connection, connection = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(connection, module, class_name, arguments), daemon=True
        )
        self._process.start()
        # Only the child holds its end now: when it dies, `recv` raises instead of waiting.
        connection.close()
        self._receive()

    def call(self, method: str, *arguments: Any) -> Any:
        """Runs the method.

        Raises:
          UserError: as the method raised it.
          RuntimeError: any other exception of the method, with its traceback.
        """
        self._connection.send((method, arguments))
        return self._receive()

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.terminate()

    def _receive(self) -> Any:
        try:
            kind, value = self._connection.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            raise RuntimeError(f'a worker ended with exit code {code}') from None
        if kind == 'user error':
            raise UserError(value)
        if kind == 'error':
            raise RuntimeError(value)
        return value


def _serve(connection: Any, module: str, class_name: str, arguments: tuple[Any, ...]) -> None:
    if hasattr(os, 'sched_setaffinity'):
        # XLA sizes its thread pool by this; PyTorch is told the same number.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_THREADS])
    # Both sides profit, PyTorch too; our programs do it for themselves.
    keep_memory()

    def start() -> Any:
        return getattr(importlib.import_module(module), class_name)(*arguments)

    try:
        side = _answer(connection, start)
        while True:
            method, method_arguments = connection.recv()
            _answer(connection, getattr(side, method), *method_arguments, send=True)
    except (EOFError, BrokenPipeError):
        # The other process is done, or was stopped.
        return


def _answer(
    connection: Any, function: Callable[..., Any], *arguments: Any, send: bool = False
) -> Any:
    """Sends the result if `send`, or the exception; returns the result."""
    try:
        value = function(*arguments)
    except UserError as error:
        connection.send(('user error', str(error)))
    except Exception:
        # Whatever it was, it belongs on the other side of the pipe.
        connection.send(('error', traceback.format_exc()))
    else:
        connection.send(('result', value if send else None))
        return value
    return None


def seconds_a_call(function: Callable[[], Any], calls: int) -> float:
    """Median of `calls` calls after one that warms the caches up; `function` blocks."""
    function()
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def interleave(clocks: Sequence[Callable[[], float]], rounds: int) -> list[float]:
    """Asks each clock in turn, `rounds` times; the median of each."""
    times = [[clock() for clock in clocks] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def print_json(values: dict[str, Any]) -> None:
    """The line that a benchmark prints last."""
    print(json.dumps(values), flush=True)
