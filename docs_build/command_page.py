"""The page of every command: its usage and options, read off the parsers and flags themselves."""

import argparse
import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn
from unittest import mock

from absl import flags

from docs_build.markdown import code, fenced, plain, table

_TITLE = """# Every command

What `--help` says, in one place. `apgan` and `python` are those of `.venv/bin`.
"""
_MAIN = 'apgan_jax.main'
_MAIN_TEXT = 'Trains; `--mode` also evaluates a run, or exports its model.'
_CONFIG_FIELD = (
    code('--config.FIELD'),
    'Overrides a field of the config: [every field](config.md).',
    '',
)


class Command(NamedTuple):
    """A command that a parser knows.

    Attributes:
      name: as it is typed, 'apgan swap'.
      description: in Markdown.
      parser: of its options.
    """

    name: str
    description: str
    parser: argparse.ArgumentParser


def command_page(root: Path) -> str:
    """The page, in Markdown.

    Args:
      root: of the repository.
    """
    tools = [tool_command(name) for name in runnable_modules(root, 'data_prep')]
    parts = [_TITLE, *map(_section, apgan_commands())]
    parts += [f'## python -m {_MAIN}', _MAIN_TEXT, flag_table(_MAIN)]
    parts += map(_section, tools)
    parts += ['## Benchmarks', 'Each prints one JSON line last.', _benchmark_table(root)]
    parts += ['## make', fenced(_makefile_header(root / 'Makefile'))]
    return '\n\n'.join(parts) + '\n'


def apgan_commands() -> list[Command]:
    """The subcommands of `apgan`, those of `apgan identity` each for itself."""
    return list(_leaves(importlib.import_module('apgan_jax.cli')._parser(), ''))


def tool_command(module: str) -> Command:
    """`python -m MODULE`, whose `main(arguments)` parses with argparse first of all."""
    parser = _parser_of(module)
    parser.prog = f'python -m {module}'
    return Command(parser.prog, _docstring(module), parser)


def runnable_modules(root: Path, package: str) -> list[str]:
    """Modules of a package that `python -m` starts."""
    paths = sorted((root / package).glob('*.py'))
    return [f'{package}.{path.stem}' for path in paths if "== '__main__'" in path.read_text()]


def option_table(parser: argparse.ArgumentParser) -> str:
    """A row an option, but `--help`; '' if there are none."""
    formatter = argparse.HelpFormatter(parser.prog)
    rows = [
        (
            code(formatter._format_action_invocation(action)),
            plain(action.help or ''),
            _facts(action),
        )
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction) and action.help != argparse.SUPPRESS
    ]
    return table(('option', 'what it is', 'default'), rows) if rows else ''


def flag_table(module: str) -> str:
    """A row an absl flag of the module."""
    importlib.import_module(module)
    rows = [_flag_row(flag) for flag in flags.FLAGS.flags_by_module_dict()[module]]
    return table(('flag', 'what it is', 'default'), [*rows, _CONFIG_FIELD])


def _flag_row(flag: flags.Flag) -> tuple[str, str, str]:
    default = '' if flag.default in (None, []) else code(str(flag.default))
    return code(f'--{flag.name}'), plain(' '.join(flag.help.split())), default


def _leaves(parser: argparse.ArgumentParser, description: str) -> Iterator[Command]:
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield Command(parser.prog, plain(_sentence(description)), parser)
    for group in groups:
        helps = {choice.dest: choice.help or '' for choice in group._choices_actions}
        for name, child in group.choices.items():
            yield from _leaves(child, helps.get(name, ''))


class _ParserFoundError(Exception):
    """Carries a parser out of the `main` that made it."""


def _parser_of(module: str) -> argparse.ArgumentParser:
    def stop(parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        raise _ParserFoundError(parser)

    main = importlib.import_module(module).main
    with mock.patch.object(argparse.ArgumentParser, 'parse_known_args', stop):
        try:
            main([])
        except _ParserFoundError as found:
            return found.args[0]
    raise ValueError(f'{module}: main([]) has parsed nothing')


def _section(command: Command) -> str:
    parts = [f'## {command.name}', command.description, fenced(_usage(command.parser))]
    return '\n\n'.join([*parts, option_table(command.parser)])


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=88)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, '')
    return formatter.format_help()


def _facts(action: argparse.Action) -> str:
    if action.required and action.option_strings:
        return 'required'
    is_none = action.default is None or action.default is False or action.default == []
    return '' if is_none else code(str(action.default))


def _docstring(module: str) -> str:
    return importlib.import_module(module).__doc__ or ''


def _benchmark_table(root: Path) -> str:
    rows = []
    for module in runnable_modules(root, 'benchmarks'):
        tree = ast.parse((root / (module.replace('.', '/') + '.py')).read_text(encoding='utf-8'))
        first = (ast.get_docstring(tree) or '').partition('\n')[0]
        rows.append((code(f'python -m {module}'), plain(first)))
    return table(('command', 'what it measures'), rows)


def _makefile_header(path: Path) -> str:
    lines = path.read_text(encoding='utf-8').splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith('#'))
    return '\n'.join(line.removeprefix('#').removeprefix(' ') for line in lines[:end])


def _sentence(text: str) -> str:
    return f'{text[:1].upper()}{text[1:]}.' if text else ''
