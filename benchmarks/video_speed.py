"""How fast a clip is swapped, and in how much memory.

    python -m benchmarks.video_speed [--clip FILE] [--model lite256] [--minutes 10]

swaps ffpp_original_634 of APGAN_DATA, else the demo's clip, as `apgan swap` does, in a process of
its own, and prints one JSON line last:

- frames_per_second: frames over the seconds that it took, the mark included; the clip's first
  second is swapped before: compilation, which is kept from run to run, does not count;
- peak_memory_mb: of the process, resident;
- stage_ms: CPU milliseconds a frame of each stage, measured one after the other.

--model lite256 takes that generator with random weights, which costs what a trained one costs.
--minutes repeats the clip until it is that long, for the memory.
"""

import argparse
import functools
import importlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import av
import jax

from apgan_jax import demo
from apgan_jax.errors import UserError
from apgan_jax.identity_file import SHIPPED_IDENTITY
from benchmarks.timing import print_json

_CLIP = 'clips/ffpp_original_634.mp4'
T = TypeVar('T')


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.video_speed', description=__doc__)
    parser.add_argument('--clip', type=Path)
    parser.add_argument('--model', help='a config of configs/, with random weights')
    parser.add_argument('--minutes', type=float, help='the clip is repeated to this length')
    parser.add_argument('--stage_frames', type=int, default=100, help='of the stages; 0: none')
    parser.add_argument('--worker', nargs=3, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        print_json(_swap(*options.worker))
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            print_json(_measure(options, Path(folder)))
    except UserError as error:
        print(f'benchmarks.video_speed: {error}', file=sys.stderr)
        return 1
    return 0


def _measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    clip = options.clip or _default_clip(folder)
    if options.minutes:
        clip = repeat(clip, folder / 'long.mp4', options.minutes)
    bundle = random_bundle(options.model, folder) if options.model else _shipped()
    run = _run_worker(clip, bundle, folder / 'swapped.mp4')
    stages = _stages(clip, bundle, folder, options.stage_frames) if options.stage_frames else {}
    return run | {'stage_ms': stages}


def _default_clip(folder: Path) -> Path:
    data = os.environ.get('APGAN_DATA')
    if data and (Path(data) / _CLIP).is_file():
        return Path(data) / _CLIP
    clip = folder / 'demo.mp4'
    demo.write_clip(clip)
    return clip


def _shipped() -> Path:
    from apgan_jax.bundle import SHIPPED_BUNDLE

    return SHIPPED_BUNDLE


def repeat(clip: Path, output: Path, minutes: float) -> Path:
    """A clip one after the other, without encoding it again, until it is so long."""
    packets = []
    with av.open(str(clip)) as reader:
        stream = reader.streams.video[0]
        packets = [packet for packet in reader.demux(stream) if packet.dts is not None]
        duration = int(stream.duration)
        times = max(1, round(minutes * 60 / float(duration * stream.time_base)))
        with av.open(str(output), 'w') as writer:
            target = writer.add_stream_from_template(stream)
            for turn in range(times):
                for packet in packets:
                    copy = av.Packet(bytes(packet))
                    copy.stream, copy.time_base = target, packet.time_base
                    copy.pts, copy.dts = (
                        packet.pts + turn * duration,
                        packet.dts + turn * duration,
                    )
                    copy.is_keyframe = packet.is_keyframe
                    writer.mux(copy)
    return output


def random_bundle(name: str, folder: Path) -> Path:
    """A bundle of a config's generator with random weights."""
    from apgan_jax.bundle import Bundle, save_bundle
    from apgan_jax.models import spectral_norm
    from apgan_jax.training import experiment
    from apgan_jax.training.train_step import create_train_state

    config = importlib.import_module(f'configs.{name}').get_config()
    model = experiment.build_model(config)
    state = jax.jit(functools.partial(create_train_state, model))(jax.random.key(0, impl='rbg'))
    bundle = Bundle(
        generator=model.generator,
        generator_params=jax.device_get(spectral_norm.fold(state.generator_params)),
        identity_encoder=model.identity_encoder,
        crop_spec=experiment.crop_spec(config),
        model_card={'name': f'random {name}'},
    )
    path = folder / f'{name}.safetensors'
    save_bundle(path, bundle)
    return path


def _run_worker(clip: Path, bundle: Path, output: Path) -> dict[str, Any]:
    worker = ['--worker', str(clip), str(bundle), str(output)]
    command = [sys.executable, '-m', 'benchmarks.video_speed', *worker]
    # As the command line has it.
    environment = os.environ | {'OPENBLAS_NUM_THREADS': '1'}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _swap(clip: Path, bundle: Path, output: Path) -> dict[str, Any]:
    """In the worker: the whole of `apgan swap`."""
    from apgan_jax.inference.swap import Output, swap_file

    job = _job(bundle)
    swap_file(clip, output, job=job, how=Output(end=1.0))
    start = time.perf_counter()
    report = swap_file(clip, output, job=job)
    seconds = time.perf_counter() - start
    return {
        'frames_per_second': round(report.counts.frames / seconds, 2),
        'peak_memory_mb': round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _job(bundle: Path) -> Any:
    from apgan_jax.bundle import load_bundle
    from apgan_jax.inference.jobs import swap_job
    from apgan_jax.inference.swapper import Swapper
    from apgan_jax.runtime import prepare_process

    prepare_process()
    return swap_job(Swapper(load_bundle(bundle)), [SHIPPED_IDENTITY])[0]


def _stages(clip: Path, bundle: Path, folder: Path, count: int) -> dict[str, float]:
    """CPU milliseconds a frame, stage by stage, over `count` frames."""
    from apgan_jax.face.tracking import FaceTracker
    from apgan_jax.video.reader import VideoReader
    from apgan_jax.video.writer import VideoWriter

    job = _job(bundle)
    costs: dict[str, float] = {}

    def run(name: str, make: Callable[[], T]) -> T:
        start = time.process_time()
        result = make()
        costs[name] = round(1e3 * (time.process_time() - start) / count, 2)
        return result

    with VideoReader(clip) as reader, FaceTracker(embed=job.embed) as tracker:
        frames = run('decode', lambda: list(itertools.islice(reader.frames(), count)))
        tracked = run('find', lambda: list(tracker.track(iter(frames))))
        stage = job.begin()
        list(stage.run(tracked[:16]))
        swapped = run('generate', lambda: list(stage.run(tracked)))
        writer = VideoWriter(folder / 'stages.mp4', reader)

        def write() -> None:
            for done in swapped:
                writer.write(done.frame, done.patches)
            writer.finish()

        run('blend and encode', write)
    return costs


if __name__ == '__main__':
    sys.exit(main())
