"""A run that is killed again and again ends bit for bit where an undisturbed one does.

Trains configs/tiny.py, with jitter, through the command line twice: once undisturbed, once killed
(SIGKILL) at seeded random moments and started again by the same command. Then every number of the
two last checkpoints is compared: parameters, moving average, both optimizers, spectral-norm
vectors, step, and the data iterator.

    python -m benchmarks.resume [--data_dir=DIR] [--kills 5] [--steps 60] [FIELD=VALUE …]

sets the fields too, such as `generator.mask=true`, and prints one JSON line last:

- kills: SIGKILLs that hit the process while it trained;
- bit_exact: whether all numbers are equal;
- most_steps_recomputed: largest number of finished steps that a kill lost;
- save_interval: `config.checkpoint_every`, which bounds it.
"""

import argparse
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

import configs
from apgan_jax.demo import virtual_camera
from apgan_jax.errors import UserError
from apgan_jax.files.image_files import write_image
from benchmarks.timing import print_json

_TINY = Path(configs.__file__).parent / 'tiny.py'
_PHOTOS = 12
# The progress bar, written anew after every step (TQDM_MININTERVAL=0): '… 17/60 [00:03<…'.
_BAR = re.compile(rb'(\d+)/(\d+) \[')

_LONGEST_DELAY = 0.1  # seconds from the step aimed at to the kill, so that it hits anywhere in one


class Attempt(NamedTuple):
    """One start of the command.

    Attributes:
      first: step that it went on from.
      last: the last one it finished.
      code: its exit status; negative is the signal that killed it.
    """

    first: int
    last: int
    code: int


def make_dataset(folder: Path) -> Path:
    """Records of a few frames of the demo's camera, 64 px."""
    photos, records = folder / 'photos', folder / 'records'
    photos.mkdir()
    for number, frame in enumerate(virtual_camera(_PHOTOS)):
        write_image(photos / f'{number:03d}.jpg', frame)
    build = ['data_prep.build', f'--source=folder:{photos}', f'--output={records}', '--size=64']
    subprocess.run([sys.executable, '-m', *build], check=True)
    return records


def train(
    workdir: Path, arguments: Sequence[str], *, kill_at: int | None = None, delay: float = 0.0
) -> Attempt:
    """Runs the training command to its end, or kills it.

    Args:
      workdir: of the run.
      arguments: of the command.
      kill_at: step after which it is killed; None lets it live.
      delay: seconds between that step and the kill; training goes on meanwhile.
    """
    command = [sys.executable, '-m', 'apgan_jax.main', *arguments, f'--workdir={workdir}']
    environment = os.environ | {'TQDM_MININTERVAL': '0', 'TQDM_MINITERS': '1'}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    steps = []
    for step in _steps_shown(process):
        steps.append(step)
        if kill_at is not None and step >= kill_at:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            kill_at = None
    code = process.wait()
    if not steps or code not in (0, -signal.SIGKILL):
        raise UserError(f'{" ".join(command)}: ended with {code} and no progress; run it by itself')
    return Attempt(steps[0], steps[-1], code)


def train_with_kills(
    workdir: Path, arguments: Sequence[str], *, steps: int, kills: int, seed: int
) -> list[Attempt]:
    """Kills the run `kills` times, each after further progress, then lets it finish."""
    rng = random.Random(seed)
    # Not so near the end that a fast machine gets there first.
    moments = sorted(rng.sample(range(1, steps * 3 // 4), kills))
    attempts = [
        train(workdir, arguments, kill_at=moment, delay=rng.uniform(0, _LONGEST_DELAY))
        for moment in moments
    ]
    return [*attempts, train(workdir, arguments)]


def steps_recomputed(attempts: Sequence[Attempt]) -> list[int]:
    """How many finished steps each kill lost."""
    return [before.last - after.first for before, after in itertools.pairwise(attempts)]


def different(one: Path, other: Path, step: int) -> list[str]:
    """Names of what differs between two runs' checkpoints of a step."""
    left, right = _read(one, step), _read(other, step)
    return sorted(name for name in left | right if left.get(name, b'') != right.get(name, b''))


def _steps_shown(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """Yields the numbers of the bar as they come, and passes everything on to stderr."""
    assert process.stderr is not None
    tail = b''
    while part := os.read(process.stderr.fileno(), 1 << 16):
        sys.stderr.buffer.write(part)
        sys.stderr.buffer.flush()
        text = tail + part
        found = list(_BAR.finditer(text))
        yield from (int(match[1]) for match in found)
        tail = text[found[-1].end() if found else 0 :][-80:]


def _read(workdir: Path, step: int) -> dict[str, bytes]:
    """Every number of a checkpoint as bytes, by name."""
    folder = (workdir / 'checkpoints' / str(step)).absolute()
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(folder / 'state')
    leaves = jax.tree_util.tree_leaves_with_path(state)
    content = {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}
    return content | {'batches': (folder / 'batches' / 'metadata').read_bytes()}


def run(
    folder: Path,
    *,
    data_dir: Path,
    steps: int,
    kills: int,
    save_interval: int,
    seed: int,
    fields: Sequence[str] = (),
) -> dict[str, Any]:
    """The comparison; see the module's docstring for the keys and for `fields`."""
    arguments = [
        f'--config={_TINY}',
        f'--config.data_dir={data_dir}',
        f'--config.num_steps={steps}',
        f'--config.checkpoint_every={save_interval}',
        '--config.data.source_jitter.brightness=0.2',
        '--config.data.source_jitter.rotation=10',
        *(f'--config.{field}' for field in fields),
    ]
    train(folder / 'undisturbed', arguments)
    attempts = train_with_kills(folder / 'killed', arguments, steps=steps, kills=kills, seed=seed)
    differing = different(folder / 'undisturbed', folder / 'killed', steps)
    print(f'attempts (from, to, exit status): {[tuple(attempt) for attempt in attempts]}')
    print(f'different: {", ".join(differing) or "nothing"}')
    return {
        'kills': sum(attempt.code == -signal.SIGKILL for attempt in attempts),
        'bit_exact': not differing,
        'most_steps_recomputed': max(steps_recomputed(attempts), default=0),
        'save_interval': save_interval,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses, compares, prints; 1 if the promise is broken."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.resume', description=__doc__)
    parser.add_argument('--data_dir', type=Path, help='records of 64 px; made anew by default')
    parser.add_argument('--steps', type=int, default=60)
    parser.add_argument('--kills', type=int, default=5)
    parser.add_argument('--save_interval', type=int, default=10)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('fields', nargs='*', metavar='FIELD=VALUE', help='of the config')
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = run(
            folder,
            data_dir=options.data_dir or make_dataset(folder),
            steps=options.steps,
            kills=options.kills,
            save_interval=options.save_interval,
            seed=options.seed,
            fields=options.fields,
        )
    print_json(result)
    return int(
        not result['bit_exact']
        or result['most_steps_recomputed'] > result['save_interval']
        or result['kills'] < options.kills
    )


if __name__ == '__main__':
    sys.exit(main())
