"""Memory that malloc keeps."""

import json
import platform
import subprocess
import sys

import pytest

_PROBE = """
import json, resource, sys
import numpy as np
from apgan_jax.runtime import keep_memory
if sys.argv[1] == 'keep':
    keep_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    # Larger than what glibc's malloc keeps by itself: 32 MB.
    return sum(np.ones(1 << 24, np.float32)[::1024].sum() for _ in range(4))

work()
before = faults()
total = work()
print(json.dumps([faults() - before, float(total)]))
"""


def page_faults(argument: str) -> int:
    run = subprocess.run(
        [sys.executable, '-c', _PROBE, argument], capture_output=True, text=True, check=True
    )
    faults, total = json.loads(run.stdout)
    assert total == 4 * (1 << 14)
    return faults


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='another C library than glibc')
def test_memory_used_again_is_not_mapped_again():
    kept = page_faults('keep')
    assert kept < 100
    # 65,536 pages, or 128 where the system gives huge ones unasked.
    assert page_faults('as usual') > max(100, 4 * kept)
