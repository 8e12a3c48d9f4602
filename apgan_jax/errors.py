"""The one exception that users are meant to see."""


class UserError(Exception):
    """A mistake or a missing part that the user can mend.

    The message is one line: the value found, the rule it breaks, the remedy. Entry points print it
    without a traceback and exit with a status other than 0.
    """
