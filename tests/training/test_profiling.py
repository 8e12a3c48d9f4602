"""Which steps are traced; that a trace is written is seen in test_train."""

import jax
import pytest

from apgan_jax.training.profiling import StepTrace


@pytest.fixture
def events(monkeypatch):
    """What was asked of JAX's profiler, in order."""
    asked = []
    monkeypatch.setattr(jax.profiler, 'start_trace', lambda folder: asked.append(folder.name))
    monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: asked.append('stop'))
    return asked


def run(tmp_path, events, steps, **fields):
    trace = StepTrace(tmp_path, **fields)
    for step in steps:
        trace.start(step)
        events.append(step)
        trace.stop(step, {})
    trace.close()
    return events


def test_the_steps_asked_for_are_traced(tmp_path, events):
    found = run(tmp_path, events, [1, 2, 3, 4, 5], first_step=3, num_steps=2)
    assert found == [1, 2, 'tensorboard', 3, 4, 'stop', 5]


def test_without_a_first_step_there_is_no_trace(tmp_path, events):
    assert run(tmp_path, events, [1, 2], first_step=0, num_steps=5) == [1, 2]


def test_a_run_that_goes_on_or_ends_among_them_traces_what_it_does(tmp_path, events):
    found = run(tmp_path, events, [4, 5], first_step=3, num_steps=10)
    assert found == ['tensorboard', 4, 5, 'stop']
