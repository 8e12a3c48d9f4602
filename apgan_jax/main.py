"""The command line of training: flags and dispatch, nothing else.

python -m apgan_jax.main --config=configs/tiny.py --config.data_dir=DIR [--workdir=DIR]
"""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import jax
from absl import app, flags, logging
from clu import platform
from ml_collections import config_flags

from apgan_jax.errors import UserError
from apgan_jax.runtime import prepare_process
from apgan_jax.training import config_arguments
from apgan_jax.training.preemption import PreemptedError

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_MODE = flags.DEFINE_enum('mode', 'train', ['train', 'evaluate', 'export'], 'What to do.')
_WORKDIR = flags.DEFINE_string(
    'workdir', None, 'Folder of checkpoints and logs; runs/<name of the config> by default.'
)
_PROTOCOL = flags.DEFINE_enum(
    'protocol',
    'run',
    ['run', 'heldout', 'lfw', 'celebahq', 'ffpp'],
    'On what (mode evaluate); run: the pairs that the run itself evaluates on.',
)
_ROOT = flags.DEFINE_string('root', None, 'Folder of the data set (mode evaluate).')
_K = flags.DEFINE_multi_integer('k', [], 'Photos or frames a source (mode evaluate).')
_OUTPUT = flags.DEFINE_string('output', None, 'The bundle to write (mode export).')
_MODEL_CARD = flags.DEFINE_string('model_card', None, 'JSON to add to the bundle (mode export).')
_WITH_DISCRIMINATOR = flags.DEFINE_bool(
    'with_discriminator',
    False,
    'Also write OUTPUT.discriminator.safetensors, for --config.init_from (mode export).',
)
_FLOAT16 = flags.DEFINE_bool(
    'float16', False, 'Store 16 bits a number, in half the size (mode export).'
)


def main(argv: Sequence[str]) -> None:
    """Dispatches on --mode."""
    if len(argv) > 1:
        raise app.UsageError(f'unexpected arguments: {argv[1:]}')
    if not flags.FLAGS['verbosity'].present:
        # Orbax reports every file it writes, across the progress bar.
        logging.set_verbosity(logging.WARNING)
    _dispatch()


def _parse_flags(argv: Sequence[str]) -> Sequence[str]:
    return app.parse_flags_with_usage(config_arguments.resolve_arguments(argv))


def _dispatch() -> None:
    if _MODE.value == 'export':
        from apgan_jax.training.export import export, export_lines

        if not (_OUTPUT.value and _WORKDIR.value):
            raise UserError('--mode=export needs --workdir=DIR and --output=FILE.safetensors')
        card = Path(_MODEL_CARD.value) if _MODEL_CARD.value else None
        workdir, output = Path(_WORKDIR.value), Path(_OUTPUT.value)
        bundle = export(
            workdir,
            output,
            model_card=card,
            with_discriminator=_WITH_DISCRIMINATOR.value,
            float16=_FLOAT16.value,
        )
        print('\n'.join(export_lines(workdir, output, bundle)))
        return
    if _MODE.value == 'evaluate':
        from apgan_jax.evaluation.of_checkpoint import evaluate_run

        if not _WORKDIR.value:
            raise UserError('--mode=evaluate needs --workdir=DIR, of a run that has a checkpoint')
        evaluate_run(
            Path(_WORKDIR.value),
            protocol=_PROTOCOL.value,
            root=Path(_ROOT.value) if _ROOT.value else None,
            ks=_K.value,
        )
        return
    if _CONFIG.value is None:
        raise UserError('--config is missing; try --config=configs/tiny.py')
    from apgan_jax.training.full_disk import full_disk_in_one_line
    from apgan_jax.training.sharding import start_distributed
    from apgan_jax.training.train import train_and_evaluate

    start_distributed(**_CONFIG.value.distributed.to_dict())
    logging.info('devices: %s', jax.devices())
    platform.work_unit().set_task_status(f'process {jax.process_index()} trains')
    try:
        with full_disk_in_one_line(_workdir()):
            train_and_evaluate(_CONFIG.value, _workdir())
    except PreemptedError as stop:
        print(f'apgan_jax.main: {stop}', file=sys.stderr)
        sys.exit(stop.exit_code)


def _run() -> None:
    try:
        app.run(main, flags_parser=_parse_flags)
    except UserError as error:
        # Of main, or of the flags.
        print(f'apgan_jax.main: {error}', file=sys.stderr)
    except KeyboardInterrupt:
        # Ctrl-C before the first step, or a second one: see apgan_jax/training/preemption.py.
        print('apgan_jax.main: interrupted; checkpoints that were complete stay', file=sys.stderr)
    except Exception:
        traceback.print_exc()
    if jax.distributed.is_initialized():
        from apgan_jax.training.sharding import exit_alone

        exit_alone(1)
    sys.exit(1)


def _workdir() -> Path:
    if _WORKDIR.value:
        return Path(_WORKDIR.value)
    file, _, argument = config_flags.get_config_filename(flags.FLAGS['config']).partition(':')
    # An ablation has a folder of its own: runs/ablations-adalin-lite64.
    return Path('runs') / '-'.join([Path(file).stem, *filter(None, argument.split(','))])


if __name__ == '__main__':
    prepare_process()
    _run()
