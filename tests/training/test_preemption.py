"""Signals end a run after the step at hand; whole runs that are stopped are in test_resume."""

import os
import signal
import threading

import pytest

from apgan_jax.training.preemption import PreemptedError, StopRequest


class NoPreemption:
    """Of JAX's service there is nothing to hear on one process."""

    def reached_preemption(self, step):
        return False


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_the_step_and_a_second_one_at_once(number, capfd):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.reached(NoPreemption(), 1)
        os.kill(os.getpid(), number)
        assert stop.reached(NoPreemption(), 1)
        assert stop.number == number
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before
    assert f'{number.name}: saving and stopping' in capfd.readouterr().err


class PreemptedAt:
    """JAX's service on several processes, which has agreed on a step."""

    def __init__(self, step):
        self.step = step

    def reached_preemption(self, step):
        return step >= self.step


def test_the_step_that_all_processes_agreed_on_is_the_last():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with StopRequest() as stop:
            assert [stop.reached(PreemptedAt(3), step) for step in (1, 2, 3)] == [
                False,
                False,
                True,
            ]
            # A second SIGTERM is to end the process while it saves.
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert stop.number == signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_a_signal_nothing_stops():
    with StopRequest() as stop:
        assert not any(stop.reached(NoPreemption(), step) for step in range(5))


def test_outside_the_main_thread_nothing_is_listened_to():
    before, answers = signal.getsignal(signal.SIGINT), []

    def run():
        with StopRequest() as stop:
            answers.append((signal.getsignal(signal.SIGINT), stop.reached(PreemptedAt(1), 1)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert answers == [(before, True)]


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_error_is_a_line_and_a_shells_exit_code(number, code):
    error = PreemptedError(7, number)
    assert error.exit_code == code
    assert str(error).startswith(f'stopped by {number.name} after step 7, which is saved; ')
    assert '\n' not in str(error)
