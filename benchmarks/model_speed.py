"""Our networks and train step against the same in PyTorch, on two threads of one machine.

    make setup-benchmark && python -m benchmarks.model_speed

Both sides have the same weights and inputs; their outputs, gradients and losses are compared
before anything is timed. PyTorch's fastest variant of each measurement is found first, then the
two sides are timed in turn. The JSON line has PyTorch's time divided by ours, the worst over the
batch sizes: above 1 we are faster. Both have the losses of the paper and no mask.

    python -m benchmarks.model_speed --against lite256

has another config of ours in PyTorch's place, which need not be there. Nothing is compared.
"""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apgan_jax.errors import UserError
from benchmarks.timing import Worker, interleave, print_json

BATCH_SIZES = {
    'generator_forward': (1, 8),
    'identity_forward_backward': (1, 8),
    'train_step': (16,),
}
# Calls in a turn, after one that warms up; a turn is short against the drift of a shared machine.
_CALLS = {'generator_forward': 5, 'identity_forward_backward': 5, 'train_step': 1}
_LAYOUTS = ('NCHW', 'channels_last')
_SELECTION_ROUNDS = 3
_TOLERANCE = 1e-3
# Both gradients are within 1e-6 of float64's until one PReLU's input rounds to the other side of 0:
# then 5e-3 was seen, in PyTorch's float32 against its float64 as well.
# Adam's first update is the gradient's sign where beta1 is 0, and the sides may differ in that of a
# gradient near 0: at step 2, 1.7e-3 was seen between PyTorch's own two layouts.
_TOLERANCES = {'gradient': 2e-2, 'step 2': 1e-2}

Variant = tuple[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table and the JSON line; returns the exit status."""
    options = _parse(arguments)
    try:
        print_json(_measure_all(options))
    except UserError as error:
        print(f'benchmarks.model_speed: {error}', file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Times our networks against PyTorch.')
    parser.add_argument('--config', default='lite128', help='a module of configs/')
    parser.add_argument('--against', help="another one, in PyTorch's place")
    parser.add_argument('--rounds', type=int, default=10, help='turns of each side')
    parser.add_argument('--only', choices=list(BATCH_SIZES), help='one measurement')
    parser.add_argument(
        '--compile',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='try torch.compile too, which takes minutes',
    )
    return parser.parse_args(arguments)


def _measure_all(options: argparse.Namespace) -> dict[str, float]:
    _check(options)
    return _measure_configs(options) if options.against else _measure_pytorch(options)


def _measure_pytorch(options: argparse.Namespace) -> dict[str, float]:
    ours = _our_side(options.config)
    config = ours.call('config')
    theirs = Worker('benchmarks.model_speed_torch', 'Side', config, ours.call('tensors'))
    variants = [('eager', layout) for layout in _LAYOUTS]
    if options.compile:
        variants += [('compile', layout) for layout in _LAYOUTS]
    ratios = {}
    for name in _names(options):
        measured = []
        for batch_size in BATCH_SIZES[name]:
            inputs = _inputs(name, batch_size, config['size'], ours)
            measured.append(_measure(name, inputs, (ours, theirs), variants, options.rounds))
        ratios[name] = round(min(measured), 3)
    ours.close()
    theirs.close()
    return ratios


def _measure_configs(options: argparse.Namespace) -> dict[str, float]:
    configs = (options.config, options.against)
    sides = [_our_side(config) for config in configs]
    ratios = {}
    for name in _names(options):
        measured = []
        for batch_size in BATCH_SIZES[name]:
            times = interleave(
                [_our_clock(side, name, batch_size) for side in sides], options.rounds
            )
            print(f'{name}, batch {batch_size}')
            for config, time in zip(configs, times, strict=True):
                print(f'  in turn    {config:<30} {1e3 * time:9.1f} ms', flush=True)
            measured.append(times[1] / times[0])
        ratios[name] = round(min(measured), 3)
    for side in sides:
        side.close()
    return ratios


def _our_side(config: str) -> Worker:
    return Worker('benchmarks.model_speed_jax', 'Side', config)


def _our_clock(side: Worker, name: str, batch_size: int) -> Callable[[], float]:
    """What times a call on inputs of its own, and has compiled it."""
    inputs = _inputs(name, batch_size, side.call('config')['size'], side)
    side.call('outputs', name, inputs)
    return lambda: side.call('seconds', name, inputs, _CALLS[name])


def _names(options: argparse.Namespace) -> Sequence[str]:
    return [options.only] if options.only else list(BATCH_SIZES)


def _check(options: argparse.Namespace) -> None:
    if not options.against and importlib.util.find_spec('torch') is None:
        raise UserError(
            'PyTorch is not installed: run `make setup-benchmark`, or compare two configs of ours '
            'with --against.'
        )
    if options.rounds < 1:
        raise UserError(f'--rounds {options.rounds}: must be at least 1; the default is 10.')
    if hasattr(os, 'getloadavg') and (load := os.getloadavg()[0]) > 1.0:
        # OpenMP's threads spin while they wait for one that others keep from running.
        print(f'load average {load:.1f}: only a quiet machine gives PyTorch a fair chance')
    _check_config('--config', options.config)
    if options.against:
        _check_config('--against', options.against)


def _check_config(option: str, name: str) -> None:
    folder = Path(__file__).parents[1] / 'configs'
    if not (folder / f'{name}.py').is_file():
        names = sorted(path.stem for path in folder.glob('[a-z]*.py'))
        raise UserError(f'{option} {name!r}: must be one of {", ".join(names)}.')


def _inputs(name: str, batch_size: int, size: int, ours: Worker) -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def pictures() -> np.ndarray:
        blocks = rng.integers(32, 224, (batch_size, 8, 8, 3)).repeat(size // 8, 1)
        noise = rng.integers(-32, 32, (batch_size, size, size, 3))
        return (blocks.repeat(size // 8, 2) + noise).astype(np.uint8)

    inputs: dict[str, Any] = {key: pictures() for key in ('source', 'target', 'boundary_map')}
    if name == 'train_step':
        return inputs | {'same_image': np.arange(batch_size) % 5 == 0}
    identity = ours.call('identity', inputs['source'])
    if name == 'generator_forward':
        return inputs | {'identity': identity}
    images = rng.uniform(-1, 1, (batch_size, 112, 112, 3)).astype(np.float32)
    return {'images': images, 'vector': identity['vector']}


def _measure(
    name: str,
    inputs: dict[str, Any],
    sides: tuple[Worker, Worker],
    variants: list[Variant],
    rounds: int,
) -> float:
    """PyTorch's time divided by ours; prints both and each variant's."""
    ours, theirs = sides
    batch_size, calls = len(next(iter(inputs.values()))), _CALLS[name]
    expected = ours.call('outputs', name, inputs)
    seconds = {variant: _select(name, inputs, theirs, variant, expected) for variant in variants}
    working = {variant: time for variant, time in seconds.items() if time is not None}
    best = min(working, key=working.__getitem__)
    theirs.call('keep_only', name, batch_size, *best)
    our_time, their_time = interleave(
        [
            lambda: ours.call('seconds', name, inputs, calls),
            lambda: theirs.call('seconds', name, inputs, calls, *best),
        ],
        rounds,
    )
    _print_table(f'{name}, batch {batch_size}', working, best, our_time, their_time)
    return their_time / our_time


def _select(
    name: str, inputs: dict[str, Any], theirs: Worker, variant: Variant, expected: dict[str, Any]
) -> float | None:
    """A variant's time once its outputs are found right; None where it does not run."""
    try:
        actual = theirs.call('outputs', name, inputs, *variant)
    except RuntimeError as error:
        if variant[0] == 'eager':
            raise
        reason = str(error).strip().splitlines()[-1]
        print(f'{name}: torch.compile, {variant[1]}: {reason}', flush=True)
        return None
    _require_equal(f'{name}, {" ".join(variant)}', actual, expected)

    def clock() -> float:
        return theirs.call('seconds', name, inputs, _CALLS[name], *variant)

    return interleave([clock], _SELECTION_ROUNDS)[0]


def _require_equal(what: str, actual: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raises:
    UserError: the two sides do not compute the same.
    """
    if actual.keys() != expected.keys():
        raise UserError(f'{what}: outputs {sorted(actual)}, not {sorted(expected)}; mend it first.')
    for key, ours in expected.items():
        error = float(np.linalg.norm(actual[key] - ours) / np.linalg.norm(ours))
        tolerance = _TOLERANCES.get(key.rpartition(', ')[2], _TOLERANCE)
        if not error <= tolerance:
            raise UserError(
                f'{what}: {key} differs by {error:.1e} of its norm, more than {tolerance}; '
                'bring benchmarks/torch_models.py in line with apgan_jax.'
            )


def _print_table(
    title: str,
    variants: dict[Variant, float],
    best: Variant,
    our_time: float,
    their_time: float,
) -> None:
    print(title)
    for variant, time in variants.items():
        print(f'  selection  PyTorch {" ".join(variant):<22} {1e3 * time:9.1f} ms')
    print(f'  in turn    PyTorch {" ".join(best):<22} {1e3 * their_time:9.1f} ms')
    print(f'  in turn    ours {"":<25} {1e3 * our_time:9.1f} ms')
    print(f'  ratio {their_time / our_time:.2f}', flush=True)


if __name__ == '__main__':
    sys.exit(main())
