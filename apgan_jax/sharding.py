"""The device mesh and where state and batches live on it.

Axes: `data` splits the batch, `fsdp` splits batch and state. One process on one CPU is the mesh
(1, 1); nothing else in the code knows how many devices there are.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from apgan_jax.errors import UserError

# Arrays smaller than this stay whole on every device: gathering them costs more than it saves.
_MIN_SHARDED_SIZE = 2**14


def create_mesh(*, data: int = -1, fsdp: int = 1) -> Mesh:
    """A mesh over all devices.

    Args:
      data: size of the axis that splits the batch; -1 takes what is left.
      fsdp: size of the axis that also splits the state; -1 takes what is left.

    Raises:
      UserError: the sizes do not multiply to the number of devices.
    """
    devices = jax.device_count()
    if (data, fsdp).count(-1) == 1:
        known = fsdp if data == -1 else data
        data, fsdp = (devices // known, fsdp) if data == -1 else (data, devices // known)
    if data * fsdp != devices or data < 1:
        raise UserError(
            f'mesh data={data}, fsdp={fsdp}: must multiply to the {devices} devices; set '
            'config.mesh.data or config.mesh.fsdp to -1'
        )
    # Explicit axes, the default, would make flax's convolutions raise.
    return jax.make_mesh((data, fsdp), ('data', 'fsdp'), axis_types=(AxisType.Auto,) * 2)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Examples spread over all devices."""
    return NamedSharding(mesh, PartitionSpec(('data', 'fsdp')))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(mesh: Mesh, state: Any) -> Any:
    """One sharding an array: its largest axis that `fsdp` divides, small arrays whole.

    Args:
      mesh: from `create_mesh`.
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
