import pytest

from support.faces import variations, write_photos


@pytest.fixture(scope='module')
def lfw(tmp_path_factory):
    """The variations as LFW is laid out: NAME/NAME_0001.jpg."""
    folder = tmp_path_factory.mktemp('lfw')
    named = {}
    for path, picture in variations().items():
        person, number = path.split('/')
        named[f'{person}/{person}_000{number[0]}.jpg'] = picture
    return write_photos(folder, named)
