"""The data sets that an evaluation knows, and what all of them ask of its options."""

from collections.abc import Sequence
from pathlib import Path

from apgan_jax.errors import UserError

PHOTO_PROTOCOLS = ('heldout', 'lfw', 'celebahq')
# Found through APGAN_DATA.
OWN_PROTOCOLS = ('heldout', 'pictures')
PROTOCOLS = (*PHOTO_PROTOCOLS, 'pictures', 'ffpp')


def required_root(protocol: str, root: Path | None) -> Path:
    """The folder of a data set that is not among the evaluation data (APGAN_DATA).

    Raises:
      UserError: it was not given.
    """
    if root is None:
        raise UserError(f'--protocol {protocol}: needs --root, the folder of the data set')
    return root


def check_ks(ks: Sequence[int]) -> None:
    """Refuses numbers of photos or frames that no source can have.

    Raises:
      UserError: one is below 1.
    """
    if wrong := [k for k in ks if k < 1]:
        raise UserError(f'--k {wrong[0]}: must be at least 1')
