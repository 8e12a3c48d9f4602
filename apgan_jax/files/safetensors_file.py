"""Safetensors files with a JSON document as their metadata: bundles and identities."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from apgan_jax.errors import UserError, first_line
from apgan_jax.files.atomic import whole_file
from apgan_jax.files.documents import parse_json_object

_KEY = 'apgan'


def write(path: Path, tensors: dict[str, np.ndarray], document: dict[str, Any]) -> None:
    """Writes the file under its final name only when it is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `ascontiguousarray`, which makes a list of a single number.
    contiguous = {name: np.asarray(value, order='C') for name, value in tensors.items()}
    data = save(contiguous, metadata={_KEY: json.dumps(document, sort_keys=True)})
    with whole_file(path) as part:
        part.write_bytes(data)


def read(path: Path, what: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads tensors and document.

    Args:
      path: of the file.
      what: the file should be ('bundle'), for messages.

    Raises:
      UserError: missing, unreadable, or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'{path}: no such file; give the path of a .safetensors file ({what})')
    try:
        with safe_open(path, framework='numpy') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    # TypeError: of numbers that NumPy has not, such as bfloat16.
    except (SafetensorError, OSError, TypeError) as error:
        raise UserError(
            f'{path}: no readable safetensors file ({first_line(error)}); give a {what}'
        ) from error
    if _KEY not in metadata:
        raise UserError(f'{path}: is no {what} of this project; give one that apgan wrote')
    return tensors, parse_json_object(
        metadata[_KEY], where=str(path), remedy=f'give a {what} that apgan wrote'
    )


def sha256_of(path: Path) -> str:
    """The file's hash, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
