"""The training loop."""

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
from clu import metrics, parameter_overview
from ml_collections import ConfigDict
from tensorboardX import SummaryWriter
from tqdm import tqdm

from apgan_jax import checkpointing, experiment, sharding
from apgan_jax.data.pipeline import open_dataset, training_batches
from apgan_jax.data.records import RecordDataset
from apgan_jax.errors import UserError
from apgan_jax.train_step import (
    TrainingModel,
    TrainState,
    create_train_state,
    eval_step,
    train_step,
)

_SHOWN = ('generator', 'discriminator', 'cos_source', 'cos_target', 'examples_per_second')


def train_and_evaluate(config: ConfigDict, workdir: Path) -> TrainState:
    """Trains from the latest checkpoint in `workdir`, or from the start, to `config.num_steps`.

    Args:
      config: see configs/default.py.
      workdir: for checkpoints and TensorBoard files; made if missing.

    Returns:
      The last state.

    Raises:
      UserError: no data set, or one that does not fit the config or the checkpoint.
    """
    workdir = Path(workdir)
    dataset = _open_fitting_dataset(config)
    batches = _batches(config, dataset)
    mesh = sharding.create_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp)
    model = experiment.build_model(config)
    manager = checkpointing.open_manager(
        workdir,
        save_interval_steps=config.checkpoint_every,
        max_to_keep=config.keep_checkpoints,
    )
    state = _initial_state(config, model, mesh, manager, batches, dataset)
    step_function = jax.jit(functools.partial(train_step, model), donate_argnums=0)
    judge = jax.jit(functools.partial(eval_step, model))
    encoder_params = jax.device_put(model.identity_encoder.params, sharding.replicated(mesh))
    save = functools.partial(
        checkpointing.save,
        manager,
        batches=batches,
        crop_spec=dataset.crop_spec,
        config=config.to_dict(),
    )
    first = int(state.step)
    log = ProgressLog(workdir, first, config)
    for step in range(first + 1, config.num_steps + 1):
        batch = sharding.put_batch(next(batches), sharding.batch_sharding(mesh))
        state, step_metrics = step_function(state, encoder_params, batch)
        log.update(step_metrics)
        if step % config.log_every == 0 or step == config.num_steps:
            log.write(step, judge(state, encoder_params, batch))
        save(step, state=state)
    if first < config.num_steps and manager.latest_step() != config.num_steps:
        save(config.num_steps, state=state, force=True)
    manager.wait_until_finished()
    manager.close()
    log.close()
    return state


def _open_fitting_dataset(config: ConfigDict) -> RecordDataset:
    if not config.data_dir:
        raise UserError(
            'config.data_dir is empty: pass --config.data_dir=DIR, a folder made by `python -m '
            'data_prep.build`'
        )
    dataset = open_dataset(Path(config.data_dir))
    experiment.crop_spec(config).require_equal(
        dataset.crop_spec, here='the config', there=f'the data set {config.data_dir}'
    )
    return dataset


def _batches(config: ConfigDict, dataset: RecordDataset) -> grain.DatasetIterator:
    if config.batch_size % jax.device_count():
        raise UserError(
            f'config.batch_size={config.batch_size}: must be divisible by the '
            f'{jax.device_count()} devices'
        )
    return training_batches(
        dataset,
        batch_size=config.batch_size // jax.process_count(),
        seed=config.seed,
        options=experiment.pair_options(config),
        num_threads=config.data.num_threads,
        prefetch=config.data.prefetch,
        shard=(jax.process_index(), jax.process_count()),
    )


def _initial_state(
    config: ConfigDict,
    model: TrainingModel,
    mesh: jax.sharding.Mesh,
    manager: Any,
    batches: grain.DatasetIterator,
    dataset: RecordDataset,
) -> TrainState:
    """The latest checkpoint's state, or a new one, laid out on the mesh."""
    create = functools.partial(create_train_state, model)
    # The default generator, unrolled for every parameter, takes XLA three times as long to compile.
    rng = jax.random.key(config.seed, impl='rbg')
    abstract = jax.eval_shape(create, rng)
    shardings = sharding.state_shardings(mesh, abstract)
    if manager.latest_step() is None:
        state = jax.jit(create, out_shardings=shardings)(rng)
        print(parameter_overview.get_parameter_overview(state.generator_params), flush=True)
        return state
    abstract = jax.tree.map(
        lambda array, where: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=where),
        abstract,
        shardings,
    )
    print(f'resuming from step {manager.latest_step()} of {manager.directory}', flush=True)
    return checkpointing.restore(
        manager, abstract_state=abstract, batches=batches, crop_spec=dataset.crop_spec
    )


@dataclasses.dataclass
class ProgressLog:
    """Progress bar and TensorBoard scalars."""

    workdir: Path
    first_step: int
    config: ConfigDict

    def __post_init__(self) -> None:
        self._writer = SummaryWriter(str(self.workdir / 'tensorboard'), flush_secs=10)
        self._bar = tqdm(total=self.config.num_steps, initial=self.first_step, unit='step')
        self._pending: list[metrics.Collection] = []
        self._since = time.perf_counter()

    def update(self, step_metrics: metrics.Collection) -> None:
        """Takes the metrics of one step; does not wait for the device."""
        self._pending.append(step_metrics)
        self._bar.update()

    def write(self, step: int, judged: dict[str, Any]) -> None:
        """Writes means since the last call and what `eval_step` said."""
        fetched = jax.device_get(self._pending)
        merged = functools.reduce(metrics.Collection.merge, fetched).compute()
        elapsed = time.perf_counter() - self._since
        values = {name: float(np.asarray(value)) for name, value in merged.items()}
        values |= {name: float(judged[name]) for name in ('cos_source', 'cos_target')}
        values['examples_per_second'] = len(fetched) * self.config.batch_size / elapsed
        for name, value in values.items():
            self._writer.add_scalar(f'train/{name}', value, step)
        self._bar.set_postfix({name: f'{values[name]:.3g}' for name in _SHOWN})
        self._pending, self._since = [], time.perf_counter()

    def close(self) -> None:
        """Ends the bar and flushes the scalars."""
        self._bar.close()
        self._writer.close()
