"""`--config=…` of a command line: the file is found, and its fields are checked by name and type.

absl and ml_collections parse what is left afterwards. By themselves they look for the file from the
current folder alone, and answer an unknown field with a traceback.
"""

import ast
import difflib
import inspect
import re
import runpy
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

import configs
from apgan_jax.errors import UserError, first_line
from apgan_jax.files.tensors import flatten
from configs import default

# Of a field's type: absl's parser, and what it takes.
_PARSERS: dict[type, tuple[flags.ArgumentParser, str]] = {
    bool: (flags.BooleanParser(), 'true or false'),
    int: (flags.IntegerParser(), 'a whole number'),
    float: (flags.FloatParser(), 'a number'),
}
# The fields that change on the way, () in most configs, and what one may be given.
_COURSES = 'course.'
_A_COURSE = ((0, 60.0), (20_000, 5.0))
_CONFIG = re.compile(r'--?config(?:=(.*))?', re.DOTALL)
_OVERRIDE = re.compile(r'--?(?:no)?config\.([^=]+)(?:=(.*))?', re.DOTALL)
_MOST_NAMES = 3


def find_config(name: str) -> str:
    """Where the file of a config is.

    Args:
      name: a file, or one of the installed package `configs` from any folder ('configs/tiny.py',
        'tiny'); with ':ARGUMENT' behind it where the file takes one.

    Returns:
      `name` with a path that exists.

    Raises:
      UserError: there is no such file.
    """
    path, colon, argument = name.partition(':')
    if Path(path).is_file():
        return name
    shipped = _shipped_configs()
    if str(Path(path).parent) in ('.', 'configs') and Path(path).stem in shipped:
        return f'{shipped[Path(path).stem]}{colon}{argument}'
    raise UserError(
        f'--config={path}: no such file; take one of your own, or configs/NAME.py, NAME being '
        f'{", ".join(shipped)}'
    )


def load_config(name: str) -> ConfigDict:
    """The config that `--config=NAME` means, before the command line sets any field.

    Args:
      name: see `find_config`.

    Raises:
      UserError: there is no such file, it fails, or its fields are not those of
        configs/default.py.
    """
    path, colon, argument = find_config(name).partition(':')
    try:
        get_config = runpy.run_path(path)['get_config']
        if colon and not inspect.signature(get_config).parameters:
            raise UserError(f'--config={name}: {path} takes no argument; leave :{argument} out')
        config = get_config(*([argument] if colon else []))
        names = set(_leaves(config))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'--config={path}: {_failure(path, error)}; mend that file') from error
    _require_the_default_fields(names, path)
    return config


def resolve_arguments(arguments: Sequence[str]) -> list[str]:
    """A command line whose --config names a file that exists, all fields and values checked.

    Args:
      arguments: as `sys.argv` has them.

    Returns:
      The same with the path of the config's file; unchanged where there is no --config.

    Raises:
      UserError: no such config or field, or a value of another type than the field's.
    """
    resolved = list(arguments)
    for place, argument in enumerate(arguments):
        match = _CONFIG.fullmatch(argument)
        if match and (name := _value(match[1], arguments, place)):
            resolved[place] = f'--config={find_config(name)}'
            if match[1] is None:
                del resolved[place + 1]
            _check_overrides(load_config(name), arguments)
            break
    return resolved


def _value(given: str | None, arguments: Sequence[str], place: int) -> str | None:
    """What a flag is set to: behind its '=', or in the next argument."""
    following = arguments[place + 1 : place + 2]
    return given if given is not None else next(iter(following), None)


def _check_overrides(config: ConfigDict, arguments: Sequence[str]) -> None:
    given: dict[str, list[str]] = {}
    for place, argument in enumerate(arguments):
        if match := _OVERRIDE.fullmatch(argument):
            field, value = match.groups()
            # A field that is true or false needs no value: --config.data.mirror.
            if isinstance(_default(config, field), bool) and value is None:
                continue
            value = _value(value, arguments, place)
            if value is not None:
                given.setdefault(field, []).append(value)
    for field, values in given.items():
        _check_values(field, values, _default(config, field))


def _default(config: ConfigDict, name: str) -> Any:
    """The value of a field by its dotted name.

    Raises:
      UserError: there is no such field, or it is a group of fields.
    """
    fields = _leaves(config)
    if name in fields:
        return fields[name]
    group = [field for field in fields if field.startswith(f'{name}.')]
    if group:
        raise UserError(
            f'--config.{name}: a group of fields; set one of them: '
            f'{", ".join(f"config.{field}" for field in group)}'
        )
    raise UserError(f'--config.{name}: no such field; {_hint(name, fields)}')


def _check_values(field: str, values: Sequence[str], default: Any) -> None:
    """Looks at all values that a command line gives to a field."""
    kind = type(default)
    if field.startswith(_COURSES):
        fits = all(_is_tuple_of(tuple, value) for value in values)
        default, wanted = _A_COURSE, 'a tuple of (step, value)'
    elif isinstance(default, tuple):
        # ml_collections takes a tuple in parts too, a flag for each of them.
        fits = len(values) > 1 or _is_tuple_of(int, values[0])
        wanted = 'a tuple of whole numbers'
    elif kind in _PARSERS:
        parser, wanted = _PARSERS[kind]
        fits = all(_parses(parser, value) for value in values)
    else:
        return
    if not fits:
        raise UserError(
            f'--config.{field}={values[-1]}: must be {wanted}, such as '
            f'--config.{field}={_written(default)}'
        )


def _parses(parser: flags.ArgumentParser, value: str) -> bool:
    try:
        parser.parse(value)
    except ValueError:
        return False
    return True


def _is_tuple_of(kind: type, value: str) -> bool:
    """Whether a text is a tuple or list of such things."""
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return False
    return isinstance(parsed, (tuple, list)) and all(type(item) is kind for item in parsed)


def _written(value: Any) -> str:
    """A value as a shell takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, tuple) else str(value)


def _hint(name: str, fields: Collection[str]) -> str:
    near = _nearest(name, fields)
    if near:
        return f'did you mean {" or ".join(f"config.{field}" for field in near)}?'
    return 'configs/default.py has all of them, with what they mean'


def _nearest(name: str, fields: Collection[str]) -> list[str]:
    """The fields that a wrong name may mean, the likeliest first."""
    last = name.rpartition('.')[2]
    by_last = {field.rpartition('.')[2]: field for field in fields}
    alike = difflib.get_close_matches(name, fields, _MOST_NAMES)
    # 'learning_rate' is a part of two names, 'size' of 'image_size'.
    parts = [part for part in by_last if len(last) > 2 and (last in part or part in last)]
    parts += difflib.get_close_matches(last, by_last, _MOST_NAMES)
    return list(dict.fromkeys([*alike, *(by_last[part] for part in parts)]))[:_MOST_NAMES]


def _require_the_default_fields(names: set[str], path: str) -> None:
    """A misspelt field of a file would be one more that nothing reads."""
    known = _leaves(default.get_config())
    for name in sorted(names - known.keys()):
        raise UserError(f'{path}: config.{name}: no such field; {_hint(name, known)}')
    for name in sorted(known.keys() - names):
        raise UserError(
            f'{path}: config.{name} is missing; start from `default.get_config()` and override'
        )


def _leaves(config: ConfigDict) -> dict[str, Any]:
    """All values by their dotted names."""
    return flatten(config.to_dict(), '.')


def _failure(path: str, error: Exception) -> str:
    """What went wrong in a file, and in which line of it."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == path
    ]
    where = f'line {lines[-1]}: ' if lines else ''
    return f'{where}{type(error).__name__}: {first_line(error)}'


def _shipped_configs() -> dict[str, Path]:
    """The files of the installed package `configs`, by name."""
    folder = Path(next(iter(configs.__path__)))
    return {file.stem: file for file in sorted(folder.glob('*.py')) if file.stem != '__init__'}
