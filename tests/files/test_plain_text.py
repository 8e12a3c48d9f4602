"""What a terminal cannot show is told from what it can, and shown all the same."""

import pytest

from apgan_jax.files.plain_text import is_plain, plain


@pytest.mark.parametrize('text', ['', 'a.jpg', 'Å ñ 名前 🙂', '²', 'a b'])
def test_what_can_be_shown_stays(text):
    assert is_plain(text)
    assert plain(text) == text


@pytest.mark.parametrize('text', ['na\udcefve.png', 'two\nlines', 'bell\a', '\x1b[2J', '\x85'])
def test_what_cannot_be_shown_is_escaped(text):
    assert not is_plain(text)
    assert is_plain(plain(text))
    plain(text).encode()
