"""The `apgan` command: parse, check, call the library, report."""

import argparse
import functools
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('GLOG_minloglevel', '2')
# The products here are tiny; threads for them only spin, at the cost of those that work.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

from tqdm import tqdm

from apgan_jax import __version__, api
from apgan_jax.errors import UserError, first_line
from apgan_jax.evaluation import command as evaluation
from apgan_jax.files.plain_text import is_plain
from apgan_jax.inference.blend import Blend, add_blend_options

# Exit status: written, but somebody may be recognisable in it.
_DOUBTFUL = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        _check_text(sys.argv[1:] if arguments is None else arguments)
        return run(options)
    except UserError as error:
        print(f'apgan {options.command}: {error}', file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Of `| head`, which has read enough; or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f'apgan {options.command}: interrupted; {_what_is_left(options)}', file=sys.stderr)
        return 130


def _what_is_left(options: argparse.Namespace) -> str:
    """Of an interrupted command."""
    if not hasattr(options, 'resume'):
        return 'no output was written'
    if os.path.isdir(options.target):
        return 'files that were finished stay, and --resume goes on'
    return 'no output was written; --resume goes on with a video'


def _check_text(arguments: Sequence[str]) -> None:
    """Refuses what is empty, and names that neither a terminal nor the mark could show."""
    for before, argument in itertools.pairwise(['', *arguments]):
        if not is_plain(argument):
            remedy = 'write it in one line' if before == '--label' else 'rename the file'
            raise UserError(f'{argument!r}: is no UTF-8 text of one line; {remedy}')
        # A variable of a script that is not set; as a path it would be the folder one is in.
        if not argument or re.fullmatch('--[a-z-]+=', argument):
            raise UserError(f'{argument or before}: what follows is empty; give a value')


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Ends the process with one line, however long the argument is that it complains of."""
        self.exit(2, f'{self.prog}: {first_line(ValueError(message))}; see {self.prog} --help\n')


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(prog='apgan', description='Swap faces; every output is marked.')
    parser.add_argument('--version', action='version', version=f'apgan {__version__}')
    commands = parser.add_subparsers(dest='command', required=True)

    swap = commands.add_parser('swap', help='give faces of a target another identity')
    who = swap.add_mutually_exclusive_group(required=True)
    who.add_argument(
        '--source', type=Path, nargs='+', help='photos, videos, folders or an identity file'
    )
    who.add_argument('--map', type=Path, help='TOML file: who becomes whom')
    swap.add_argument('--face', help='largest (the default)|all|left|right|N|like:PHOTO')
    _add_files(swap)
    _add_bundle(swap)
    swap.set_defaults(run=_swap)

    anonymise = commands.add_parser('anonymise', help='give everybody an invented identity')
    _add_files(anonymise)
    _add_bundle(anonymise)
    anonymise.add_argument(
        '--strict', action='store_true', help='write nothing if anybody may be recognisable still'
    )
    anonymise.set_defaults(run=_anonymise)

    verify = commands.add_parser('verify', help='check the mark of a file, or of all in a folder')
    verify.add_argument('file', type=Path, help='or a folder')
    verify.add_argument(
        '--trust', type=Path, nargs='+', default=[], help='PEM of other signers, or time stampers'
    )
    verify.set_defaults(run=_verify)

    credentials = commands.add_parser('credentials', help='what you sign with')
    actions = credentials.add_subparsers(dest='action', required=True)
    export = actions.add_parser('export', help='your public root, by which others trust your files')
    export.add_argument('--output', type=Path, help='a .pem file; printed by default')
    export.set_defaults(run=_export_root)

    identity = commands.add_parser('identity', help='save an identity without its photos')
    actions = identity.add_subparsers(dest='action', required=True)
    save = actions.add_parser('save', help='average photos and videos of one person')
    save.add_argument('--source', type=Path, nargs='+', required=True)
    save.add_argument('--output', type=Path, required=True)
    _add_bundle(save)
    save.set_defaults(run=_save_identity)

    evaluate = commands.add_parser('evaluate', help="the paper's metrics, of clips or bundles")
    evaluation.add_arguments(evaluate)
    evaluate.set_defaults(run=_evaluate)

    info = commands.add_parser('info', help='parameters, multiply-adds and memory of a model')
    model = info.add_mutually_exclusive_group(required=True)
    model.add_argument('--config', help='configs/lite128.py, or configs/ablations.py:adalin,lite64')
    model.add_argument('--bundle', type=Path, help='model file')
    info.add_argument('--batch', type=int, help="of the activation memory; the config's, or 1")
    info.add_argument('--devices', type=int, help="of the train step; the config's mesh, or 1")
    info.set_defaults(run=_info)

    report = commands.add_parser('report', help='a page of a training run, finished or not')
    report.add_argument('workdir', type=Path, help='of the run')
    report.add_argument('--output', type=Path, help='WORKDIR/report.html by default')
    report.set_defaults(run=_report)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    """What `swap` and `anonymise` share."""
    parser.add_argument('--target', required=True, help='photo, video, folder or camera:0')
    parser.add_argument('--output', type=Path, required=True)
    parser.add_argument('--overwrite', action='store_true', help='replace an output that exists')
    parser.add_argument('--resume', action='store_true', help='go on with a video or a folder')
    parser.add_argument('--start', type=float, help='of the video, seconds')
    parser.add_argument('--end', type=float, help='of the video, seconds')
    parser.add_argument('--codec', help='h264 (the default), hevc or av1')
    parser.add_argument('--quality', type=int, help='constant rate factor; smaller is better')
    parser.add_argument('--preset', help='of the encoder')
    parser.add_argument('--chroma', help="keep (the default), or 420 for old players' sake")
    add_blend_options(parser)
    parser.add_argument('--label', nargs='?', const='', help='draw a visible label, or this text')
    parser.add_argument('--certificate', type=Path, help='PEM chain to sign with, with --key')
    parser.add_argument('--key', type=Path, help='PEM key to sign with')
    parser.add_argument(
        '--timestamp', metavar='URL', help='authority (RFC 3161) that dates the mark'
    )
    parser.add_argument('--contact-sheet', type=Path, help='a picture of target and output frames')
    parser.add_argument(
        '--allow-none', action='store_true', help='no error where no face is to be changed'
    )


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--bundle', type=Path, help='model file; the shipped one by default')


def _load(options: argparse.Namespace) -> api.Model:
    from apgan_jax.runtime import prepare_process

    # Imported here: JAX takes a second to load, and `apgan verify` does without.
    prepare_process()
    return api.load(options.bundle)


def _swap(options: argparse.Namespace) -> int:
    from apgan_jax.inference import casting

    face = options.face or 'largest'
    # Before anything is loaded: a wrong word is found at once.
    casting.parse_selector(face, like=lambda _: casting.EveryFace())

    def prepare(model: api.Model) -> Callable[..., Any]:
        if options.map:
            entries = casting.read_map(options.map)
            people = {entry.like: model.identity(entry.source) for entry in entries}
            return functools.partial(model.swap_video, who=people)
        who = model.identity(options.source)
        _print_lines(who.lines())
        return functools.partial(model.swap_video, who=who, faces=face)

    return _run_job(options, prepare)


def _anonymise(options: argparse.Namespace) -> int:
    return _run_job(options, lambda model: model.anonymise_video)


def _run_job(
    options: argparse.Namespace, prepare: Callable[[api.Model], Callable[..., Any]]
) -> int:
    from apgan_jax.inference import idle_options, targets

    idle_options.check_idle_options(vars(options), targets.kind_of(options.target))
    _check_places(options)
    blend, how = Blend.of_options(options), _output(options)
    total = targets.count_frames(options.target, how.start, how.end)
    model = _load(options)
    idle_options.check_mask(vars(options), has_mask=model.has_mask)
    run = functools.partial(prepare(model), options.target, options.output)
    with tqdm(total=total, unit='frame', file=sys.stderr, disable=None) as bar:
        report = run(blend=blend, how=how, overwrite=options.overwrite, progress=bar.update)
    print('\n'.join([f'{options.output}: {report.lines()[0]}', *report.lines()[1:]]))
    if options.contact_sheet:
        _write_sheet(options.contact_sheet, report.pairs, model, how)
    if report.failed:
        print(f'apgan {options.command}: {len(report.failed)} files failed', file=sys.stderr)
        return 1
    return _DOUBTFUL if report.counts.doubtful else 0


def _check_places(options: argparse.Namespace) -> None:
    """Refuses what is not there, and names that cannot be written to."""
    from apgan_jax.inference import targets

    written = {'output': options.output}
    if options.contact_sheet:
        written['contact-sheet'] = options.contact_sheet
    targets.check_files(
        options.target,
        options.output,
        codec=options.codec or 'h264',
        overwrite=options.overwrite,
        resume=options.resume,
    )
    targets.check_apart(written, _read_by(options))
    if options.contact_sheet:
        # That of the run that is gone on with is drawn anew.
        overwrite = options.overwrite or (options.resume and _is_marked(options.contact_sheet))
        targets.check_sheet(
            options.contact_sheet, options.target, options.output, overwrite=overwrite
        )


def _is_marked(path: Path) -> bool:
    """Whether a file is one that this tool has made."""
    from apgan_jax.provenance import manifest

    return path.is_file() and manifest.verify(path).bundle_sha256 is not None


def _read_by(options: argparse.Namespace) -> dict[str, list[Path]]:
    """All files that a command reads, by the option that names them."""
    from apgan_jax.inference import casting, targets

    names = ('target', 'source', 'map', 'bundle', 'certificate', 'key')
    given = {name: value for name in names if (value := getattr(options, name, None))}
    read = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    if face := casting.photo_of(getattr(options, 'face', None) or ''):
        read['face'] = [face]
    if getattr(options, 'map', None):
        entries = casting.read_map(options.map)
        read['map'] += [file for entry in entries for file in (entry.like, *entry.source)]
    return {name: targets.files_of(paths) for name, paths in read.items()}


def _write_sheet(
    sheet: Path, pairs: Sequence[tuple[Path, Path]], model: api.Model, how: Any
) -> None:
    from apgan_jax.inference.contact_sheet import write_contact_sheet

    if not pairs:  # Of a folder whose files failed.
        return
    before, after = zip(*pairs, strict=True)
    write_contact_sheet(
        before,
        after,
        sheet,
        model_name=model.name,
        bundle_sha256=model.sha256,
        start=how.start,
        end=how.end,
        credentials=how.credentials,
    )


def _output(options: argparse.Namespace):
    from apgan_jax.inference.label import DEFAULT_TEXT
    from apgan_jax.inference.swap import Output
    from apgan_jax.video.encoding import Encoding

    return Output(
        encoding=Encoding(
            *(options.codec or 'h264', options.quality, options.preset, options.chroma or 'keep')
        ),
        start=options.start,
        end=options.end,
        label=DEFAULT_TEXT if options.label == '' else options.label,
        credentials=_signer(options),
        resume=options.resume,
        strict=getattr(options, 'strict', False),
        allow_none=options.allow_none,
    )


def _signer(options: argparse.Namespace):
    """What signs; it has done so once when this returns."""
    from apgan_jax.provenance import credentials

    if (options.certificate is None) != (options.key is None):
        raise UserError('--certificate and --key belong together; give both or neither')
    if options.key:
        signer = credentials.load_credentials(options.certificate, options.key)
    else:
        own = credentials.default_credentials_dir()
        signer = credentials.load_or_create_credentials(own)
    return signer.with_time_stamps(options.timestamp) if options.timestamp else signer


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        print(line)


def _verify(options: argparse.Namespace) -> int:
    from apgan_jax.provenance import manifest
    from apgan_jax.provenance.verified_folder import verify_folder

    if options.file.is_dir():
        folder = verify_folder(options.file, trust=options.trust)
        _print_lines(folder.lines())
        return 0 if folder.is_intact else 1
    report = manifest.verify(options.file, trust=options.trust)
    print('\n'.join(report.lines()))
    is_intact = report.state in ('trusted', 'valid', 'expired')
    return 0 if is_intact and report.is_marked_synthetic else 1


def _export_root(options: argparse.Namespace) -> int:
    from apgan_jax.provenance import credentials

    own = credentials.default_credentials_dir()
    root = credentials.own_root(own) or credentials.load_or_create_credentials(own).root
    if options.output is None:
        print(root.decode(), end='')
        return 0
    try:
        with options.output.open('xb') as file:
            file.write(root)
    except OSError as error:
        raise UserError(
            f'--output {options.output}: cannot be written ({error.strerror}); choose another name'
        ) from error
    print(f'{options.output}: your public root; whoever gives it to --trust trusts your files')
    return 0


def _save_identity(options: argparse.Namespace) -> int:
    if options.output.exists():
        raise UserError(f'--output {options.output}: exists already; choose another name')
    if options.output.suffix != '.safetensors':
        raise UserError(f'--output {options.output}: the name must end in .safetensors')
    if not options.output.parent.is_dir():
        raise UserError(f'--output {options.output}: its folder is not there; make it first')
    model = _load(options)
    who = model.identity(options.source)
    _print_lines(who.lines())
    model.save_identity(who, options.output)
    print(f'{options.output}: identity of {who.used} pictures')
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    def make_swapper(bundle: Path | None) -> Any:
        from apgan_jax.bundle import load_bundle
        from apgan_jax.inference.swapper import Swapper
        from apgan_jax.runtime import prepare_process

        prepare_process()
        return Swapper(load_bundle(bundle))

    return evaluation.run(options, make_swapper)


def _info(options: argparse.Namespace) -> int:
    from apgan_jax.training import experiment, size_report
    from apgan_jax.training.config_arguments import load_config

    for name in ('batch', 'devices'):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f'--{name} {value}: must be at least 1')
    if options.bundle and options.devices:
        raise UserError('--devices: a bundle has no train step; give the --config instead')
    step = None
    if options.bundle:
        batch = options.batch or 1
        sizes = size_report.bundle_sizes(options.bundle, batch=batch)
    else:
        config = load_config(options.config)
        batch = options.batch or config.batch_size
        model = experiment.build_model(config)
        sizes = size_report.model_sizes(model, batch=batch)
        step = size_report.step_size(
            model,
            sizes,
            batch=batch,
            batch_size=config.batch_size,
            **config.mesh.to_dict(),
            devices=options.devices,
        )
    print(size_report.table(sizes, batch))
    totals = size_report.totals(sizes)
    if step:
        print(size_report.step_table(step))
        totals |= {'train_step': size_report.step_totals(step)}
    print(json.dumps(totals))
    return 0


def _report(options: argparse.Namespace) -> int:
    from apgan_jax.training.report import write_report

    print(write_report(options.workdir, options.output))
    return 0


if __name__ == '__main__':
    sys.exit(main())
