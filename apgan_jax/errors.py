"""The one exception that users are meant to see."""

_LONGEST_LINE = 200


class UserError(Exception):
    """A mistake or a missing part that the user can mend.

    The message is one line: the value found, the rule it breaks, the remedy. Entry points print it
    without a traceback and exit with a status other than 0. Names and values in it may be of
    strangers: what cannot be printed, line breaks among it, is replaced.
    """

    def __init__(self, message: str = '') -> None:
        super().__init__(''.join(map(_printed, message)))


def _printed(character: str) -> str:
    if character.isprintable():
        return character
    return ' ' if character.isspace() else '?'


def first_line(error: BaseException) -> str:
    """What somebody else's exception says, in one line; its type where it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:_LONGEST_LINE]
