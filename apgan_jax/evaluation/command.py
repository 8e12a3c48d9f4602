"""`apgan evaluate`: what is measured, and where the report goes."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from apgan_jax.errors import UserError
from apgan_jax.evaluation.protocols import (
    OWN_PROTOCOLS,
    PHOTO_PROTOCOLS,
    PROTOCOLS,
    check_ks,
    required_root,
)
from apgan_jax.inference.blend import DEFAULT_BLEND, Blend, add_blend_options

if TYPE_CHECKING:
    from apgan_jax.evaluation.clip_report import ClipOptions
    from apgan_jax.evaluation.report import Report
    from apgan_jax.evaluation.suite import Suite
    from apgan_jax.inference.swapper import Swapper

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
    add_blend_options(parser.add_argument_group('how faces are blended (pictures)'))
    how = parser.add_argument_group('how')
    how.add_argument('--network', nargs='+', default=[], help='TOML files of adapters, or: dlib')
    how.add_argument('--paper', nargs='+', default=[], help="columns of the paper's tables")
    how.add_argument('--output', type=Path, nargs='+', default=[], help='.md, .json, .html, .txt')
    how.add_argument(
        '--contact-sheet', '--sheet', type=Path, help='of photo pairs: a picture of them'
    )


def run(options: argparse.Namespace, make_swapper: MakeSwapper) -> int:
    """Measures, prints the table, and one JSON line last; returns the exit status.

    Args:
      options: of `add_arguments`.
      make_swapper: of a bundle's path; None: the shipped one.

    Raises:
      UserError: options do not fit together, or what they name cannot be had.
    """
    from apgan_jax.evaluation.paper import check_methods
    from apgan_jax.evaluation.report import check_reports

    _check(options)
    check_reports(options.output)
    check_methods(options.paper)
    if options.protocol in PHOTO_PROTOCOLS:
        _run_photos(options, make_swapper)
    elif options.protocol == 'pictures':
        _run_pictures(options, make_swapper)
    else:
        _run_clips(options, make_swapper)
    return 0


def _check(options: argparse.Namespace) -> None:
    for name in ('pairs', 'frames'):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f'--{name} {value}: must be at least 1')
    check_ks(options.k)
    if options.protocol not in (None, *OWN_PROTOCOLS):
        required_root(options.protocol, options.root)
    if options.protocol is None and not (options.target and (options.swapped or options.source)):
        raise UserError(
            'give --protocol, or --target with --swapped (files that are there) or with --source '
            '(a bundle swaps them)'
        )
    if not (options.protocol or options.swapped) and options.target.is_dir():
        raise UserError(f'--target {options.target}: is a folder; give one video or photo')
    if options.protocol != 'pictures' and Blend.of_options(options) != DEFAULT_BLEND:
        raise UserError(
            '--strength, --keep-colour, --whole-face, --whole-crop, --unsteady, --no-detail: have '
            'no meaning here; add --protocol pictures, or leave them out'
        )
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
        committed = ('pairs',) if options.protocol in OWN_PROTOCOLS else ()
        return (*files, *data, *committed, 'gallery', 'frames', 'paper')
    given = ('bundle',) if options.swapped else ('sequence',)
    return (*data, *given, 'root', 'pairs', 'contact_sheet')


def _run_clips(options: argparse.Namespace, make_swapper: MakeSwapper) -> None:
    from apgan_jax.evaluation.clip_report import ClipOptions
    from apgan_jax.evaluation.suite import build_suite

    how = ClipOptions(
        limit=options.frames,
        with_sheets=any(path.suffix.lower() == '.html' for path in options.output),
        paper=tuple(options.paper),
    )
    evaluate = _evaluate_ffpp if options.protocol == 'ffpp' else _evaluate_files
    report = evaluate(build_suite(options.network), how, options, make_swapper)
    report.publish(options.output)


def _evaluate_files(
    suite: 'Suite', how: 'ClipOptions', options: argparse.Namespace, make_swapper: MakeSwapper
) -> 'Report':
    from apgan_jax.evaluation import clip_runs
    from apgan_jax.evaluation.pictures import find_clips
    from apgan_jax.evaluation.swaps import SourcePerson

    if options.swapped:
        return clip_runs.evaluate_clips(
            find_clips(options.target, options.swapped, sequence=options.sequence),
            suite,
            str(options.target),
            source=SourcePerson.of(options.source) if options.source else None,
            gallery=options.gallery,
            k=options.k[0] if options.k else None,
            options=how,
        )
    return clip_runs.evaluate_bundles(
        options.target,
        suite,
        source=SourcePerson.of(options.source),
        swappers=[make_swapper(path) for path in options.bundle or [None]],
        ks=options.k or [clip_runs.DEFAULT_K],
        gallery=options.gallery,
        options=how,
    )


def _evaluate_ffpp(
    suite: 'Suite', how: 'ClipOptions', options: argparse.Namespace, make_swapper: MakeSwapper
) -> 'Report':
    from apgan_jax.evaluation import clip_runs, ffpp

    data = ffpp.FaceForensics(options.root, options.compression)
    swaps = ffpp.parse_swaps(options.swaps) if options.swaps else ffpp.official_swaps()
    for method in options.method or ():
        data.check_method(method)
    has_model = options.bundle or options.k
    methods = options.method or ([] if has_model else data.methods_of(swaps))
    bundles = options.bundle or ([None] if has_model or not methods else [])
    return clip_runs.evaluate_ffpp(
        data,
        suite,
        swaps=swaps,
        methods=methods,
        swappers=[make_swapper(path) for path in bundles],
        ks=options.k or [clip_runs.DEFAULT_K],
        gallery=options.gallery,
        options=how,
    )


def _run_photos(options: argparse.Namespace, make_swapper: MakeSwapper) -> None:
    from apgan_jax.evaluation.photo_pairs import evaluate_photos, read_faces, summary_lines
    from apgan_jax.evaluation.photo_sets import find_pairs
    from apgan_jax.evaluation.suite import build_suite
    from apgan_jax.inference.targets import check_output

    if options.contact_sheet:
        check_output(options.contact_sheet, overwrite=True, option='--contact-sheet')
    wanted = find_pairs(options.protocol, options.root, options.pairs)
    report, rows = evaluate_photos(
        partial(read_faces, wanted),
        [make_swapper(path) for path in options.bundle or [None]],
        build_suite(options.network),
        ks=options.k or [1],
        contact_sheet=options.contact_sheet,
    )
    report.publish(options.output, summary_lines(options.protocol, rows))


def _run_pictures(options: argparse.Namespace, make_swapper: MakeSwapper) -> None:
    import json

    from apgan_jax.evaluation.picture_pairs import find_picture_pairs
    from apgan_jax.evaluation.picture_report import report_pictures
    from apgan_jax.evaluation.suite import build_suite
    from apgan_jax.inference.targets import check_output

    if options.contact_sheet:
        check_output(options.contact_sheet, overwrite=True, option='--contact-sheet')
    pairs, dropped = find_picture_pairs(options.root)
    report, rows = report_pictures(
        pairs,
        [make_swapper(path) for path in options.bundle or [None]],
        build_suite(options.network),
        dropped=dropped,
        ks=options.k or [1],
        blend=Blend.of_options(options),
        sheet=options.contact_sheet,
    )
    report.publish(options.output, [json.dumps(row) for row in rows])
