"""Where processes of tests run, and what they import from."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(**variables: str) -> dict[str, str]:
    """This process's, in which the project and the tests' helpers can be imported."""
    path = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
    return os.environ | {'PYTHONPATH': path} | variables
