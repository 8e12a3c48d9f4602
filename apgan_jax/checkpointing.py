"""Checkpoints by Orbax: state, data iterator, CropSpec and config of one step, saved together."""

from pathlib import Path
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp

from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec


def open_manager(workdir: Path, *, save_interval_steps: int, max_to_keep: int) -> Any:
    """Orbax's manager of WORKDIR/checkpoints; saving is asynchronous and atomic."""
    options = ocp.CheckpointManagerOptions(
        save_interval_steps=save_interval_steps, max_to_keep=max_to_keep
    )
    return ocp.CheckpointManager((Path(workdir) / 'checkpoints').absolute(), options=options)


def save(
    manager: Any,
    step: int,
    *,
    state: Any,
    batches: grain.DatasetIterator,
    crop_spec: CropSpec,
    config: dict[str, Any],
    force: bool = False,
) -> bool:
    """Saves if the step is due; whether it did."""
    return manager.save(
        step,
        args=ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            batches=grain.checkpoint.CheckpointSave(batches),
            crop_spec=ocp.args.JsonSave(crop_spec.to_dict()),
            config=ocp.args.JsonSave(config),
        ),
        force=force,
    )


def restore(
    manager: Any, *, abstract_state: Any, batches: grain.DatasetIterator, crop_spec: CropSpec
) -> Any:
    """Restores the latest step; `batches` goes on where it was.

    Args:
      manager: with at least one checkpoint.
      abstract_state: shapes, dtypes and shardings.
      batches: the iterator to set.
      crop_spec: of the data set, which must be the checkpoint's.

    Returns:
      The state.

    Raises:
      UserError: another CropSpec, or a config that made another network.
    """
    step = manager.latest_step()
    _require_crop_spec(manager, step, crop_spec)
    try:
        restored = manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract_state),
                batches=grain.checkpoint.CheckpointRestore(batches),
            ),
        )
    except ValueError as error:
        raise UserError(
            f'{manager.directory}/{step}: does not fit this config ({_first_line(error)}); use the '
            'config of that run, or another --workdir'
        ) from error
    return restored['state']


def restore_for_inference(workdir: Path) -> tuple[Any, CropSpec, dict[str, Any], int]:
    """What export and evaluation need of the latest checkpoint.

    Returns:
      (EMA parameters of the generator, CropSpec, config, step).

    Raises:
      UserError: no checkpoint there.
    """
    if not (Path(workdir) / 'checkpoints').is_dir():
        raise UserError(
            f'--workdir={workdir}: no checkpoints there; train first, or check the path'
        )
    manager = open_manager(workdir, save_interval_steps=1, max_to_keep=10**6)
    step = manager.latest_step()
    if step is None:
        raise UserError(f'--workdir={workdir}: holds no finished checkpoint yet; train longer')
    restored = manager.restore(
        step,
        args=ocp.args.Composite(
            state=ocp.args.StandardRestore(),
            crop_spec=ocp.args.JsonRestore(),
            config=ocp.args.JsonRestore(),
        ),
    )
    params = jax.device_get(restored['state']['generator_ema_params'])
    return params, CropSpec.from_dict(restored['crop_spec']), restored['config'], step


def _require_crop_spec(manager: Any, step: int, crop_spec: CropSpec) -> None:
    saved = manager.restore(step, args=ocp.args.Composite(crop_spec=ocp.args.JsonRestore()))
    CropSpec.from_dict(saved['crop_spec']).require_equal(
        crop_spec, here=f'the checkpoint of step {step}', there='the data set'
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
