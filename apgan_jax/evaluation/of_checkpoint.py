"""`--mode=evaluate`: the paper's metrics of a training run's latest checkpoint."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from apgan_jax.evaluation import clip_runs, ffpp, photo_pairs
from apgan_jax.evaluation.photo_sets import find_pairs
from apgan_jax.evaluation.protocols import check_ks, required_root
from apgan_jax.evaluation.report import Report
from apgan_jax.evaluation.suite import build_suite
from apgan_jax.inference.swapper import Swapper
from apgan_jax.training import experiment
from apgan_jax.training.export import bundle_of_run
from apgan_jax.training.validation import EvaluationPairs

OWN_PAIRS = 'run'


def evaluate_run(
    workdir: Path, *, protocol: str = OWN_PAIRS, root: Path | None = None, ks: Sequence[int] = ()
) -> None:
    """Measures the latest checkpoint; prints the table and writes WORKDIR/evaluation.{json,md}.

    Args:
      workdir: of the run.
      protocol: `OWN_PAIRS`, the pairs that the run itself evaluates on, or one of
        `protocols.PROTOCOLS`.
      root: folder of the data set, for protocols that want one.
      ks: photos or frames a source; none: 1 photo, or 10 frames.

    Raises:
      UserError: no checkpoint, or the data of the protocol is missing.
    """
    check_ks(ks)
    bundle, fields = bundle_of_run(workdir)
    outputs = [workdir / 'evaluation.json', workdir / 'evaluation.md']
    if protocol == 'ffpp':
        _on_ffpp(Swapper(bundle), required_root(protocol, root), ks).publish(outputs)
        return
    if protocol == OWN_PAIRS:
        report, lines = _on_own_pairs(Swapper(bundle), experiment.pairs_of_run(fields))
    else:
        report, lines = _on_photos(Swapper(bundle), protocol, root, ks)
    report.publish(outputs, lines)


def _on_own_pairs(swapper: Swapper, pairs: EvaluationPairs) -> tuple[Report, list[str]]:
    """The report, and its last line."""
    report, rows = photo_pairs.evaluate_photos(
        lambda _: photo_pairs.faces_of_records(pairs), [swapper], build_suite()
    )
    return report, [json.dumps(rows[-1])]


def _on_photos(
    swapper: Swapper, protocol: str, root: Path | None, ks: Sequence[int]
) -> tuple[Report, list[str]]:
    """The report, and the lines below it."""
    wanted = find_pairs(protocol, root)
    report, rows = photo_pairs.evaluate_photos(
        partial(photo_pairs.read_faces, wanted), [swapper], build_suite(), ks=ks or (1,)
    )
    return report, photo_pairs.summary_lines(protocol, rows)


def _on_ffpp(swapper: Swapper, root: Path, ks: Sequence[int]) -> Report:
    return clip_runs.evaluate_ffpp(
        ffpp.FaceForensics(root),
        build_suite(),
        swaps=ffpp.official_swaps(),
        swappers=[swapper],
        ks=ks or (clip_runs.DEFAULT_K,),
    )
