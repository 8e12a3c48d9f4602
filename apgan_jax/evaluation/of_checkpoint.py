"""`--mode=evaluate`: the paper's metrics of a training run's latest checkpoint."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apgan_jax.bundle import Bundle
from apgan_jax.evaluation import command, photo_pairs
from apgan_jax.evaluation.suite import build_suite
from apgan_jax.inference.swapper import Swapper
from apgan_jax.training import experiment
from apgan_jax.training.export import bundle_of_run

OWN_PAIRS = 'run'


def evaluate_run(
    workdir: Path, *, protocol: str = OWN_PAIRS, root: Path | None = None, ks: Sequence[int] = ()
) -> None:
    """Measures the latest checkpoint; prints the table and writes WORKDIR/evaluation.{json,md}.

    Args:
      workdir: of the run.
      protocol: `OWN_PAIRS`, the pairs that the run itself evaluates on, or one of
        `command.PROTOCOLS`.
      root: folder of the data set, for protocols that want one.
      ks: photos or frames a source.

    Raises:
      UserError: no checkpoint, or the data of the protocol is missing.
    """
    bundle, fields = bundle_of_run(workdir)
    outputs = [workdir / 'evaluation.json', workdir / 'evaluation.md']
    if protocol == OWN_PAIRS:
        _evaluate_own_pairs(fields, bundle, outputs)
        return
    arguments = ['--protocol', protocol, '--output', *map(str, outputs)]
    arguments += ['--root', str(root)] if root else []
    arguments += ['--k', *map(str, ks)] if ks else []
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args(arguments), lambda _: Swapper(bundle))


def _evaluate_own_pairs(fields: Mapping[str, Any], bundle: Bundle, outputs: Sequence[Path]) -> None:
    pairs = experiment.pairs_of_run(fields)
    report, rows = photo_pairs.report_on(
        lambda _: photo_pairs.faces_of_records(pairs), [Swapper(bundle)], build_suite()
    )
    for path in outputs:
        report.write(path)
    print(report.table.text())
    print(json.dumps(rows[-1]))
