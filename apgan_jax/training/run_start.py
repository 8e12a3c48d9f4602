"""What a run tells before its first step: how large the networks are, and how long to wait."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from clu import parameter_overview

_PARAMETERS_FILE = 'parameters.txt'
# XLA takes this many times as long for the train step and its judge as Python takes to trace the
# step, at whatever speed the machine has just then: 9.0 for configs/tiny.py, 8.5 for lite64.py,
# 10.2 for lite128.py on a CPU (33, 37 and 40 s of one core's time).
_COMPILING_PER_TRACING = 9.0


def write_parameters(workdir: Path, networks: Mapping[str, Any]) -> str:
    """Writes the table of all parameters beside the checkpoints.

    Args:
      workdir: of the run; made if missing.
      networks: parameters by the network's name.

    Returns:
      A line with the totals and the file's name.
    """
    # Without statistics: they would be of arrays that no process has whole.
    tables = [
        f'{name}\n{parameter_overview.get_parameter_overview(params, include_stats=False)}\n'
        for name, params in networks.items()
    ]
    file = Path(workdir) / _PARAMETERS_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('\n'.join(tables))
    totals = (f'{name} {_count(params) / 1e6:.2f} M' for name, params in networks.items())
    return f'{", ".join(totals)} parameters: {file}'


def _count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def compiling_line(traced_in: float) -> str:
    """Says about how long the first step will take.

    Args:
      traced_in: seconds that tracing the train step took.
    """
    # No other backend was measured.
    on_cpu = jax.default_backend() == 'cpu'
    seconds = f'about {_COMPILING_PER_TRACING * traced_in:.0f} s' if on_cpu else 'a minute or more'
    return f'compiling, {seconds}; a few seconds where this machine has compiled it before'
