"""Reads PyTorch state dicts (.pth, .pt) without PyTorch and without executing what they hold.

A file of `torch.save` is a zip archive: `data.pkl` describes the tensors, `data/<key>` holds the
numbers of each storage. Before PyTorch 1.6, and in many files that are handed on until today, it
was one stream: pickles of a magic number, the version, the machine and the description, then of a
list of the storages' keys, then each storage's length and numbers.

A pickle may name any function of the machine and have it called. Here it gets the few names that a
state dict needs, from a list, and nothing else.
"""

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from apgan_jax.errors import UserError

# Pickled, the number that a stream begins with.
_STREAM_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
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
      UserError: the file is missing or damaged, names something that no state dict needs, or holds
        something else than tensors by name.
    """
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise UserError(f'Cannot read {source} ({error.strerror}): pass a .pth file.') from error
    if not data.startswith((b'PK', _STREAM_MAGIC)):
        raise UserError(
            f'{source} is no zip archive and no older file of torch.save: pass a .pth file.'
        )
    try:
        file: _ZipFile | _Stream
        file = _ZipFile(data, source) if data.startswith(b'PK') else _Stream(data, source)
        return {name: file.numbers(tensor) for name, tensor in _tensors(file.state, source)}
    except _DAMAGE as error:
        raise UserError(f'{source} is damaged ({error!r}): get it anew.') from error


def _tensors(state: Any, source: Path) -> list[tuple[str, '_Tensor']]:
    """The items of an unpickled state dict."""
    if not isinstance(state, dict):
        raise UserError(f'{source} holds a {type(state).__name__}: save model.state_dict().')
    # The dict's own method: a pickle may have hidden it behind an attribute of the same name.
    items = list(dict.items(state))
    strangers = [str(name) for name, value in items if not isinstance(value, _Tensor)]
    if strangers:
        raise UserError(
            f'{source} holds more than tensors ({", ".join(strangers)}): save model.state_dict().'
        )
    return [(str(name), value) for name, value in items]


class _Kind(NamedTuple):
    """A storage's type as the pickle names it."""

    dtype: Any


class _Storage(NamedTuple):
    """A storage as the pickle describes it."""

    key: str
    dtype: Any
    length: int


class _Tensor(NamedTuple):
    """A part of a storage; steps are counted in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __setstate__(self, _: Any) -> None:
        """Ignores what PyTorch 0.1 says of a parameter beside its numbers: about gradients."""

    def cut(self, numbers: np.ndarray) -> np.ndarray:
        """A copy out of the storage's numbers, one dimension."""
        offset, shape, strides = self.offset, self.shape, self.strides
        if min((offset, *shape, *strides)) < 0 or len(shape) != len(strides):
            raise ValueError(f'a tensor at {offset} of shape {shape} and strides {strides}')
        if math.prod(shape) > len(numbers):
            raise ValueError(f'a tensor of shape {shape} in a storage of {len(numbers)} numbers')
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if 0 not in shape and last >= len(numbers):
            raise ValueError(f'a tensor of shape {shape} that ends behind its storage')
        in_bytes = tuple(step * numbers.itemsize for step in strides)
        return np.lib.stride_tricks.as_strided(numbers[offset:], shape, in_bytes).copy()


class _Call:
    """Stands for a function of PyTorch; without attributes that a pickle could set."""

    __slots__ = ('_function',)

    def __init__(self, function: Callable[..., _Tensor]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> _Tensor:
        return self._function(*arguments)


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    """The rest is about gradients."""
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


_CALLS: dict[tuple[str, str], Callable[..., _Tensor]] = {
    ('torch._utils', '_rebuild_tensor'): _rebuild_tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
    ('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
    ('torch.nn.parameter', 'Parameter'): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    """Unpickles a description; every name in it passes through `find_class`."""

    def __init__(self, stream: io.BytesIO, source: Path) -> None:
        super().__init__(stream)
        self._source = source
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The allowed names only."""
        if (module, name) == ('collections', 'OrderedDict'):
            return collections.OrderedDict
        if (module, name) in _CALLS:
            return _Call(_CALLS[module, name])
        if module == 'torch' and name in _DTYPES:
            return _Kind(_DTYPES[name])
        raise UserError(
            f'{self._source} wants to call {module}.{name}, which no state dict needs, and was not '
            'read: save model.state_dict() of a source that you trust.'
        )

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage of ('storage', type, key, device, length, …)."""
        _, kind, key, _, length, *_ = pid
        return self.storages.setdefault(key, _Storage(key, kind.dtype, length))


class _ZipFile:
    """PyTorch's format since 1.6.

    Attributes:
      state: what was unpickled.
    """

    def __init__(self, data: bytes, source: Path) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        names = self._archive.namelist()
        pickles = [name for name in names if name.endswith('data.pkl')]
        if len(pickles) != 1:
            raise UserError(f'{source} holds no state dict: pass a file of torch.save.')
        self._folder = pickles[0].removesuffix('data.pkl')
        order = f'{self._folder}byteorder'
        if order in names and self._archive.read(order) != b'little':
            raise UserError(f'{source} is big-endian: save it on a little-endian machine.')
        self._read_storages: dict[str, np.ndarray] = {}
        self.state = _Unpickler(io.BytesIO(self._read(pickles[0])), source).load()

    def numbers(self, tensor: _Tensor) -> np.ndarray:
        """A copy of a tensor's numbers."""
        key, dtype, length = tensor.storage
        if key not in self._read_storages:
            stored = np.frombuffer(self._read(f'{self._folder}data/{key}'), dtype)
            self._read_storages[key] = stored
        numbers = self._read_storages[key]
        if len(numbers) != length:
            raise ValueError(f'storage {key} holds {len(numbers)} numbers, not {length}')
        return tensor.cut(numbers)

    def _read(self, name: str) -> bytes:
        info = self._archive.getinfo(name)
        # PyTorch compresses nothing, and a small file must not unfold to any size.
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f'{name} is compressed')
        return self._archive.read(info)


class _Stream:
    """PyTorch's format before 1.6.

    Attributes:
      state: what was unpickled.
    """

    def __init__(self, data: bytes, source: Path) -> None:
        stream = io.BytesIO(data)
        stream.seek(len(_STREAM_MAGIC))
        _Unpickler(stream, source).load()  # the version: there is one only
        if _Unpickler(stream, source).load()['little_endian'] is not True:
            raise UserError(f'{source} is big-endian: save it on a little-endian machine.')
        description = _Unpickler(stream, source)
        self.state = description.load()
        self._storages: dict[str, np.ndarray] = {}
        for key in _Unpickler(stream, source).load():
            _, dtype, length = description.storages[key]
            held = int.from_bytes(stream.read(8), 'little')
            if held != length:
                raise ValueError(f'storage {key} holds {held} numbers, not {length}')
            self._storages[key] = np.frombuffer(data, dtype, length, stream.tell())
            stream.seek(self._storages[key].nbytes, io.SEEK_CUR)

    def numbers(self, tensor: _Tensor) -> np.ndarray:
        """A copy of a tensor's numbers."""
        return tensor.cut(self._storages[tensor.storage.key])
