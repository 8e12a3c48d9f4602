"""Where a run's time and memory go, and what its devices could do at most."""

import contextlib
import dataclasses
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax


@dataclasses.dataclass(frozen=True)
class Lap:
    """Steps between two log lines, the wall-clock seconds they took, and those spent on data."""

    steps: int
    seconds: float
    waited: float


class StepTimer:
    """Where the loop's time goes.

    Args:
      clock: seconds from any start.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Starts a lap now."""
        self._start, self._waited, self._steps = self._clock(), 0.0, 0

    def count(self) -> None:
        """Counts a step."""
        self._steps += 1

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The body waits for data."""
        start = self._clock()
        yield
        self._waited += self._clock() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The body is not training: it counts nowhere."""
        start = self._clock()
        yield
        self._start += self._clock() - start

    def lap(self) -> Lap:
        """What happened since the last `restart`."""
        return Lap(self._steps, self._clock() - self._start, self._waited)


# Dense bfloat16 peaks from the vendors' data sheets, FLOP/s of a JAX device.
_PEAKS = {
    'TPU v4': 275e12,
    'TPU v5 lite': 197e12,
    'TPU v5': 459e12,
    'TPU v5p': 459e12,
    'TPU v6 lite': 918e12,
    'NVIDIA A100': 312e12,
    'NVIDIA H100 PCIe': 756e12,
    'NVIDIA H100 80GB HBM3': 989e12,
    'NVIDIA H200': 989e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Peak FLOP/s in bfloat16 of a device (`jax.Device.device_kind`), None where unknown."""
    exact = _PEAKS.get(device_kind)
    # NVIDIA adds the form and the memory: 'NVIDIA A100-SXM4-80GB'.
    named = [peak for name, peak in _PEAKS.items() if device_kind.startswith(f'{name}-')]
    return exact or next(iter(named), None)


def memory_in_use() -> dict[str, float]:
    """GiB: the fullest local device's peak, or this process's where devices do not say."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    if all(stats):
        peak = max(stat.get('peak_bytes_in_use', stat['bytes_in_use']) for stat in stats)
        return {'device_memory_gib': peak / 2**30}
    return {'process_memory_gib': _process_bytes() / 2**30}


def _process_bytes() -> int:
    with contextlib.suppress(OSError):
        return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024
