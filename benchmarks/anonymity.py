"""Whether an independent detector and recognisers still find people after `apgan anonymise`.

    APGAN_DATA=FOLDER python -m benchmarks.anonymity [--kinds tiles,far_photo] [--cases 2]

builds clips and photos of the kinds of `anonymity_kinds` from faces of APGAN_DATA, has the command
anonymise them, and judges what it wrote (`anonymity_judge` has the rule). Progress goes to stderr,
one line a case. The JSON line that comes last:

- cases, recognisable: a case is recognisable if any face in any frame is. Nothing is where the
  command wrote nothing (`not_written`; `statuses` counts its exit statuses, -1 an exception);
- by_kind: [cases, recognisable] of each kind;
- blurred_share: of the pictures' area, what was visibly changed outside of the faces' boxes (a
  third larger at each side), mean over the written cases;
- precision_loss: the part of all changed area that lies there, mean over the cases with a change;
- false_alarms: cases expected to be recognisable by chance: each of 12 strangers is looked for in
  the place of everybody who is not recognised; the share found is summed over the cases;
- unjudged: written cases in which the judge knows nobody even in the original: they prove nothing.

A change is a difference in brightness of more than 5 levels, mean over 15 x 15 pixels:
recompression stays below.
"""

import argparse
import contextlib
import dataclasses
import itertools
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apgan_jax import cli
from apgan_jax.errors import UserError
from benchmarks.anonymity_judge import Judge
from benchmarks.anonymity_kinds import KINDS
from benchmarks.anonymity_people import load_portraits
from benchmarks.anonymity_scenes import Case, Truth, read_pictures, write_case
from benchmarks.anonymity_stage import Kind, load_cast
from benchmarks.timing import print_json

# Of the calibration.
_MANY = 400
_CHANGE, _CHANGE_WINDOW = 5.0, 15
_MARGIN = 1 / 3
# 3: written, but faces may remain.
_WRITTEN = (0, 3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds, anonymises, judges and prints; returns the exit status."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.anonymity')
    parser.add_argument('--kinds', help=f'comma-separated, of {", ".join(KINDS)}')
    parser.add_argument('--cases', type=int, default=2, help='of each kind')
    parser.add_argument('--keep', type=Path, metavar='DIR', help='where inputs and outputs stay')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--calibrate', action='store_true', help="only print the judge's limits")
    options = parser.parse_args(arguments)
    try:
        if options.cases < 1:
            raise UserError(f'--cases {options.cases}: must be at least 1')
        print_json(_calibrate(options.seed) if options.calibrate else _measure(options))
    except UserError as error:
        print(f'benchmarks.anonymity: {error}', file=sys.stderr)
        return 1
    return 0


def _calibrate(seed: int) -> dict[str, Any]:
    judge = Judge()
    strangers = load_portraits(judge.finder, _MANY, np.random.default_rng(seed))
    return judge.calibrate(strangers)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    kinds = chosen_kinds(options.kinds)
    judge = Judge()
    cast = load_cast(judge.finder, options.seed)
    judge.strangers = cast.strangers
    results = []
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        for name, number in itertools.product(kinds, range(options.cases)):
            scene = kinds[name].build(cast.stage(kinds[name], name, number))
            case = write_case(scene, name, folder / f'{name}_{number}')
            results.append(_result(case, judge))
            print(results[-1].line(), file=sys.stderr, flush=True)
    return summary(results)


def chosen_kinds(names: str | None) -> dict[str, Kind]:
    """All kinds, or those that are named.

    Raises:
      UserError: there is none of a name.
    """
    if not names:
        return KINDS
    for name in names.split(','):
        if name not in KINDS:
            raise UserError(f'--kinds {name!r}: must be of {", ".join(KINDS)}')
    return {name: KINDS[name] for name in names.split(',')}


@dataclasses.dataclass(frozen=True)
class Result:
    """Of a case.

    Attributes:
      case: what was anonymised.
      status: of the command.
      written: there is an output.
      people: that the judge knows in the original.
      recognised: those of them who still are, and the first frame.
      chance: see `anonymity_judge.Verdict`.
      outside, inside: changed parts of the pictures' area, out of and in the faces' boxes.
      seconds: that the command took.
    """

    case: Case
    status: int
    written: bool
    seconds: float
    people: int = 0
    recognised: dict[str, int] = dataclasses.field(default_factory=dict)
    chance: float = 0.0
    outside: float = 0.0
    inside: float = 0.0

    def line(self) -> str:
        """For the log."""
        start = f'{self.case.path.stem}: status {self.status}, {self.seconds:.0f} s'
        if not self.written:
            return f'{start}, nothing written'
        first = f', first in frame {min(self.recognised.values())}' if self.recognised else ''
        return (
            f'{start}, {len(self.recognised)} of {self.people} people recognisable{first}, '
            f'{100 * self.outside:.2f} % changed elsewhere'
        )


def _result(case: Case, judge: Judge) -> Result:
    output = case.path.with_stem(f'{case.path.stem}_anonymous')
    start = time.perf_counter()
    status = anonymise(case.path, output)
    seconds = time.perf_counter() - start
    if status not in _WRITTEN or not output.is_file():
        return Result(case, status, False, seconds)
    pictures = list(read_pictures(case.path)), list(read_pictures(output))
    if len(pictures[0]) != len(pictures[1]):
        counts = f'{len(pictures[1])} frames where the input has {len(pictures[0])}'
        raise UserError(f'{output}: {counts}; they cannot be compared')
    verdict = judge.verdict(case, *pictures)
    outside, inside = changed_shares(case.truths, *pictures)
    return Result(
        case,
        status,
        True,
        seconds,
        verdict.people,
        verdict.recognised,
        verdict.chance,
        outside,
        inside,
    )


def anonymise(target: Path, output: Path) -> int:
    """Runs `apgan anonymise` in this process, its messages on stderr.

    Returns:
      Its exit status, -1 for an exception, which is shown.
    """
    command = ['anonymise', '--target', str(target), '--output', str(output), '--overwrite']
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return cli.main(command)
    except Exception:
        # A bug of the product is a result here, and the other cases go on.
        traceback.print_exc()
        return -1


def changed_shares(
    truths: Sequence[Sequence[Truth]],
    originals: Sequence[np.ndarray],
    outputs: Sequence[np.ndarray],
) -> tuple[float, float]:
    """Parts of the area that were changed outside and inside of the faces' boxes; means.

    Args:
      truths: the faces of each frame.
      originals, outputs: its pictures, RGB uint8 (h, w, 3).
    """
    frames = zip(originals, outputs, truths, strict=True)
    shares = [_frame_shares(changed(before, after), faces) for before, after, faces in frames]
    outside, inside = np.mean(shares, axis=0)
    return float(outside), float(inside)


def changed(original: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Where two RGB uint8 pictures differ by more than codecs do, bool (h, w)."""
    # Of brightness: codecs keep colours at half the resolution.
    grey = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (original, output)]
    difference = cv2.absdiff(*grey).astype(np.float32)
    return cv2.blur(difference, (_CHANGE_WINDOW, _CHANGE_WINDOW)) > _CHANGE


def _frame_shares(change: np.ndarray, truths: Sequence[Truth]) -> tuple[float, float]:
    faces = np.zeros(change.shape, bool)
    for truth in truths:
        left, top, right, bottom = (round(max(0.0, side)) for side in truth.box(_MARGIN))
        faces[top : bottom + 1, left : right + 1] = True
    return float(np.mean(change & ~faces)), float(np.mean(change & faces))


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """See the module."""
    written = [result for result in results if result.written]
    by_kind: dict[str, list[int]] = {}
    for result in results:
        counts = by_kind.setdefault(result.case.kind, [0, 0])
        counts[0] += 1
        counts[1] += bool(result.recognised)
    return {
        'cases': len(results),
        'recognisable': sum(bool(result.recognised) for result in results),
        'blurred_share': _mean(result.outside for result in written),
        'precision_loss': _mean(
            result.outside / (result.outside + result.inside)
            for result in written
            if result.outside + result.inside
        ),
        'false_alarms': round(sum(result.chance for result in written), 2),
        'not_written': len(results) - len(written),
        'unjudged': sum(not result.people for result in written),
        'statuses': Counter(str(result.status) for result in results),
        'by_kind': by_kind,
    }


def _mean(values: Iterator[float]) -> float:
    listed = list(values)
    return round(float(np.mean(listed)), 4) if listed else 0.0


if __name__ == '__main__':
    sys.exit(main())
