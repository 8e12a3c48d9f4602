"""How long `apgan evaluate` takes on a pair of clips, and where the time goes.

`python -m benchmarks.evaluation_speed --target T --swapped S --source P` measures the first 300
frames with every row that can be had and prints, as its last line, a JSON object:

  frames: that were measured.
  seconds: of the whole command: start, reading of source and gallery, frames, table.
  rows: number of rows with a value.
  ms_a_frame: wall milliseconds of each part in turn, medians; a network that serves several rows is
    counted at the first of them; 'flow' is AEE and FWE together, 'faces' finding and cropping both.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from apgan_jax.evaluation.clips import FacePairFinder
from apgan_jax.evaluation.frechet_rows import FrechetRows
from apgan_jax.evaluation.people import Galleries, person_of, read_person
from apgan_jax.evaluation.pictures import find_clips
from apgan_jax.evaluation.suite import build_suite
from apgan_jax.evaluation.swaps import SourcePerson
from apgan_jax.face.landmarks import FaceLandmarker
from apgan_jax.metrics.face_area import FaceSequence, place_of
from apgan_jax.metrics.temporal import TemporalMeter

_SAMPLE = 24  # frames of which each metric is timed alone
_WARM_UP = 4  # of them, the first: compilation


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, then each metric alone; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--target', type=Path, required=True)
    parser.add_argument('--swapped', type=Path, required=True)
    parser.add_argument('--source', type=Path, required=True)
    parser.add_argument('--frames', type=int, default=300)
    options = parser.parse_args(arguments)
    files = ['--target', options.target, '--swapped', options.swapped, '--source', options.source]
    seconds, table = _run_command([*map(str, files), '--frames', str(options.frames)])
    values = [row['values'][0] for row in table['rows']]
    result = {
        'frames': max(row['counts'][0] for row in table['rows']),
        'seconds': round(seconds, 1),
        'rows': sum(value is not None for value in values),
        'ms_a_frame': _stages(options.target, options.swapped, options.source),
    }
    print(json.dumps(result))
    return 0


def _run_command(arguments: Sequence[str]) -> tuple[float, dict]:
    start = time.perf_counter()
    command = [sys.executable, '-m', 'apgan_jax.cli', 'evaluate', *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return time.perf_counter() - start, json.loads(output.splitlines()[-1])


def _stages(target: Path, swapped: Path, source: Path) -> dict[str, float]:
    suite = build_suite()
    galleries = Galleries(suite.recognisers)
    person = SourcePerson.of([source])
    galleries.add(person.key, person.all_crops())
    galleries.add(person_of(target), read_person(target))
    metrics = [*suite.metrics, *galleries.metrics(person.key, person.given_crops(1))]
    times: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, function, *values):
        start = time.perf_counter()
        result = function(*values)
        times[name].append(1e3 * (time.perf_counter() - start))
        return result

    (clip,) = find_clips(target, swapped)
    sequence, meter = FaceSequence(), TemporalMeter(suite.flow)
    distances = FrechetRows(suite.feature_networks)
    pairs = clip.pairs()
    with FaceLandmarker(max_faces=4) as landmarker:
        find = FacePairFinder(landmarker)
        for _ in range(_SAMPLE):
            pair = timed('read', next, pairs, None)
            if pair is None:
                break
            faces = timed('faces', find, pair)
            if faces is None:
                continue
            for metric in metrics:
                timed(metric.key, metric.measure, faces)
            cut = sequence.add(pair.target, pair.swapped, place_of(faces.target.face.landmarks))
            if cut:
                timed('flow', meter.add, *cut)
            timed('frechet', distances.add, faces)
    return {
        name: round(statistics.median(each[_WARM_UP:] or each), 1) for name, each in times.items()
    }


if __name__ == '__main__':
    sys.exit(main())
