"""`apgan evaluate`: what is measured, and where the report goes."""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from apgan_jax.errors import UserError

if TYPE_CHECKING:
    from apgan_jax.evaluation.clip_report import Evaluation
    from apgan_jax.evaluation.suite import Suite
    from apgan_jax.inference.swapper import Swapper

# The paper's choice for videos (IV-D).
_K = 10
_PHOTO_PROTOCOLS = ('heldout', 'lfw', 'celebahq')
PROTOCOLS = (*_PHOTO_PROTOCOLS, 'ffpp')

# Of a bundle's path; None is the shipped one.
MakeSwapper = Callable[[Path | None], 'Swapper']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    what = parser.add_argument_group('what is measured')
    what.add_argument('--target', type=Path, help='original video, photo or folder')
    what.add_argument('--swapped', type=Path, help='what became of it; a bundle swaps it without')
    what.add_argument('--source', type=Path, nargs='+', help='photos or a video of who is shown')
    what.add_argument('--gallery', type=Path, nargs='+', default=[], help='videos of other people')
    what.add_argument('--sequence', action='store_true', help="folders' pictures are one video")
    what.add_argument('--protocol', choices=PROTOCOLS, help='a data set')
    what.add_argument('--root', type=Path, help='folder of the data set (ffpp, lfw, celebahq)')
    what.add_argument('--compression', default='c23', choices=('c23', 'c40', 'raw'), help='of ffpp')
    what.add_argument('--method', nargs='+', help='of ffpp: Deepfakes …; all that are there')
    what.add_argument('--swaps', nargs='+', help='of ffpp: 519_515 …; the test split by default')
    what.add_argument('--pairs', type=int, help='of lfw and celebahq: number of pairs')
    what.add_argument('--frames', type=int, help='of each clip, the first so many')
    what.add_argument('--bundle', type=Path, nargs='+', help='model files; the shipped one')
    what.add_argument('--k', type=int, nargs='+', default=[], help='photos or frames a source')
    how = parser.add_argument_group('how')
    how.add_argument('--network', nargs='+', default=[], help='TOML files of adapters, or: dlib')
    how.add_argument('--paper', nargs='+', default=[], help="columns of the paper's tables")
    how.add_argument('--output', type=Path, nargs='+', default=[], help='.md, .json, .html, .txt')
    how.add_argument('--contact-sheet', type=Path, help='of photo pairs: a picture of the first')


def run(options: argparse.Namespace, make_swapper: MakeSwapper) -> int:
    """Measures, prints the table, and one JSON line last; returns the exit status.

    Args:
      options: of `add_arguments`.
      make_swapper: of a bundle's path; None: the shipped one.

    Raises:
      UserError: options do not fit together, or what they name cannot be had.
    """
    from apgan_jax.evaluation.clip_report import check_reports
    from apgan_jax.evaluation.paper import check_methods

    _check(options)
    check_reports(options.output)
    check_methods(options.paper)
    if options.protocol in _PHOTO_PROTOCOLS:
        return _run_photos(options, make_swapper)
    return _run_clips(options, make_swapper)


def _check(options: argparse.Namespace) -> None:
    for name in ('pairs', 'frames'):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f'--{name} {value}: must be at least 1')
    if wrong := [k for k in options.k if k < 1]:
        raise UserError(f'--k {wrong[0]}: must be at least 1')
    if options.protocol in ('ffpp', 'lfw', 'celebahq') and not options.root:
        raise UserError(f'--protocol {options.protocol}: needs --root, the folder of the data set')
    if options.protocol is None and not (options.target and (options.swapped or options.source)):
        raise UserError(
            'give --protocol, or --target with --swapped (files that are there) or with --source '
            '(a bundle swaps them)'
        )
    if not (options.protocol or options.swapped) and options.target.is_dir():
        raise UserError(f'--target {options.target}: is a folder; give one video or photo')
    for name in _idle_options(options):
        if getattr(options, name):
            raise UserError(f'--{name.replace("_", "-")}: has no meaning here; leave it out')
    if options.swapped and len(options.k) > 1:
        raise UserError(f'--k {options.k[1]}: files that are there were made with one k')


def _idle_options(options: argparse.Namespace) -> tuple[str, ...]:
    """Options that say nothing in this kind of evaluation."""
    files = ('target', 'swapped', 'source', 'sequence')
    data = ('method', 'swaps')
    if options.protocol == 'ffpp':
        return (*files, 'pairs', 'contact_sheet')
    if options.protocol:
        heldout = ('pairs',) if options.protocol == 'heldout' else ()
        return (*files, *data, *heldout, 'gallery', 'frames', 'paper')
    given = ('bundle',) if options.swapped else ('sequence',)
    return (*data, *given, 'root', 'pairs', 'contact_sheet')


def _run_clips(options: argparse.Namespace, make_swapper: MakeSwapper) -> int:
    from apgan_jax.evaluation.clip_report import Evaluation
    from apgan_jax.evaluation.suite import build_suite

    suite = build_suite(options.network)
    evaluation = Evaluation(
        suite,
        'FaceForensics++' if options.protocol else f'{options.target}',
        limit=options.frames,
        with_sheets=any(path.suffix.lower() == '.html' for path in options.output),
    )
    add = _add_ffpp if options.protocol == 'ffpp' else _add_files
    lines = add(evaluation, suite, options, make_swapper)
    report = evaluation.report(protocol=lines, paper=options.paper)
    for path in options.output:
        report.write(path)
    print(report.table.text())
    print(report.table.as_json())
    return 0


def _add_files(
    evaluation: 'Evaluation',
    suite: 'Suite',
    options: argparse.Namespace,
    make_swapper: MakeSwapper,
) -> list[str]:
    from apgan_jax.evaluation import clip_runs
    from apgan_jax.evaluation.pictures import find_clips
    from apgan_jax.evaluation.swaps import SourcePerson

    source = SourcePerson.of(options.source) if options.source else None
    if options.swapped:
        clips = find_clips(options.target, options.swapped, sequence=options.sequence)
        return clip_runs.add_given_files(
            evaluation,
            suite,
            clips,
            source=source,
            gallery=options.gallery,
            k=options.k[0] if options.k else None,
        )
    return clip_runs.add_bundles(
        evaluation,
        suite,
        options.target,
        source=SourcePerson.of(options.source),
        swappers=[make_swapper(path) for path in options.bundle or [None]],
        ks=options.k or [_K],
        gallery=options.gallery,
        limit=options.frames,
    )


def _add_ffpp(
    evaluation: 'Evaluation',
    suite: 'Suite',
    options: argparse.Namespace,
    make_swapper: MakeSwapper,
) -> list[str]:
    from apgan_jax.evaluation import clip_runs, ffpp

    data = ffpp.FaceForensics(options.root, options.compression)
    swaps = ffpp.parse_swaps(options.swaps) if options.swaps else ffpp.official_swaps()
    for method in options.method or ():
        data.check_method(method)
    has_model = options.bundle or options.k
    methods = options.method or ([] if has_model else data.methods_of(swaps))
    bundles = options.bundle or ([None] if has_model or not methods else [])
    return clip_runs.add_ffpp(
        evaluation,
        suite,
        data,
        swaps=swaps,
        methods=methods,
        swappers=[make_swapper(path) for path in bundles],
        ks=options.k or [_K],
        gallery=options.gallery,
        limit=options.frames,
    )


def _run_photos(options: argparse.Namespace, make_swapper: MakeSwapper) -> int:
    from apgan_jax.evaluation import photo_pairs
    from apgan_jax.evaluation.suite import build_suite
    from apgan_jax.inference.swap import check_output

    if options.contact_sheet:
        check_output(options.contact_sheet, overwrite=True)
    wanted = photo_pairs.find_pairs(options.protocol, options.root, options.pairs)
    swappers = [make_swapper(path) for path in options.bundle or [None]]
    report, rows = photo_pairs.report_on(
        partial(photo_pairs.read_faces, wanted),
        swappers,
        build_suite(options.network),
        ks=options.k or [1],
        contact_sheet=options.contact_sheet,
    )
    for path in options.output:
        report.write(path)
    print(report.table.text())
    summaries = [json.dumps(row) for row in rows]
    print('\n'.join(summaries if options.protocol == 'heldout' else [report.table.as_json()]))
    return 0
