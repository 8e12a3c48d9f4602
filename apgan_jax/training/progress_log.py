"""What a run tells while it goes on: progress bar, TensorBoard files, warnings with their remedy.

TensorBoard tags: `train/…` loss terms (means since the last log line) and cosines of the training
batch, `speed/…` where the time and the memory go, `heldout/…` or `train_pairs/…` what
`validation` measured, `warnings/…` texts, `config` the fields as JSON. `apgan report` makes a page
of them.

A number that is not finite stops the run before a checkpoint can hold it: the loss terms, which are
fetched for the log line anyway, are looked at there, and they and the whole state once more right
before each save. A state can be spoilt by the very update whose loss was still finite.
"""

import contextlib
import dataclasses
import functools
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from clu import metrics
from jax.extend import core
from ml_collections import ConfigDict
from tensorboardX.proto.summary_pb2 import Summary
from tqdm import tqdm

from apgan_jax.errors import UserError
from apgan_jax.files.image_files import encode_image
from apgan_jax.training.full_disk import EventWriter
from apgan_jax.training.validation import Evaluation

_SHOWN = ('generator', 'discriminator', 'cos_source', 'cos_target', 'examples_per_second')
_COSINE_BINS = np.linspace(-1.0, 1.0, 41)

# --- Warnings -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """When a run is called a failure.

    Attributes:
      learning_steps: no verdict on identity before; the shipped recipe reached a cosine of 0.6 in
        600 steps of 16 pairs (docs/training-notes.md), slow recipes 0.2 in 1,400 (FACTS.md).
      window: log lines that identity's means are over: one batch has only some ten faces.
      copy_margin: by how much the target's cosine exceeds the source's where the output copies its
        target; runs that learn slowly were close to even (0.41 / 0.39).
      learnt_cosine: below it no identity is seen: different people have 0.02 ± 0.1 by MobileFaceNet
        and 0.14 by SFace, the same person 0.8.
      won_loss: of the discriminators, summed over scales. Chance is 1.39 a scale; at 0.05 all of
        them are right 19 times in 20 or more, and the generator's gradient through them fades.
      won_logs: consecutive log lines below it; single batches come and go.
    """

    learning_steps: int = 3_000
    window: int = 5
    copy_margin: float = 0.1
    learnt_cosine: float = 0.2
    won_loss: float = 0.05
    won_logs: int = 10


@dataclasses.dataclass(frozen=True)
class RunWarning:
    """A failure that a log shows.

    Attributes:
      name: 'copies_target', 'identity_not_learnt' or 'discriminator_has_won'.
      text: one line: what was seen, what it means, the remedy.
    """

    name: str
    text: str


History = Sequence[tuple[int, Mapping[str, float]]]


def diagnose(history: History, thresholds: Thresholds = Thresholds()) -> list[RunWarning]:
    """The failures that users report most, found in the log lines.

    Args:
      history: (step, values) of the last log lines, oldest first, with `discriminator` and, but
        for lines without pairs of different pictures, `cos_source` and `cos_target` among them.
      thresholds: what counts as a failure.

    Returns:
      What is wrong at the last line; empty when nothing is.
    """
    return [*_identity_warnings(history, thresholds), *_discriminator_warnings(history, thresholds)]


def _identity_warnings(history: History, thresholds: Thresholds) -> Iterator[RunWarning]:
    recent = [line for line in history if 'cos_source' in line[1]][-thresholds.window :]
    if len(recent) < thresholds.window or recent[0][0] < thresholds.learning_steps:
        return
    step = recent[-1][0]
    source, target = (
        np.mean([values[name] for _, values in recent]) for name in ('cos_source', 'cos_target')
    )
    seen = f'step {step}: cosine to the source {source:.2f}, to the target {target:.2f}'
    if target > source + thresholds.copy_margin:
        yield RunWarning(
            'copies_target',
            f'{seen}: the output copies its target; raise config.loss.identity_weight, lower '
            'config.data.same_image_share or leave the finest of '
            'config.generator.skip_resolutions out',
        )
    elif source < thresholds.learnt_cosine:
        yield RunWarning(
            'identity_not_learnt',
            f'{seen}: no identity is learnt; raise config.loss.identity_weight or '
            'config.optimizer.generator_learning_rate, and look at the pictures: a source whose '
            'face is not in the middle was cropped wrongly (build the data set again)',
        )


def _discriminator_warnings(history: History, thresholds: Thresholds) -> Iterator[RunWarning]:
    recent = history[-thresholds.won_logs :]
    losses = [values['discriminator'] for _, values in recent]
    if len(recent) == thresholds.won_logs and max(losses) < thresholds.won_loss:
        yield RunWarning(
            'discriminator_has_won',
            f'step {recent[-1][0]}: the discriminator loss is {losses[-1]:.2g} and stays near 0: '
            'the generator learns nothing from it any more; lower '
            'config.optimizer.discriminator_learning_rate or config.discriminator.width, and go on '
            'from a checkpoint from before',
        )


# --- Numbers that are not finite ------------------------------------------------------------------

Pending = Sequence[tuple[int, metrics.Collection]]


def first_nonfinite(pending: Pending) -> tuple[int, dict[str, float]] | None:
    """The first step whose metrics are not all finite, and those: (step, {term: value}) or None.

    Args:
      pending: (step, metrics) of each step, on the host.
    """
    for step, collection in pending:
        if all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(collection)):
            continue
        values = {name: float(value) for name, value in collection.compute().items()}
        terms = {name: value for name, value in values.items() if not np.isfinite(value)}
        # The sum of the terms says nothing that they do not say.
        return step, {k: v for k, v in terms.items() if k != 'generator'} or terms
    return None


@jax.jit
def _finite_parts(parts: Any) -> Any:
    def finite(tree: Any) -> jax.Array:
        leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves] or [jnp.array(True)]))

    return {name: finite(tree) for name, tree in parts.items()}


def nonfinite_parts(state: Any) -> list[str]:
    """The fields of a state (a flax dataclass) that hold a number that is not finite."""
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    finite = jax.device_get(_finite_parts(fields))
    return sorted(name for name, good in finite.items() if not good)


# --- Time, memory and utilisation -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Lap:
    """Steps between two log lines, the wall-clock seconds they took, and those spent on data."""

    steps: int
    seconds: float
    waited: float


class StepTimer:
    """Where the loop's time goes.

    Args:
      clock: seconds from any start.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Starts a lap now."""
        self._start, self._waited, self._steps = self._clock(), 0.0, 0

    def count(self) -> None:
        """Counts a step."""
        self._steps += 1

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The body waits for data."""
        start = self._clock()
        yield
        self._waited += self._clock() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The body is not training: it counts nowhere."""
        start = self._clock()
        yield
        self._start += self._clock() - start

    def lap(self) -> Lap:
        """What happened since the last `restart`."""
        return Lap(self._steps, self._clock() - self._start, self._waited)


# Dense bfloat16 peaks from the vendors' data sheets, FLOP/s of a JAX device.
_PEAKS = {
    'TPU v4': 275e12,
    'TPU v5 lite': 197e12,
    'TPU v5': 459e12,
    'TPU v5p': 459e12,
    'TPU v6 lite': 918e12,
    'NVIDIA A100': 312e12,
    'NVIDIA H100 PCIe': 756e12,
    'NVIDIA H100 80GB HBM3': 989e12,
    'NVIDIA H200': 989e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Peak FLOP/s in bfloat16 of a device (`jax.Device.device_kind`), None where unknown."""
    exact = _PEAKS.get(device_kind)
    # NVIDIA adds the form and the memory: 'NVIDIA A100-SXM4-80GB'.
    named = [peak for name, peak in _PEAKS.items() if device_kind.startswith(f'{name}-')]
    return exact or next(iter(named), None)


def program_flops(jaxpr: core.Jaxpr) -> float:
    """FLOP of the convolutions and matrix products of a traced program, two a multiply-add.

    Counted from the trace: XLA's cost analysis sees neither into our native CPU convolutions nor
    more than one turn of a loop (gradient accumulation), and takes seconds. Of code that has a form
    for each platform the default one counts, so that the number is the model's, not the machine's.
    """
    return float(sum(_equation_flops(equation) for equation in jaxpr.eqns))


def _equation_flops(equation: core.JaxprEqn) -> float:
    name, params = equation.primitive.name, equation.params
    if name == 'dot_general':
        (contracted, _), _ = params['dimension_numbers']
        left, out = _shaped(equation.invars[0]), _shaped(equation.outvars[0])
        return 2.0 * out.size * np.prod([left.shape[axis] for axis in contracted])
    if name == 'conv_general_dilated':
        return _convolution_flops(equation)
    if 'branches' in params:
        branches = [program_flops(branch.jaxpr) for branch in params['branches']]
        platforms = params.get('branches_platforms')
        return branches[platforms.index(None)] if platforms else max(branches)
    turns = params.get('length', 1) if name == 'scan' else 1
    return turns * sum(program_flops(body) for body in core.jaxprs_in_params(params))


def _convolution_flops(equation: core.JaxprEqn) -> float:
    kernel, out = _shaped(equation.invars[1]), _shaped(equation.outvars[0])
    _, _, *taps = (kernel.shape[axis] for axis in equation.params['dimension_numbers'].rhs_spec)
    depth = kernel.shape[equation.params['dimension_numbers'].rhs_spec[1]]
    # The gradient of a strided convolution reads zeros that it has put between the pixels.
    zeros = np.prod(equation.params['lhs_dilation'])
    return 2.0 * out.size * depth * np.prod(taps) / zeros


def _shaped(atom: Any) -> jax.core.ShapedArray:
    return atom.aval


def memory_in_use() -> dict[str, float]:
    """GiB: the fullest local device's peak, or this process's where devices do not say."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    if all(stats):
        peak = max(stat.get('peak_bytes_in_use', stat['bytes_in_use']) for stat in stats)
        return {'device_memory_gib': peak / 2**30}
    return {'process_memory_gib': _process_bytes() / 2**30}


def _process_bytes() -> int:
    with contextlib.suppress(OSError):
        return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


# --- The log --------------------------------------------------------------------------------------


class ProgressLog:
    """Progress bar, TensorBoard files, warnings; the first process's speak for all.

    Args:
      workdir: of the run.
      first_step: the last one that is done already.
      config: see configs/default.py.
      clock: seconds from any start.

    Attributes:
      timer: of the loop.
      step_flops: of one step on all devices, from `program_flops`; 0 where nobody set it.
    """

    def __init__(
        self,
        workdir: Path,
        first_step: int,
        config: ConfigDict,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.timer = StepTimer(clock)
        self._workdir, self._config = Path(workdir), config
        self.step_flops = 0.0
        speaks = jax.process_index() == 0
        # Readers drop what an earlier session, killed after its last checkpoint, wrote from here.
        self._writer = EventWriter(
            str(self._workdir / 'tensorboard'),
            flush_secs=10,
            purge_step=first_step + 1,
            write_to_disk=speaks,
        )
        self._bar = tqdm(
            total=config.num_steps, initial=first_step, unit='step', disable=not speaks
        )
        self._pending: list[tuple[int, metrics.Collection]] = []
        self._history: list[tuple[int, dict[str, float]]] = []
        self._warned: set[str] = set()
        self._started = False
        self._writer.add_text('config', json.dumps(config.to_dict(), indent=1), first_step + 1)

    def next_batch(self, batches: Iterator[Any]) -> Any:
        """`next(batches)`, its time counted as waiting for data."""
        with self.timer.waiting():
            return next(batches)

    def update(self, step: int, step_metrics: metrics.Collection) -> None:
        """Takes the metrics of one step; does not wait for the device but in the first step."""
        self._pending.append((step, step_metrics))
        self._bar.update()
        if self._started:
            self.timer.count()
            return
        # Compiling and filling the pipeline are no part of the speed.
        jax.block_until_ready(step_metrics)
        self._writer.add_scalar('speed/first_step_seconds', self.timer.lap().seconds, step)
        self.timer.restart()
        self._started = True

    def write(self, step: int, judged: Mapping[str, Any], *, corrupt_records: int = 0) -> None:
        """Writes means since the last call, what `eval_step` said, and warnings.

        Args:
          step: the one just done.
          judged: from `eval_step`.
          corrupt_records: skipped since this process started.

        Raises:
          UserError: a loss term is not finite.
          OSError: earlier lines could not be written.
        """
        self._writer.require_written()
        self._fetch()
        merged = functools.reduce(metrics.Collection.merge, [each for _, each in self._pending])
        lap = self.timer.lap()
        values = {name: float(np.asarray(value)) for name, value in merged.compute().items()}
        # There is no cosine where all pairs of the batch are of one picture.
        cosines = {name: float(judged[name]) for name in ('cos_source', 'cos_target')}
        values |= {name: value for name, value in cosines.items() if np.isfinite(value)}
        speed = self._speed(lap) | {'corrupt_records': float(corrupt_records)}
        self._write_scalars('train', values, step)
        self._write_scalars('speed', speed, step)
        shown = values | speed
        self._bar.set_postfix({k: f'{shown[k]:.3g}' for k in _SHOWN if k in shown})
        self._warn(step, values)
        self._pending.clear()
        self.timer.restart()

    def write_evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Writes means, histograms of cosines and pictures."""
        name = evaluation.name
        self._write_scalars(name, evaluation.means(), step)
        for measure, values in evaluation.cosines().items():
            # Rounding may take a cosine out of the outer bins.
            values = np.clip(values, -1.0, 1.0)
            self._writer.add_histogram(f'{name}/pairs/{measure}', values, step, bins=_COSINE_BINS)
        self._add_picture(f'{name}/pictures', evaluation.pictures, step)

    def require_finite(self, step: int, state: Any) -> None:
        """Looks at the steps since the last log line and at the state, before it is saved.

        Raises:
          UserError: a loss term or a part of the state is not finite.
        """
        self._fetch()
        parts = nonfinite_parts(state)
        if parts:
            self._stop(step, f'its update made {", ".join(parts)} not finite')

    def close(self) -> None:
        """Ends the bar and flushes the files."""
        self._bar.close()
        self._writer.close()

    def _fetch(self) -> None:
        """Brings the pending metrics to the host and checks them."""
        self._pending = jax.device_get(self._pending)
        found = first_nonfinite(self._pending)
        if found:
            step, terms = found
            listed = ', '.join(f'{name} is {value}' for name, value in terms.items())
            self._stop(step, listed)

    def _stop(self, step: int, found: str) -> NoReturn:
        text = (
            f'step {step}: {found}; stopped, and the checkpoints in '
            f'{self._workdir / "checkpoints"} are from before it; lower the learning rates '
            '(config.optimizer) or set config.dtype=float32, and run the command again to go on'
        )
        self._writer.add_text('warnings/not_finite', text, step)
        self.close()
        raise UserError(text)

    def _speed(self, lap: Lap) -> dict[str, float]:
        if not lap.steps:
            return memory_in_use()
        rate = lap.steps / lap.seconds
        values = {
            'examples_per_second': rate * self._config.batch_size,
            'step_seconds': 1.0 / rate,
            'data_wait_share': lap.waited / lap.seconds,
            **memory_in_use(),
        }
        if self.step_flops:
            values['gflops_per_second'] = rate * self.step_flops / 1e9
            peak = self._config.watch.peak_tflops * 1e12 or peak_flops(jax.devices()[0].device_kind)
            if peak:
                values['utilisation'] = rate * self.step_flops / (peak * jax.device_count())
        return values

    def _warn(self, step: int, values: dict[str, float]) -> None:
        longest = max(Thresholds.window, Thresholds.won_logs)
        self._history = [*self._history, (step, values)][-longest:]
        for warning in diagnose(self._history):
            if warning.name not in self._warned:
                self._warned.add(warning.name)
                self._bar.write(f'WARNING {warning.name}: {warning.text}', file=sys.stderr)
                self._writer.add_text(f'warnings/{warning.name}', warning.text, step)

    def _write_scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f'{group}/{name}', value, step)

    def _add_picture(self, tag: str, picture: np.ndarray, step: int) -> None:
        # tensorboardX's add_image needs Pillow; JPEG, because a long run writes hundreds.
        height, width, _ = picture.shape
        encoded = Summary.Image(
            height=height,
            width=width,
            colorspace=3,
            encoded_image_string=encode_image(picture, '.jpg', jpeg_quality=90),
        )
        summary = Summary(value=[Summary.Value(tag=tag, image=encoded)])
        self._writer.file_writer.add_summary(summary, step)
