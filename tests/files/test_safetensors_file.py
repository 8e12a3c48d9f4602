"""Tensors and document come back; another file is named, with what it should have been."""

import hashlib

import numpy as np
import pytest
from safetensors.numpy import save_file

from apgan_jax.errors import UserError
from apgan_jax.files import safetensors_file

TENSORS = {
    'float': np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
    'bytes': np.arange(4, dtype=np.uint8),
    'number': np.float64(3.5).reshape(()),
}
DOCUMENT = {'version': 1, 'name': 'Änne', 'deep': {'list': [1, None, 'two']}}


def test_tensors_and_document_come_back(tmp_path):
    path = tmp_path / 'new' / 'folder' / 'file.safetensors'
    safetensors_file.write(path, TENSORS, DOCUMENT)
    tensors, document = safetensors_file.read(path, 'bundle')
    assert document == DOCUMENT
    assert tensors.keys() == TENSORS.keys()
    for name, expected in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], expected)
        assert (tensors[name].dtype, tensors[name].shape) == (expected.dtype, expected.shape)
    assert list(path.parent.iterdir()) == [path]


def test_views_are_stored_as_they_look(tmp_path):
    """The library stores the memory of an array, whatever its strides say."""
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    safetensors_file.write(tmp_path / 'a', {'t': whole.T, 'part': whole[::2, 1:]}, {})
    tensors, _ = safetensors_file.read(tmp_path / 'a', 'bundle')
    np.testing.assert_array_equal(tensors['t'], whole.T)
    np.testing.assert_array_equal(tensors['part'], whole[::2, 1:])


def test_equal_contents_make_equal_files(tmp_path):
    safetensors_file.write(tmp_path / 'a', TENSORS, DOCUMENT)
    safetensors_file.write(tmp_path / 'b', TENSORS, dict(reversed(DOCUMENT.items())))
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()
    expected = hashlib.sha256((tmp_path / 'a').read_bytes()).hexdigest()
    assert safetensors_file.sha256_of(tmp_path / 'b') == expected


def test_other_files_are_refused(tmp_path):
    (tmp_path / 'text').write_bytes(b'not tensors, whatever the name says')
    save_file({'x': np.zeros(3, np.float32)}, tmp_path / 'foreign', metadata={'format': 'pt'})
    for name, message in (
        ('none', r'no such file; give the path of a \.safetensors file \(bundle\)'),
        ('text', r'no readable safetensors file \(.*\); give a bundle'),
        ('foreign', 'is no bundle of this project; give one that apgan wrote'),
    ):
        with pytest.raises(UserError, match=f'^{tmp_path / name}: {message}$'):
            safetensors_file.read(tmp_path / name, 'bundle')


def test_numbers_that_numpy_has_not_and_damaged_documents_are_refused(tmp_path):
    path = tmp_path / 'a.safetensors'
    safetensors_file.write(path, {'x': np.zeros(2, np.int16)}, {})
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"I16"', b'"F8_E4M3"'.ljust(5)[:5]))
    with pytest.raises(UserError, match='no readable safetensors file'):
        safetensors_file.read(path, 'bundle')
    save_file({'x': np.zeros(2)}, path, metadata={'apgan': '[1]'})
    with pytest.raises(UserError, match=r'is damaged \(no JSON object\); give a bundle that apgan'):
        safetensors_file.read(path, 'bundle')
