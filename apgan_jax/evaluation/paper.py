"""The paper's own numbers (section IV), to print beside ours."""

from collections.abc import Iterable, Mapping

from apgan_jax.errors import UserError
from apgan_jax.evaluation.table import Value
from apgan_jax.metrics.metric import Description

_COLUMNS = ('identity_retrieval', 'dipd', 'pose', 'expression', 'ssim', 'aee', 'fwe')
# Tables III (averages over FaceForensics++) and V, without what the paper takes from others.
TABLES: dict[str, tuple[float, ...]] = {
    'DeepFakes': (0.76, 1.33, 4.87, 3.02, 0.38, 1.89, 0.27),
    'FaceSwap': (0.60, 0.78, 2.90, 2.73, 0.44, 1.95, 0.28),
    'FS-GAN': (0.81, 0.55, 2.72, 2.59, 0.42, 1.81, 0.25),
    'AP-GAN': (0.98, 0.28, 2.43, 2.19, 0.77, 1.50, 0.22),
    'AP-GAN k=1': (0.96, 0.30, 2.46, 2.23, 0.74, 1.51, 0.22),
    'AP-GAN k=5': (0.97, 0.29, 2.43, 2.24, 0.77, 1.50, 0.22),
    'AP-GAN k=10': (0.98, 0.28, 2.43, 2.19, 0.77, 1.50, 0.22),
    'AP-GAN k=50': (0.98, 0.28, 2.44, 2.19, 0.77, 1.50, 0.22),
}
REMARK = (
    'paper: its tables III and V, other networks, averages over 1,000 videos: compare the order'
)


def check_methods(methods: Iterable[str]) -> None:
    """Refuses methods that the tables lack.

    Raises:
      UserError: the paper has no such method.
    """
    for method in methods:
        if method not in TABLES:
            raise UserError(f'--paper {method}: not in the paper; choose of {", ".join(TABLES)}')


def paper_column(method: str, descriptions: list[Description]) -> Mapping[str, Value]:
    """A column of the paper's tables III or V, in the rows that measure the same quantity.

    Args:
      method: a key of `TABLES`.
      descriptions: of the rows; the first of each quantity gets the number.

    """
    column: dict[str, Value] = {}
    for quantity, number in zip(_COLUMNS, TABLES[method], strict=True):
        key = next((d.key for d in descriptions if d.key.startswith(quantity)), None)
        if key:
            column[key] = Value(number)
    return column
