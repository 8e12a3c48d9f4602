"""What a run tells while it goes on: progress bar, TensorBoard files, warnings with their remedy.

TensorBoard tags: `train/…` loss terms (means since the last log line) and cosines of the training
batch, `speed/…` where the time and the memory go, `heldout/…` or `train_pairs/…` what
`validation` measured, `warnings/…` texts, `config` the fields as JSON. `apgan report` makes a page
of them.

A number that is not finite stops the run before a checkpoint can hold it: the loss terms, which are
fetched for the log line anyway, are looked at there, and they and the whole state once more right
before each save. A state can be spoilt by the very update whose loss was still finite.
"""

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from clu import metrics
from tensorboardX.proto.summary_pb2 import Summary
from tqdm import tqdm

from apgan_jax.errors import UserError
from apgan_jax.files.image_files import encode_image
from apgan_jax.training.diagnosis import Thresholds, diagnose
from apgan_jax.training.finite import first_nonfinite, nonfinite_parts
from apgan_jax.training.full_disk import EventWriter
from apgan_jax.training.speed import Lap, StepTimer, memory_in_use, peak_flops
from apgan_jax.training.validation import RunEvaluation

_SHOWN = ('generator', 'discriminator', 'cos_source', 'cos_target', 'examples_per_second')
_COSINE_BINS = np.linspace(-1.0, 1.0, 41)


class ProgressLog:
    """Progress bar, TensorBoard files, warnings; the first process's speak for all.

    Args:
      workdir: of the run.
      first_step: the last one that is done already.
      num_steps: of the whole run.
      batch_size: pairs a step, over all devices.
      peak_tflops: of one device, that utilisation is a share of; 0: a known device's own.
      fields: of the run's config, for whoever reads the log; JSON.
      clock: seconds from any start.

    Attributes:
      timer: of the loop.
      step_flops: of one step on all devices, from `program_flops`; 0 where nobody set it.
    """

    def __init__(
        self,
        workdir: Path,
        first_step: int,
        *,
        num_steps: int,
        batch_size: int,
        peak_tflops: float = 0.0,
        fields: Mapping[str, Any],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.timer = StepTimer(clock)
        self._workdir, self._batch_size = Path(workdir), batch_size
        self._peak_flops = peak_tflops * 1e12 or peak_flops(jax.devices()[0].device_kind)
        self.step_flops = 0.0
        speaks = jax.process_index() == 0
        # Readers drop what an earlier session, killed after its last checkpoint, wrote from here.
        self._writer = EventWriter(
            str(self._workdir / 'tensorboard'),
            flush_secs=10,
            purge_step=first_step + 1,
            write_to_disk=speaks,
        )
        self._bar = tqdm(total=num_steps, initial=first_step, unit='step', disable=not speaks)
        self._pending: list[tuple[int, metrics.Collection]] = []
        self._history: list[tuple[int, dict[str, float]]] = []
        self._warned: set[str] = set()
        self._started = False
        self._writer.add_text('config', json.dumps(dict(fields), indent=1), first_step + 1)

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

    def write_evaluation(self, step: int, evaluation: RunEvaluation) -> None:
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
            'examples_per_second': rate * self._batch_size,
            'step_seconds': 1.0 / rate,
            'data_wait_share': lap.waited / lap.seconds,
            **memory_in_use(),
        }
        if self.step_flops:
            values['gflops_per_second'] = rate * self.step_flops / 1e9
            if self._peak_flops:
                peak = self._peak_flops * jax.device_count()
                values['utilisation'] = rate * self.step_flops / peak
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
