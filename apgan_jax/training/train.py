"""The training loop."""

import contextlib
import dataclasses
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from tqdm import tqdm

from apgan_jax.data.pairing_warnings import pairing_warnings
from apgan_jax.data.pipeline import training_batches
from apgan_jax.data.records import RecordDataset
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.training import checkpointing, experiment, sharding
from apgan_jax.training.flops import program_flops
from apgan_jax.training.preemption import PreemptedError, StopRequest
from apgan_jax.training.profiling import StepTrace
from apgan_jax.training.progress_log import ProgressLog
from apgan_jax.training.run_log import read_run
from apgan_jax.training.run_start import compiling_line, write_parameters
from apgan_jax.training.source_cache import SourceCache
from apgan_jax.training.train_step import (
    Batch,
    TrainingModel,
    TrainState,
    create_train_state,
    embed_sources,
    eval_step,
    jit_train_step,
)
from apgan_jax.training.validation import HELDOUT, TRAIN_PAIRS, Evaluator
from apgan_jax.training.warm_start import warm_start


def train_and_evaluate(config: ConfigDict, workdir: Path) -> TrainState:
    """Trains from the latest checkpoint in `workdir`, or from the start, to `config.num_steps`.

    Args:
      config: see configs/default.py.
      workdir: for checkpoints and TensorBoard files; made if missing.

    Returns:
      The last state.

    Raises:
      UserError: no data set, or one that does not fit the config or the checkpoint; or a number
        that is not finite, in which case no checkpoint holds it.
      PreemptedError: stopped by a signal, the checkpoint written.
    """
    workdir = Path(workdir)
    experiment.check_numbers(config)
    data = experiment.open_training_data(config)
    dataset, batches = data.photos, open_batches(config, data)
    _warn(config, dataset)
    mesh = sharding.create_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp)
    model = experiment.build_model(config)
    inputs = _inputs(data, model)
    sharding.require_equal('what the processes read', dataclasses.asdict(inputs))
    manager = checkpointing.open_manager(
        workdir,
        most_steps_lost=config.checkpoint_every,
        max_to_keep=config.keep_checkpoints,
    )
    run = {
        'batches': batches,
        'crop_spec': dataset.crop_spec,
        'config': config.to_dict(),
        'inputs': inputs,
    }
    state = _initial_state(config, model, mesh, manager, run)
    train_step = jit_train_step(model, mesh, jax.tree.map(lambda array: array.sharding, state))
    judge: Any = jax.jit(functools.partial(eval_step, model))
    add_embeddings = _source_embeddings(config, model)
    encoder_params = sharding.put_arrays(model.identity_encoder.params, sharding.replicated(mesh))
    first = int(state.step)
    overdue = _evaluation_is_overdue(config, workdir, first)
    if first >= config.num_steps and not overdue:
        manager.close()
        return state
    _report_parameters(state, workdir)
    evaluate = _evaluator(config, model, mesh, dataset)
    log = _open_log(config, workdir, first)
    trace = StepTrace(workdir, **config.profile.to_dict())
    step = first
    closing = contextlib.closing
    with closing(log), closing(manager), closing(trace), StopRequest() as stop:
        if evaluate and overdue:
            log.write_evaluation(first, evaluate(state, encoder_params))
            log.timer.restart()
        for step in range(first + 1, config.num_steps + 1):
            trace.start(step)
            batch = add_embeddings(log.next_batch(batches))
            batch = sharding.put_batch(batch, sharding.batch_sharding(mesh))
            if step == first + 1:
                started = time.perf_counter()
                traced = train_step.trace(state, encoder_params, batch)
                _say(compiling_line(time.perf_counter() - started))
                log.step_flops = program_flops(traced.jaxpr.jaxpr)
                # Here, so that no lap but the first step has its compilation in it.
                judge = judge.lower(state, encoder_params, batch).compile()
            with jax.profiler.StepTraceAnnotation('train', step_num=step):
                state, step_metrics = train_step(state, encoder_params, batch)
            log.update(step, step_metrics)
            trace.stop(step, step_metrics)
            finished = step == config.num_steps
            if step % config.log_every == 0 or finished:
                judged = judge(state, encoder_params, batch)
                log.write(step, judged, corrupt_records=dataset.corrupt.num_skipped)
            stopping = stop.reached(manager, step)
            last = stopping or finished
            if last or manager.should_save(step):
                log.require_finite(step, state)
            checkpointing.save(manager, step, state=state, **run, force=last)
            # After the save. When somebody waits for this process to stop, the next one does it.
            if evaluate and not stopping and _evaluation_is_due(config, step):
                log.require_finite(step, state)
                with log.timer.paused():
                    log.write_evaluation(step, evaluate(state, encoder_params))
            if last:
                break
        manager.wait_until_finished()
    if step < config.num_steps:
        raise PreemptedError(step, stop.number)
    return state


def open_batches(config: ConfigDict, data: experiment.TrainingData) -> grain.DatasetIterator:
    """This process's share of the batches, endless, as `train_step` takes them.

    Args:
      config: see configs/default.py.
      data: of `experiment.open_training_data`.

    Returns:
      An iterator whose place a checkpoint holds.

    Raises:
      UserError: as `training_batches`.
    """
    return training_batches(
        data.photos,
        batch_size=sharding.local_batch_size(
            config.batch_size, accumulation_steps=config.accumulation_steps
        ),
        seed=config.seed,
        options=experiment.pair_options(config),
        num_threads=config.data.num_threads,
        prefetch=config.data.prefetch,
        shard=(jax.process_index(), jax.process_count()),
        max_corrupt_share=config.data.max_corrupt_share,
        reverse=data.reverse,
    )


def _open_log(config: ConfigDict, workdir: Path, first: int) -> ProgressLog:
    return ProgressLog(
        workdir,
        first,
        num_steps=config.num_steps,
        batch_size=config.batch_size,
        peak_tflops=config.watch.peak_tflops,
        fields=config.to_dict(),
    )


def _evaluator(
    config: ConfigDict, model: TrainingModel, mesh: jax.sharding.Mesh, dataset: RecordDataset
) -> Evaluator | None:
    if not config.evaluation.every:
        return None
    return Evaluator(
        model,
        experiment.evaluation_pairs(config, dataset),
        mesh=mesh,
        batch_size=config.batch_size,
        num_pictures=config.evaluation.num_pictures,
    )


def _evaluation_is_due(config: ConfigDict, step: int) -> bool:
    every = config.evaluation.every
    return every > 0 and step > 0 and (step % every == 0 or step >= config.num_steps)


def _evaluation_is_overdue(config: ConfigDict, workdir: Path, step: int) -> bool:
    """Whether the run ended between this step's checkpoint and its evaluation."""
    if not _evaluation_is_due(config, step):
        return False
    # Only the first process writes the log, perhaps where the others do not see it.
    overdue = jax.process_index() == 0 and not _is_evaluated(workdir, step)
    return bool(multihost_utils.broadcast_one_to_all(np.array(overdue)))


def _is_evaluated(workdir: Path, step: int) -> bool:
    try:
        scalars = read_run(workdir).scalars
    except UserError:
        # There is no log.
        return False
    groups = (f'{HELDOUT}/', f'{TRAIN_PAIRS}/')
    return any(tag.startswith(groups) and step in series for tag, series in scalars.items())


def _inputs(data: experiment.TrainingData, model: TrainingModel) -> checkpointing.RunInputs:
    return checkpointing.RunInputs(
        records=len(data.photos),
        record_bytes=data.photos.num_bytes,
        identity_encoder=model.identity_encoder.sha256,
        reverse_bytes=data.reverse.num_bytes if data.reverse else 0,
    )


def _source_embeddings(config: ConfigDict, model: TrainingModel) -> Callable[[Batch], Batch]:
    """What gives a batch its sources' embeddings, where the config wants them kept."""
    if not config.data.cached_sources:
        return lambda batch: batch
    params = model.identity_encoder.params
    embed = functools.partial(jax.jit(functools.partial(embed_sources, model)), params)
    return SourceCache(embed, config.data.cached_sources).add


def _initial_state(
    config: ConfigDict,
    model: TrainingModel,
    mesh: jax.sharding.Mesh,
    manager: Any,
    run: dict[str, Any],
) -> TrainState:
    """The latest checkpoint's state, or a new one, laid out on the mesh."""
    create = functools.partial(create_train_state, model)
    # The default generator, unrolled for every parameter, takes XLA three times as long to compile.
    rng = jax.random.key(config.seed, impl='rbg')
    abstract = jax.eval_shape(create, rng)
    shardings = sharding.state_shardings(mesh, abstract)
    if manager.latest_step() is None:
        state = jax.jit(create, out_shardings=shardings)(rng)
        return _warm_started(config, model, run['crop_spec'], state)
    abstract = jax.tree.map(
        lambda array, where: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=where),
        abstract,
        shardings,
    )
    print(f'resuming from step {manager.latest_step()} of {manager.directory}', flush=True)
    state, changes = checkpointing.restore(manager, abstract_state=abstract, **run)
    if changes:
        print(f'changed since then, on purpose? {", ".join(changes)}', flush=True)
    return state


def _warm_started(
    config: ConfigDict, model: TrainingModel, crop_spec: CropSpec, state: TrainState
) -> TrainState:
    """The new state with the weights of `config.init_from`, if it names a bundle."""
    if config.init_from:
        state, report = warm_start(
            state,
            bundle_file=Path(config.init_from),
            discriminator_file=config.init_discriminator_from,
            identity_encoder=model.identity_encoder,
            crop_spec=crop_spec,
        )
        print('\n'.join(report), flush=True)
    return state


def _warn(config: ConfigDict, dataset: RecordDataset) -> None:
    """Says what of the data or the config does not do what it seems to."""
    if jax.process_index() == 0:
        pairing = pairing_warnings(dataset, config.batch_size)
        of_config = (
            *experiment.resolution_warnings(config),
            *experiment.product_warnings(config),
        )
        for line in (*of_config, *pairing):
            print(f'WARNING {line}', file=sys.stderr, flush=True)


def _report_parameters(state: TrainState, workdir: Path) -> None:
    if jax.process_index() == 0:
        networks = {
            'generator': state.generator_params,
            'discriminator': state.discriminator_params,
        }
        print(write_parameters(workdir, networks), flush=True)


def _say(line: str) -> None:
    """Prints a line above the progress bar."""
    if jax.process_index() == 0:
        tqdm.write(line)
