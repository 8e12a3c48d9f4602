"""The train step on several devices against one: the same losses, less memory, which messages.

    python -m benchmarks.scaling

The devices are virtual ones of the CPU, so nothing is timed. Every layout takes the same first
state and batch, and steps by SGD: Adam amplifies the rounding of near-zero gradients. All layouts
use XLA's own convolutions, so they differ in nothing but how the work is spread. Memory is that of
the arrays of a real state with Adam's moments; messages are counted in the compiled program.
"""

import argparse
import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apgan_jax.errors import UserError
from benchmarks.timing import print_json

_ROOT = Path(__file__).resolve().parents[1]
_BATCH_SIZE, _SIZE, _STEPS = 16, 32, 3
# A step changes the losses by a tenth, so that a gradient wrong by a thousandth is seen. With
# ten times as much, a random first state is thrown about, and rounding grows hundredfold a step.
_LEARNING_RATE = 1e-5


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the devices are arranged.

    Attributes:
      data: size of the mesh's axis that splits the batch.
      fsdp: size of the axis that also splits the state.
      processes: that the devices are spread over, evenly.
      accumulation_steps: parts of a batch.
    """

    data: int = 1
    fsdp: int = 1
    processes: int = 1
    accumulation_steps: int = 1

    @property
    def name(self) -> str:
        """Such as 'data=2,fsdp=2,processes=2': what is 1 is left out, but for the mesh."""
        fields = dataclasses.asdict(self).items()
        shown = (f'{k}={v}' for k, v in fields if v > 1 or k in ('data', 'fsdp'))
        return ','.join(shown)


ONE = Layout()
LAYOUTS = (
    Layout(fsdp=2),
    Layout(data=2, fsdp=2),
    Layout(data=2, fsdp=2, accumulation_steps=2),
    Layout(data=2, fsdp=2, processes=2),
    Layout(data=8),
    Layout(fsdp=8),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures all layouts, prints a line of each and the JSON line; returns the exit status."""
    options = _parse(arguments)
    if options.worker:
        print_json(_work(json.loads(options.worker)))
        return 0
    try:
        print_json(_measure_all())
    except UserError as error:
        print(f'benchmarks.scaling: {error}', file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='benchmarks.scaling', description=__doc__)
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _measure_all() -> dict[str, Any]:
    one = measure(ONE)
    print(f'{ONE.name}: losses of the last step {one["losses"][-1]}', flush=True)
    differences, ratios, collectives = {}, {}, {}
    for layout in LAYOUTS:
        row = measure(layout)
        name = layout.name
        differences[name] = greatest_difference(row['losses'], one['losses'])
        ratios[name] = row['bytes'] / row['replicated_bytes']
        collectives[name] = row['collectives']
        print(
            f'{name}: losses differ by {differences[name]:.1e}, a device holds '
            f'{ratios[name]:.3f} of the state, {row["collectives"]}',
            flush=True,
        )
    widest = max(LAYOUTS, key=lambda layout: layout.fsdp).name
    return {
        'loss_difference': max(differences.values()),
        'bytes_per_device_ratio': round(ratios[widest], 4),
        'collectives': collectives,
    }


def greatest_difference(losses: list[dict[str, float]], expected: list[dict[str, float]]) -> float:
    """The greatest relative difference of any loss of any step."""
    pairs = zip(losses, expected, strict=True)
    return max(abs(row[name] / value - 1) for row, one in pairs for name, value in one.items())


def measure(layout: Layout) -> dict[str, Any]:
    """What the first of a layout's processes found.

    Returns:
      `losses` a step, `bytes` and `replicated_bytes` of the state on a device, `collectives`.

    Raises:
      UserError: a process failed.
    """
    distributed: dict[str, Any] = {}
    if layout.processes > 1:
        distributed = {
            'coordinator_address': f'127.0.0.1:{free_port()}',
            'num_processes': layout.processes,
        }
    workers = []
    for process_id in range(layout.processes):
        if distributed:
            distributed['process_id'] = process_id
        workers.append(_start(layout, distributed))
    # All are read to the end before any is judged: they end together.
    outputs = [worker.communicate() for worker in workers]
    for worker, (_, errors) in zip(workers, outputs, strict=True):
        if worker.returncode:
            last = (errors.strip().splitlines() or ['no message'])[-1]
            raise UserError(f'layout {layout.name}: a worker failed: {last}')
    return json.loads(outputs[0][0].splitlines()[-1])


def _start(layout: Layout, distributed: dict[str, Any]) -> subprocess.Popen:
    devices = layout.data * layout.fsdp // layout.processes
    environment = os.environ | {
        'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
        'JAX_PLATFORMS': 'cpu',
        'APGAN_NATIVE': '0',
    }
    job = json.dumps({'layout': dataclasses.asdict(layout), 'distributed': distributed})
    return subprocess.Popen(
        [sys.executable, '-m', 'benchmarks.scaling', '--worker', job],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    """A TCP port of this machine that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def _work(job: dict[str, Any]) -> dict[str, Any]:
    """Runs in a process of its own: the devices are made when JAX is imported."""
    import functools

    import jax
    import optax

    from apgan_jax.training import experiment, sharding
    from apgan_jax.training.train_step import create_train_state, jit_train_step

    layout = Layout(**job['layout'])
    if job['distributed']:
        sharding.start_distributed(**job['distributed'])
    mesh = sharding.create_mesh(data=layout.data, fsdp=layout.fsdp)
    model = experiment.build_model(_config(layout))
    rng = jax.random.key(0, impl='rbg')
    with_adam = jax.device_get(jax.jit(functools.partial(create_train_state, model))(rng))
    shardings = sharding.state_shardings(mesh, with_adam)
    sizes = {
        'bytes': _bytes_of_first_device(sharding.put_arrays(with_adam, shardings)),
        'replicated_bytes': _bytes_of_first_device(
            sharding.put_arrays(with_adam, sharding.replicated(mesh))
        ),
    }
    sgd = optax.sgd(_LEARNING_RATE)
    model = dataclasses.replace(model, generator_tx=sgd, discriminator_tx=sgd)
    state = with_adam.replace(
        generator_optimizer=sgd.init(with_adam.generator_params),
        discriminator_optimizer=sgd.init(with_adam.discriminator_params),
    )
    shardings = sharding.state_shardings(mesh, state)
    state = sharding.put_arrays(state, shardings)
    encoder_params = sharding.put_arrays(model.identity_encoder.params, sharding.replicated(mesh))
    batch = sharding.put_arrays(_batch(), sharding.batch_sharding(mesh))
    step = jit_train_step(model, mesh, shardings)
    compiled = step.lower(state, encoder_params, batch).compile()
    losses = []
    for _ in range(_STEPS):
        state, metrics = compiled(state, encoder_params, batch)
        losses.append({name: float(value) for name, value in metrics.compute().items()})
    return sizes | {
        'losses': losses,
        'collectives': sharding.count_collectives(compiled.as_text()),
    }


def _config(layout: Layout) -> Any:
    """lite64's kind of model at half the size; most of its state is in arrays that are split."""
    from configs import lite64

    config = lite64.get_config()
    config.size = _SIZE
    config.generator.widths = (16, 32, 64, 128)
    config.generator.id_resolutions = (4, 8, 16)
    config.generator.pe_resolutions = (16, 32)
    config.generator.skip_resolutions = (4, 8, 16, 32)
    config.discriminator.num_scales = 2
    config.accumulation_steps = layout.accumulation_steps
    return config


def _batch() -> dict[str, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    shape = (_BATCH_SIZE, _SIZE, _SIZE, 3)
    names = ('source', 'target', 'boundary_map')
    batch = {name: rng.integers(0, 256, shape, dtype=np.uint8) for name in names}
    return batch | {'same_image': np.arange(_BATCH_SIZE) % 5 == 0}


def _bytes_of_first_device(tree: Any) -> int:
    import jax

    first = jax.local_devices()[0]
    return sum(
        shard.data.nbytes
        for array in jax.tree.leaves(tree)
        for shard in array.addressable_shards
        if shard.device == first
    )


if __name__ == '__main__':
    sys.exit(main())
