"""Files as accidents and attackers leave them: of one good file, endlessly many damaged ones."""

import copy
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import load, save

_DOCUMENT = 'apgan'
# What parsers stumble over.
_TOKENS = (
    b'\0',
    b'\xff\xfe',
    b'\xef\xbb\xbf',
    b'\r',
    b'\n\n',
    b'\t',
    b'"',
    b"'''",
    b'#',
    b'=',
    b'{',
    b'}',
    b'[' * 3000,
    b']',
    b'NaN',
    b'-Infinity',
    b'1e999',
    b'9' * 5000,
    b'0x' + b'f' * 9000,
    b'\\ud800',
    b'\\u0000',
    b'x' * 200_000,
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**64,
    10**400,
    0.5,
    -1e308,
    math.nan,
    math.inf,
    '',
    'a\nb',
    '\ud800',
    'a\0b',
    '\x1b[2J',
    '../../etc',
    'x' * 5000,
    [],
    {},
    [[]],
    [1, 'two', None],
    {'a': {}},
    ['x'] * 1000,
)


class Content(NamedTuple):
    """Of a file, short where Hypothesis prints it."""

    data: bytes

    def __repr__(self) -> str:
        return f'{len(self.data)} bytes'


def _among(values: Sequence[Any]) -> st.SearchStrategy[Any]:
    """One of them, a copy. By number, because of long values' reprs."""
    return st.integers(0, len(values) - 1).map(lambda number: copy.deepcopy(values[number]))


def spliced(content: Content) -> st.SearchStrategy[bytes]:
    """Cut, overwritten, and with tokens among it, near the beginning as often as not."""
    length = len(content.data)
    place = st.one_of(st.integers(0, min(length, 3000)), st.integers(0, length))
    piece = st.one_of(st.binary(max_size=16), _among(_TOKENS))

    def splice(start: int, removed: int, piece: bytes) -> bytes:
        return content.data[:start] + piece + content.data[start + removed :]

    removed = st.one_of(st.integers(0, 16), st.integers(0, length))
    return st.builds(splice, place, removed, piece)


def places(tree: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values of a JSON document but its root."""
    if not isinstance(tree, dict | list):
        return []
    found = []
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found += [(*way, key), *places(value, (*way, key))]
    return found


@st.composite
def changed(draw: st.DrawFn, document: Content) -> bytes:
    """A JSON document with one to three values replaced, lost, or too many."""
    tree = json.loads(document.data)
    for _ in range(draw(st.integers(1, 3))):
        if not (ways := places(tree)):
            break
        *way, last = draw(st.sampled_from(ways))
        node = tree
        for key in way:
            node = node[key]
        match draw(st.sampled_from(('replace', 'replace', 'lose', 'add'))):
            case 'replace':
                node[last] = draw(_among(_VALUES))
            case 'lose':
                del node[last]
            case 'add' if isinstance(node, dict):
                node[draw(st.text(max_size=5))] = draw(_among(_VALUES))
    return json.dumps(tree).encode()


@st.composite
def _changed_array(draw: st.DrawFn, array: np.ndarray) -> np.ndarray:
    match draw(st.sampled_from(('dtype', 'shape', 'value', 'all'))):
        case 'dtype':
            kinds = ('float16', 'float64', 'int8', 'int64', 'bool', 'uint16')
            return array.astype(draw(st.sampled_from(kinds)))
        case 'shape':
            return draw(_among((array[None], array.ravel(), array[:0], np.zeros(()))))
        case 'value' if array.size:
            other = np.array(array)
            other.flat[draw(st.integers(0, array.size - 1))] = draw(_bad_number(array))
            return other
    return np.full_like(array, draw(_bad_number(array)))


def _bad_number(array: np.ndarray) -> st.SearchStrategy[Any]:
    is_float = np.issubdtype(array.dtype, np.floating)
    return st.sampled_from((math.nan, math.inf, -math.inf, 3e38, 0.0) if is_float else (0, 1))


def _metadata(content: bytes) -> dict[str, str]:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], 'little')])
    return header.get('__metadata__', {})


@st.composite
def _changed_tensors(draw: st.DrawFn, content: Content) -> bytes:
    """A safetensors file with another document, or another tensor, or fewer, or more."""
    tensors, metadata = load(content.data), _metadata(content.data)
    kinds = ('array', 'lose', 'add', *(['document'] * 3 if _DOCUMENT in metadata else []))
    kind = draw(st.sampled_from(kinds))
    if kind == 'document':
        document = draw(changed(Content(metadata[_DOCUMENT].encode())))
        metadata |= {_DOCUMENT: document.decode()}
    elif kind == 'add':
        tensors[draw(st.text('abc/', min_size=1, max_size=5))] = np.zeros(3, np.float32)
    else:
        name = draw(st.sampled_from(sorted(tensors)))
        array = tensors.pop(name)
        if kind == 'array':
            tensors[name] = draw(_changed_array(array))
    return save(tensors, metadata=metadata or None)


def damaged(name: str, data: bytes) -> st.SearchStrategy[bytes]:
    """What may have become of a file of this name and content."""
    content = Content(data)
    if name.endswith('.safetensors'):
        return st.one_of(_changed_tensors(content), _changed_tensors(content), spliced(content))
    if name.endswith('.json'):
        return st.one_of(changed(content), spliced(content))
    return spliced(content)
