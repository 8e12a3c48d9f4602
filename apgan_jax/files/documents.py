"""Documents that anybody may have written: JSON read with limits, and fields held to rules.

A rule is a test of a value, and what the value must be in words that follow 'must be'.
"""

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from apgan_jax.errors import UserError, first_line

# Deeper ones would end in Python's own limit, wherever a function calls itself.
_MAX_DEPTH = 64
_LONGEST_VALUE = 60
_MAX_TOML_BYTES = 1_000_000
# Of one folder or file, on the file systems in use.
_LONGEST_NAME = 255


class Rule(NamedTuple):
    """What a field must be.

    Attributes:
      is_met: of a value of any kind.
      says: the rule in words.
      is_optional: the field may be missing.
    """

    is_met: Callable[[Any], bool]
    says: str
    is_optional: bool = False

    def or_missing(self) -> 'Rule':
        """The same for a field that may be missing."""
        return self._replace(is_optional=True)


def parse_json_object(text: str | bytes, *, where: str, remedy: str) -> dict[str, Any]:
    """Reads a JSON document that must be an object, of numbers that are numbers.

    Args:
      text: the document.
      where: it comes from, for the message.
      remedy: what the user is to do.

    Raises:
      UserError: it is no such document.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        if not isinstance(document, dict):
            raise ValueError('no JSON object')
        _check_depth(document, _MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise UserError(f'{where}: is damaged ({first_line(error)}); {remedy}') from error
    return document


def parse_toml_file(path: Path, *, where: str, remedy: str) -> dict[str, Any]:
    """Reads a TOML file of at most a megabyte.

    Args:
      path: of the file.
      where: the document comes from, for the message.
      remedy: what the user is to do.

    Raises:
      UserError: it cannot be read, is too long, or is no TOML.
    """
    try:
        with open(path, 'rb') as file:
            content = file.read(_MAX_TOML_BYTES + 1)
        if len(content) > _MAX_TOML_BYTES:
            raise ValueError('longer than a megabyte')
        document = tomllib.loads(content.decode('utf-8-sig'))
        _check_depth(document, _MAX_DEPTH)
    except OSError as error:
        raise UserError(f'{where}: cannot be read ({error.strerror}); {remedy}') from error
    except (ValueError, RecursionError) as error:
        raise UserError(f'{where}: is no TOML ({first_line(error)}); {remedy}') from error
    return document


def check_fields(
    fields: Any, rules: Mapping[str, Rule], *, where: str, remedy: str, only_known: bool = True
) -> None:
    """Holds the fields of a document to rules.

    Args:
      fields: what should be an object.
      rules: by the name of the field.
      where: the fields come from, for the message.
      remedy: what the user is to do.
      only_known: refuse fields without a rule.

    Raises:
      UserError: naming the first field that is unknown, missing or against its rule.
    """
    if not isinstance(fields, Mapping):
        raise UserError(f'{where}: is {shortened(fields)}: must be an object; {remedy}')
    if only_known and (unknown := sorted(map(str, fields.keys() - rules.keys()))):
        known = ', '.join(rules)
        raise UserError(f'{where}: unknown field {shortened(unknown[0])}; known: {known}; {remedy}')
    for name, rule in rules.items():
        if name not in fields:
            if not rule.is_optional:
                raise UserError(f'{where}: {name} is missing: must be {rule.says}; {remedy}')
        elif not rule.is_met(fields[name]):
            found = shortened(fields[name])
            raise UserError(f'{where}: {name} = {found}: must be {rule.says}; {remedy}')


def shortened(value: Any) -> str:
    """How a value looks, in one line of a message."""
    try:
        text = repr(value)
    except ValueError:  # Of whole numbers with thousands of digits.
        return 'a number beyond all bounds'
    return text if len(text) <= _LONGEST_VALUE else f'{text[:_LONGEST_VALUE]}…'


def whole(low: int, high: int) -> Rule:
    """A whole number from `low` to `high`; True and 3.0 are none."""
    return Rule(
        lambda value: type(value) is int and low <= value <= high,
        f'a whole number from {low} to {high}',
    )


def number(low: float, high: float) -> Rule:
    """A number from `low` to `high`, whole or not."""
    return Rule(
        # Which excludes what is no number, too.
        lambda value: type(value) in (int, float) and low <= value <= high,
        f'a number from {low:g} to {high:g}',
    )


def flag() -> Rule:
    """True or false."""
    return Rule(lambda value: type(value) is bool, 'true or false')


def text(longest: int = 200) -> Rule:
    """A text in one line."""
    return Rule(
        lambda value: isinstance(value, str) and 0 < len(value) <= longest and value.isprintable(),
        f'a text of one line and at most {longest} characters',
    )


def file_name() -> Rule:
    """The name of a file, with or without folders, that a file system can have."""
    return Rule(_is_file_name, 'the name of a file')


def choice(*choices: Any) -> Rule:
    """One of some values, and of the same kind."""
    return Rule(
        lambda value: any(type(value) is type(each) and value == each for each in choices),
        'one of ' + ', '.join(map(str, choices)) if len(choices) > 1 else f'{choices[0]}',
    )


def list_of(rule: Rule, shortest: int, longest: int) -> Rule:
    """A list (or tuple) of values that meet a rule."""
    count = f'{shortest}' if shortest == longest else f'{shortest} to {longest}'
    return Rule(
        lambda value: (
            isinstance(value, list | tuple)
            and shortest <= len(value) <= longest
            and all(map(rule.is_met, value))
        ),
        f'a list of {count}, each {rule.says}',
    )


def mapping() -> Rule:
    """An object, whatever its fields."""
    return Rule(lambda value: isinstance(value, Mapping), 'an object')


def _is_file_name(value: Any) -> bool:
    if not isinstance(value, str) or not value or '\0' in value:
        return False
    try:
        parts = os.fsencode(value).split(b'/')
    except UnicodeEncodeError:
        return False
    return len(value) < 4096 and all(len(part) <= _LONGEST_NAME for part in parts)


def _refuse_constant(name: str) -> None:
    raise ValueError(f'{name} is no number')


def _check_depth(node: Any, left: int) -> None:
    if not left:
        raise ValueError(f'more than {_MAX_DEPTH} levels')
    below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for each in below:
        _check_depth(each, left - 1)
