"""Checkpoints by Orbax: all that a run's next step depends on, saved together.

A checkpoint holds the state (parameters, moving average, both optimizers, spectral-norm vectors,
step), the data iterator, the CropSpec, the config, and what the run reads from files (`RunInputs`).
There is no random state: the step draws nothing, and all chance of the data follows from the seed
and the number of the batch, which is the iterator's whole state and the same in every process. So a
run may go on with another mesh and another number of processes.

Saving is asynchronous and atomic: a folder gets its name when it is whole, and one that a killed
process left half-written is never read.

What a run may change when it goes on, field by field of the config:

- The networks, their identity encoder, `seed`, `batch_size` and the records decide what the state
  and the iterator's position mean. Another value is refused.
- Where it runs and how it reports (`_FREE`) changes no number. Nothing is said.
- Everything else (losses, rates, augmentation, dtype) is a new course from the same state. It is
  taken, and reported in one line.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp

from apgan_jax.errors import UserError, first_line
from apgan_jax.face.alignment import CropSpec
from apgan_jax.files.tensors import flatten
from apgan_jax.training.orbax_messages import silence_orbax

# A name stands for itself and all that is under it.
_FIXED = ('seed', 'batch_size', 'size', 'generator', 'discriminator', 'identity_encoder')
_FREE = (
    'data_dir',
    'data.reverse_dir',
    # Compared as `crop_spec`.
    'crop',
    'identity_encoder_path',
    'init_from',
    'init_discriminator_from',
    'mesh',
    'distributed',
    'data.num_threads',
    'data.cached_sources',
    'data.prefetch',
    'log_every',
    'evaluation',
    'watch',
    'profile',
    'checkpoint_every',
    'keep_checkpoints',
)
# What Orbax says of arrays that are missing, too many, or of another shape.
_OTHER_LAYOUT = ('structures do not match', 'not compatible with the stored shape')


@dataclasses.dataclass(frozen=True)
class RunInputs:
    """What a run reads from files.

    Attributes:
      records: of the data set.
      record_bytes: size of its TFRecord files; other photos have another one.
      identity_encoder: sha256 of its weights.
      reverse_bytes: as `record_bytes`, of the reverse data set; 0: there is none.
    """

    records: int
    record_bytes: int
    identity_encoder: str
    reverse_bytes: int = 0


def open_manager(workdir: Path, *, most_steps_lost: int, max_to_keep: int) -> Any:
    """Orbax's manager of WORKDIR/checkpoints.

    While a checkpoint is written in the background, training goes on until the next one is due. A
    kill in that time falls back on the one before. So one is due every `most_steps_lost` / 2 steps.

    Args:
      workdir: of the run.
      most_steps_lost: that have to be done again after a kill at any moment.
      max_to_keep: how many of the newest stay.
    """
    silence_orbax()
    options = ocp.CheckpointManagerOptions(
        save_interval_steps=max(1, most_steps_lost // 2),
        max_to_keep=max_to_keep,
        enable_async_checkpointing=most_steps_lost > 1,
    )
    return ocp.CheckpointManager(_folder(workdir), options=options)


def save(
    manager: Any,
    step: int,
    *,
    state: Any,
    batches: grain.DatasetIterator,
    crop_spec: CropSpec,
    config: dict[str, Any],
    inputs: RunInputs,
    force: bool = False,
) -> bool:
    """Saves if the step is due; whether it did."""
    if manager.latest_step() == step:
        return False
    return manager.save(
        step,
        args=ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            batches=ocp.args.JsonSave(batches.get_state()),
            crop_spec=ocp.args.JsonSave(crop_spec.to_dict()),
            config=ocp.args.JsonSave(config),
            inputs=ocp.args.JsonSave(dataclasses.asdict(inputs)),
        ),
        force=force,
    )


def restore(
    manager: Any,
    *,
    abstract_state: Any,
    batches: grain.DatasetIterator,
    crop_spec: CropSpec,
    config: dict[str, Any],
    inputs: RunInputs,
) -> tuple[Any, list[str]]:
    """Restores the latest step; `batches` goes on where it was.

    Args:
      manager: with at least one checkpoint.
      abstract_state: shapes, dtypes and shardings, which may be of another mesh than the saved one.
      batches: the iterator to set.
      crop_spec: of the data set, which must be the checkpoint's.
      config: of this run.
      inputs: of this run.

    Returns:
      (state, changes of the config that give the run a new course: 'loss.x 1.0 -> 2.0').

    Raises:
      UserError: what the state means has changed (see above), or a damaged checkpoint.
    """
    step = manager.latest_step()
    here = f'the checkpoint {manager.directory}/{step}'
    saved = _restore(manager, step, **_json_items('crop_spec', 'config', 'inputs', 'batches'))
    CropSpec.from_dict(saved['crop_spec']).require_equal(crop_spec, here=here, there='the data set')
    changes = _changes(saved['config'], json.loads(json.dumps(config)))
    # A field that is newer than the checkpoint has a default that does what was done without it.
    fixed = {
        name: (old, new)
        for name, (old, new) in changes.items()
        if old is not None and _is_under(name, _FIXED)
    }
    fixed |= _changes(dataclasses.asdict(RunInputs(**saved['inputs'])), dataclasses.asdict(inputs))
    if fixed:
        raise UserError(
            f'{here} is of another run ({_listed(fixed)}): set it back, or use another --workdir'
        )
    restored = _restore(manager, step, state=ocp.args.StandardRestore(abstract_state))
    batches.set_state(saved['batches'])
    batches.start_prefetch()
    free = (*_FREE, 'num_steps') if not config['optimizer']['decay_steps'] else _FREE
    new_course = {name: change for name, change in changes.items() if not _is_under(name, free)}
    reported = [_listed({name: new_course[name]}) for name in new_course]
    if 'init_from' in changes and config['init_from']:
        reported.append(f'init_from {config["init_from"]} (ignored: only a new run starts from it)')
    return restored['state'], reported


def restore_for_export(workdir: Path) -> tuple[Any, CropSpec, dict[str, Any], int]:
    """The latest checkpoint, whatever mesh saved it, on this process's first device.

    Returns:
      (state as nested dicts by field name, CropSpec, config, step).

    Raises:
      UserError: no checkpoint there.
    """
    if not _folder(workdir).is_dir():
        raise UserError(
            f'--workdir={workdir}: no checkpoints there; train first, or check the path'
        )
    silence_orbax()
    manager = ocp.CheckpointManager(
        _folder(workdir), options=ocp.CheckpointManagerOptions(read_only=True)
    )
    step = manager.latest_step()
    if step is None:
        raise UserError(f'--workdir={workdir}: holds no finished checkpoint yet; train longer')
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with ocp.StandardCheckpointer() as checkpointer:
        saved = checkpointer.metadata(manager.directory / str(step) / 'state').item_metadata
    abstract = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=here), saved
    )
    restored = _restore(
        manager,
        step,
        state=ocp.args.StandardRestore(abstract),
        **_json_items('crop_spec', 'config'),
    )
    return restored['state'], CropSpec.from_dict(restored['crop_spec']), restored['config'], step


def _folder(workdir: Path) -> Path:
    return (Path(workdir) / 'checkpoints').absolute()


def _json_items(*names: str) -> dict[str, Any]:
    return {name: ocp.args.JsonRestore() for name in names}


def _restore(manager: Any, step: int, **items: Any) -> Any:
    try:
        return manager.restore(step, args=ocp.args.Composite(**items))
    except (ValueError, OSError, KeyError) as error:
        found = f'{manager.directory}/{step}: cannot be read ({first_line(error)})'
        if isinstance(error, KeyError) or any(text in str(error) for text in _OTHER_LAYOUT):
            raise UserError(
                f'{found}: it is of another version; go on with that one, or use another --workdir'
            ) from error
        raise UserError(
            f'{found}: it is damaged; move that folder away to go on from the one before it'
        ) from error


def _changes(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Old and new value of each field that differs, by its dotted name."""
    old, new = (flatten(fields, '.') for fields in (before, now))
    return {
        name: (old.get(name), new.get(name))
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    }


def _is_under(name: str, groups: tuple[str, ...]) -> bool:
    return any(name == group or name.startswith(f'{group}.') for group in groups)


def _listed(changes: dict[str, tuple[Any, Any]]) -> str:
    return ', '.join(f'{name} {old} -> {new}' for name, (old, new) in changes.items())
