"""Files that ship with the package: weights, identities and lists of names; found here alone."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def asset(name: str) -> Path:
    """Where a shipped file or folder lies.

    Args:
      name: relative to this folder: 'lite128.safetensors', 'identities'.
    """
    return _FOLDER / name
