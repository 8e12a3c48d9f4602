"""Timing and memory with known answers."""

import mmap

import numpy as np
import pytest

from apgan_jax.training.speed import Lap, StepTimer, memory_in_use, peak_flops
from support.log_lines import Clock


def test_waiting_counts_as_waiting_and_pauses_count_nowhere():
    clock = Clock()
    timer = StepTimer(clock)
    for _ in range(4):
        with timer.waiting():
            clock.after(0.5)
        clock.after(1.5)
        timer.count()
    with timer.paused():
        clock.after(60.0)
    assert timer.lap() == Lap(steps=4, seconds=8.0, waited=2.0)
    timer.restart()
    assert timer.lap() == Lap(steps=0, seconds=0.0, waited=0.0)


def test_peaks_of_known_devices_only():
    assert peak_flops('TPU v4') == 275e12
    assert peak_flops('NVIDIA A100-SXM4-80GB') == 312e12
    assert peak_flops('NVIDIA H100 80GB HBM3') == 989e12
    assert peak_flops('NVIDIA H100X') is None
    assert peak_flops('cpu') is None


def test_memory_in_use_holds_what_the_process_holds():
    ((name, before),) = memory_in_use().items()
    # Not from the heap, which may have kept as much from earlier tests.
    block = mmap.mmap(-1, 2**28)
    np.frombuffer(block, np.uint8)[:] = 1
    assert name in ('process_memory_gib', 'device_memory_gib')
    if name == 'process_memory_gib':
        assert memory_in_use()[name] - before == pytest.approx(0.25, abs=0.05)
