"""The device mesh, where state and batches live on it, and the start of several processes.

Axes: `data` splits the batch, `fsdp` splits batch and state. One process on one CPU is the mesh
(1, 1); nothing else in the code knows how many devices there are.
"""

import json
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from apgan_jax.errors import UserError, first_line

# What `jax.distributed.initialize` says where it knows of no cluster.
_NO_CLUSTER = 'coordinator_address should be defined.'
_VISIBLE_DEVICES = ('jax_cuda_visible_devices', 'jax_rocm_visible_devices')
# Arrays smaller than this stay whole on every device: gathering them costs more than it saves.
_MIN_SHARDED_SIZE = 2**14
_GATHERED_BYTES = 1_000
_COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')


def start_distributed(
    *,
    coordinator_address: str = '',
    num_processes: int = 0,
    process_id: int = -1,
    timeout_seconds: int = 300,
) -> None:
    """Joins this process to the others of its run; call it before any device is used.

    JAX recognises Cloud TPU, GKE, SLURM and Open MPI by their environment and needs no arguments
    there (Kubernetes without TPUs: where the package `kubernetes` is installed). Elsewhere the
    three say who takes part. A machine without either stays a run of one process.

    Under SLURM and Open MPI a process that is its host's only one drives all GPUs of the host; of
    several, each drives the one of its number there.

    Args:
      coordinator_address: 'host:port' of process 0; '' leaves it to JAX_COORDINATOR_ADDRESS or the
        cluster's environment.
      num_processes: of the run; 0 leaves it to the environment.
      process_id: from 0; -1 leaves it to the environment.
      timeout_seconds: to wait for the others.

    Raises:
      UserError: the three do not fit together, or the others do not answer.
    """
    coordinator_address = coordinator_address or os.environ.get('JAX_COORDINATOR_ADDRESS', '')
    given = f'config.distributed: {coordinator_address=}, {num_processes=}, {process_id=}'
    if not coordinator_address and (num_processes, process_id) != (0, -1):
        raise UserError(f'{given}: has no coordinator_address; give HOST:PORT of process 0')
    if coordinator_address and not re.fullmatch(r'.+:\d+', coordinator_address):
        raise UserError(f'{given}: the address must be HOST:PORT of process 0')
    try:
        with warnings.catch_warnings():
            # On one machine of a Kubernetes cluster JAX warns that it cannot ask for others.
            warnings.simplefilter('ignore')
            jax.distributed.initialize(
                coordinator_address or None,
                num_processes or None,
                None if process_id == -1 else process_id,
                initialization_timeout=timeout_seconds,
            )
    except ValueError as error:
        if str(error) != _NO_CLUSTER:
            raise UserError(f'{given}: {first_line(error)}') from error
    except RuntimeError as error:
        raise UserError(
            f'{given}: {first_line(error)}; start all processes with one address'
        ) from error
    if _is_alone_on_host(os.environ):
        for name in _VISIBLE_DEVICES:
            jax.config.update(name, 'all')


def _is_alone_on_host(environment: Mapping[str, str]) -> bool:
    """Whether SLURM or Open MPI started one process a host, and nobody chose its devices.

    To JAX a process that has a number on its host drives the one GPU of that number.
    """
    if 'JAX_LOCAL_DEVICE_IDS' in environment:
        return False
    nodes, tasks = (environment.get(f'SLURM_{name}') for name in ('STEP_NUM_NODES', 'NTASKS'))
    # Every node of a SLURM step has at least one of its tasks.
    one_a_node = nodes is not None and nodes == tasks
    return one_a_node or environment.get('OMPI_COMM_WORLD_LOCAL_SIZE') == '1'


def exit_alone(status: int) -> NoReturn:
    """Ends this process now, with what it has printed.

    An ordinary exit of one of several processes waits for the others, which wait for this one in
    the step's next collective. Its sudden end breaks that, or is noticed by JAX's coordination
    service (after 100 s at most), which ends them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def require_equal(what: str, value: Any) -> None:
    """Compares something that every process must have alike; all of them must call this.

    Args:
      what: its name, for the message.
      value: JSON of up to a thousand characters.

    Raises:
      UserError: on every process, where it differs on one.
    """
    if jax.process_count() == 1:
        return
    mine = np.frombuffer(json.dumps(value).encode().ljust(_GATHERED_BYTES), np.uint8)
    found = [bytes(row).decode().strip() for row in multihost_utils.process_allgather(mine)]
    for number, other in enumerate(found):
        if other != found[0]:
            raise UserError(
                f'{what}: {found[0]} on process 0, but {other} on process {number}; give all '
                'processes the same data and the same command'
            )


def mesh_sizes(devices: int, *, data: int = -1, fsdp: int = 1) -> dict[str, int]:
    """The sizes of a mesh's axes; arguments and errors as of `create_mesh`."""
    if (data, fsdp).count(-1) == 1:
        known = max(fsdp if data == -1 else data, 1)
        data, fsdp = (devices // known, fsdp) if data == -1 else (data, devices // known)
    if data * fsdp != devices or data < 1:
        raise UserError(
            f'mesh data={data}, fsdp={fsdp}: must multiply to the {devices} devices; set '
            'config.mesh.data or config.mesh.fsdp to -1'
        )
    return {'data': data, 'fsdp': fsdp}


def create_mesh(*, data: int = -1, fsdp: int = 1) -> Mesh:
    """A mesh over all devices.

    Args:
      data: size of the axis that splits the batch; -1 takes what is left.
      fsdp: size of the axis that also splits the state; -1 takes what is left.

    Raises:
      UserError: the sizes do not multiply to the number of devices.
    """
    sizes = mesh_sizes(jax.device_count(), data=data, fsdp=fsdp)
    # Explicit axes, the default, would make flax's convolutions raise.
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * 2)


def local_batch_size(batch_size: int, *, accumulation_steps: int = 1) -> int:
    """How many examples of a batch this process reads.

    Raises:
      UserError: the parts of the batch cannot be spread evenly over all devices.
    """
    devices = jax.device_count()
    if accumulation_steps < 1 or batch_size < 1 or batch_size % (devices * accumulation_steps):
        raise UserError(
            f'config.batch_size={batch_size}: must be divisible by the {devices} devices times '
            f'config.accumulation_steps={accumulation_steps}; change one of them'
        )
    return batch_size // jax.process_count()


def batch_sharding(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """Examples spread over all devices."""
    return NamedSharding(mesh, PartitionSpec(('data', 'fsdp')))


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(mesh: Mesh | AbstractMesh, state: Any) -> Any:
    """One sharding an array: its largest axis that `fsdp` divides, small arrays whole.

    Args:
      mesh: from `create_mesh`, or only its shape.
      state: arrays or their shapes.

    Returns:
      The tree of shardings.
    """
    parts = mesh.shape['fsdp']

    def choose(array: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(array.shape) if size % parts == 0]
        if parts == 1 or np.prod(array.shape) < _MIN_SHARDED_SIZE or not axes:
            return replicated(mesh)
        largest = max(axes, key=lambda axis: array.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * largest, 'fsdp'))

    return jax.tree.map(choose, state)


def put_batch(batch: Any, sharding: NamedSharding) -> Any:
    """This process's part of a batch (NumPy) as global arrays."""
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)


def put_arrays(arrays: Any, shardings: Any) -> Any:
    """Arrays (NumPy) that every process has whole, as global arrays.

    `jax.device_put` would compare each of them over all processes first.

    Args:
      arrays: a tree.
      shardings: a tree like it, or one for all.
    """
    if isinstance(shardings, NamedSharding):
        shardings = jax.tree.map(lambda _: shardings, arrays)

    def put(array: Any, where: NamedSharding) -> jax.Array:
        return jax.make_array_from_callback(array.shape, where, lambda index: array[index])

    return jax.tree.map(put, arrays, shardings)


def bytes_per_device(arrays: Any, shardings: Any) -> int:
    """Bytes that one device holds of a tree of arrays, or of their shapes, laid out like this."""

    def size(array: Any, where: NamedSharding) -> int:
        return int(np.prod(where.shard_shape(array.shape))) * array.dtype.itemsize

    return sum(jax.tree.leaves(jax.tree.map(size, arrays, shardings)))


def count_collectives(hlo: str) -> dict[str, int]:
    """How often the devices talk to each other in a compiled program, by kind.

    Args:
      hlo: `compiled.as_text()`. What a loop repeats counts once.
    """
    found = re.findall(rf' ({"|".join(_COLLECTIVES)})(?:-start)?\(', hlo)
    return dict(sorted(Counter(found).items()))
