"""Reads PyTorch state dicts (.pth, .pt) without PyTorch and without executing what they hold.

A file of `torch.save` is a zip archive: `data.pkl` describes the tensors, `data/<key>` holds the
numbers of each storage. A pickle may name any function of the machine and have it called. Here it
gets the three kinds of names that a state dict needs, from a list, and nothing else.
"""

import collections
import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from apgan_jax.errors import UserError

_DTYPES = {
    'BFloat16Storage': ml_dtypes.bfloat16,
    'DoubleStorage': np.float64,
    'FloatStorage': np.float32,
    'HalfStorage': np.float16,
    'IntStorage': np.int32,
    'LongStorage': np.int64,
}
# What unpickling bytes of any kind may raise.
_DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)


def load_state_dict(source: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name, in the dtypes they were saved in.

    Raises:
      UserError: the file is missing, damaged or of the format before PyTorch 1.6, names something
        that no state dict needs, or holds something else than tensors by name.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            state = _StateDictUnpickler(archive, source).load()
    except OSError as error:
        raise UserError(f'Cannot read {source} ({error.strerror}): pass a .pth file.') from error
    except zipfile.BadZipFile as error:
        raise UserError(
            f'{source} is no zip archive: it is damaged, or in the format before PyTorch 1.6; load '
            'it with PyTorch where you trust it and torch.save its state_dict() anew.'
        ) from error
    except _DAMAGE as error:
        raise UserError(f'{source} is damaged ({error!r}): get it anew.') from error
    if not isinstance(state, dict):
        raise UserError(f'{source} holds a {type(state).__name__}: save model.state_dict().')
    # The dict's own method: a pickle may have hidden it behind an attribute of the same name.
    items = dict(dict.items(state))
    strangers = [str(name) for name, value in items.items() if not isinstance(value, np.ndarray)]
    if strangers:
        raise UserError(
            f'{source} holds more than tensors ({", ".join(strangers)}): save model.state_dict().'
        )
    return {str(name): array for name, array in items.items()}


class _Storage(NamedTuple):
    """A storage's type as the pickle names it."""

    dtype: Any


class _RebuildTensor:
    """Stands for `torch._utils._rebuild_tensor_v2`; without attributes that a pickle could set."""

    __slots__ = ()

    def __call__(
        self,
        storage: np.ndarray,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_: Any,
    ) -> np.ndarray:
        """A copy of a part of a storage; the rest is about gradients."""
        if min((offset, *shape, *strides)) < 0 or len(shape) != len(strides):
            raise ValueError(f'a tensor at {offset} of shape {shape} and strides {strides}')
        if math.prod(shape) > len(storage):
            raise ValueError(f'a tensor of shape {shape} in a storage of {len(storage)} numbers')
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if 0 not in shape and last >= len(storage):
            raise ValueError(f'a tensor of shape {shape} that ends behind its storage')
        in_bytes = tuple(step * storage.itemsize for step in strides)
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, in_bytes).copy()


class _StateDictUnpickler(pickle.Unpickler):
    """Unpickles `data.pkl`; every name in it passes through `find_class`."""

    def __init__(self, archive: zipfile.ZipFile, source: Path) -> None:
        self._archive, self._source = archive, source
        pickles = [name for name in archive.namelist() if name.endswith('data.pkl')]
        if len(pickles) != 1:
            raise UserError(f'{source} holds no state dict: pass a file of torch.save.')
        self._folder = pickles[0].removesuffix('data.pkl')
        order = f'{self._folder}byteorder'
        if order in archive.namelist() and archive.read(order) != b'little':
            raise UserError(f'{source} is big-endian: save it on a little-endian machine.')
        self._storages: dict[str, np.ndarray] = {}
        super().__init__(io.BytesIO(self._read(pickles[0])))

    def find_class(self, module: str, name: str) -> Any:
        """The allowed names only."""
        if (module, name) == ('collections', 'OrderedDict'):
            return collections.OrderedDict
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return _RebuildTensor()
        if module == 'torch' and name in _DTYPES:
            return _Storage(_DTYPES[name])
        raise UserError(
            f'{self._source} wants to call {module}.{name}, which no state dict needs, and was not '
            'read: save model.state_dict() of a source that you trust.'
        )

    def persistent_load(self, pid: Any) -> np.ndarray:
        """The numbers of ('storage', type, key, device, count), one dimension."""
        _, storage, key, _, count = pid
        if key not in self._storages:
            data = self._read(f'{self._folder}data/{key}')
            self._storages[key] = np.frombuffer(data, storage.dtype)
        if len(self._storages[key]) != count:
            raise ValueError(f'storage {key} holds {len(self._storages[key])} numbers, not {count}')
        return self._storages[key]

    def _read(self, name: str) -> bytes:
        info = self._archive.getinfo(name)
        # PyTorch compresses nothing, and a small file must not unfold to any size.
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f'{name} is compressed')
        return self._archive.read(info)
