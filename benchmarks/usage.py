"""What a turn of a data pipeline took of the machine."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

# Pairs that a pipeline holds ready.
PREFETCH = 64
# More batches than either side has ready after a pause.
_READY = 12


class Turn(NamedTuple):
    """Of one process.

    Attributes:
      wall: seconds.
      cpu: seconds of all its threads and of its children that ended.
      peak_bytes: largest resident memory since its start.
    """

    wall: float
    cpu: float
    peak_bytes: int


def take_turn(batches: Iterator[Any], count: int) -> Turn:
    """Takes `count` batches, after those made while the other side had its turn."""
    for _ in range(_READY):
        next(batches)
    wall, cpu = time.perf_counter(), _cpu_seconds()
    for _ in range(count):
        next(batches)
    return Turn(time.perf_counter() - wall, _cpu_seconds() - cpu, _peak_bytes())


def _cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_bytes() -> int:
    status = Path('/proc/self/status')
    if status.exists():
        # getrusage's maximum would be inherited from the process that started this one.
        values = dict(line.split(':', 1) for line in status.read_text().splitlines())
        return int(values['VmHWM'].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
