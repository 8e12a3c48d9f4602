import pytest

from apgan_jax.errors import UserError, first_line


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (ValueError('no number\nTraceback: much more'), 'no number'),
        (OSError('\n  disk full  \nmore'), 'disk full  '),
        (KeyError(), 'KeyError'),
        (RuntimeError('  \n '), 'RuntimeError'),
        (RuntimeError('x' * 1000), 'x' * 200),
    ],
    ids=['first', 'blank-lines', 'empty', 'spaces', 'long'],
)
def test_what_others_say_becomes_one_line(error, expected):
    assert first_line(error) == expected


def test_a_message_is_one_line_that_can_be_printed():
    error = UserError("a\nb\tc: \x1b[2J 'ä…×'; name \udcff")
    assert str(error) == "a b c: ?[2J 'ä…×'; name ?"
    str(error).encode()
