"""Other people's files: looked for in four places, and taken only where their hash is right."""

import dataclasses
import hashlib
import sys

import pytest

from apgan_jax.errors import UserError
from apgan_jax.face.model_files import ModelFile, files_in_package

CONTENT = b'weights'
FILE = ModelFile(
    name='net.onnx',
    title='network',
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    variable='APGAN_TEST_NETWORK',
    package='',
    install='pip install net',
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder, empty, and no variable."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.delenv(FILE.variable, raising=False)
    folder = tmp_path / 'cache' / 'apgan_jax'
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that must not be imported and carries the file."""
    folder = tmp_path / 'site' / 'apgan_test_package'
    (folder / 'data').mkdir(parents=True)
    (folder / '__init__.py').write_text('raise AssertionError("imported")')
    path = folder / 'data' / FILE.name
    path.write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / 'site'))
    return path


def write(path, content=CONTENT):
    path.write_bytes(content)
    return path


def test_files_of_a_package_are_found_without_importing_it(package):
    assert files_in_package(package.parts[-3], FILE.name) == [package]
    assert files_in_package(package.parts[-3], 'other.onnx') == []
    assert files_in_package('apgan_no_such_package', FILE.name) == []
    assert package.parts[-3] not in sys.modules


def test_places_are_tried_in_their_order(tmp_path, cache, package, monkeypatch):
    file = dataclasses.replace(FILE, package=package.parts[-3])
    assert file.find() == package
    in_cache = write(cache / FILE.name)
    assert file.find() == in_cache
    named = write(tmp_path / 'named.onnx')
    monkeypatch.setenv(FILE.variable, str(named))
    assert file.find() == named
    given = write(tmp_path / 'given.onnx')
    assert file.find(given) == given


@pytest.mark.parametrize('is_given', [True, False])
def test_a_place_that_was_named_is_not_overruled(tmp_path, cache, monkeypatch, is_given):
    write(cache / FILE.name)
    missing = tmp_path / 'none.onnx'
    monkeypatch.setenv(FILE.variable, str(missing))
    with pytest.raises(UserError) as caught:
        FILE.find(missing if is_given else None)
    assert str(caught.value) == (
        f'{missing}: the network was not found; run `pip install net` or set '
        'APGAN_TEST_NETWORK to the file'
    )


def test_nowhere_names_the_file_and_how_to_get_it():
    with pytest.raises(UserError, match=r'^net\.onnx: the network was not found; .*pip install'):
        FILE.find()


def test_another_file_of_the_name_is_refused(cache):
    path = write(cache / FILE.name, b'something else')
    with pytest.raises(UserError, match=rf'^{path}: sha256 .*… is not that of net\.onnx'):
        FILE.find()
