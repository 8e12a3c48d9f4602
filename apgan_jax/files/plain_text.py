"""Names that everybody can show: terminals, reports and the mark."""

import unicodedata


def is_plain(text: str) -> bool:
    """Whether a text is UTF-8 of one line, without control characters."""
    # Control characters, and what stands for bytes that are no UTF-8.
    return not any(unicodedata.category(character) in ('Cc', 'Cs') for character in text)


def plain(text: str) -> str:
    """The text itself, or one with escapes for what cannot be shown."""
    return text if is_plain(text) else ascii(text)
