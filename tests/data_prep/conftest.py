import pytest


@pytest.fixture(scope='session')
def state():
    """The state dict of an IResNet of one block a stage, to be copied before it is changed."""
    files = pytest.importorskip('support.arcface_files', exc_type=ImportError)
    return files.random_state(files.SMALL)
