import pytest

from apgan_jax.evaluation.suite import build_suite
from support.evaluations import moving, write_video
from support.faces import brighter, variations, write_photos


@pytest.fixture(scope='module')
def lfw(tmp_path_factory):
    """The variations as LFW is laid out: NAME/NAME_0001.jpg."""
    folder = tmp_path_factory.mktemp('lfw')
    named = {}
    for path, picture in variations().items():
        person, number = path.split('/')
        named[f'{person}/{person}_000{number[0]}.jpg'] = picture
    return write_photos(folder, named)


@pytest.fixture(scope='session')
def suite():
    """Every network that can be had."""
    return build_suite()


@pytest.fixture(scope='session')
def clips(tmp_path_factory):
    """A moving portrait, a darker one of another 'person', and what became of the first."""
    folder = tmp_path_factory.mktemp('ff')
    originals = folder / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    swapped = folder / 'manipulated_sequences' / 'Darker' / 'c23' / 'videos'
    frames = [moving(2 * step) for step in range(4)]
    write_video(originals / '001.mp4', frames)
    write_video(originals / '002.mp4', [brighter(frame[:, ::-1], 0.7) for frame in frames])
    write_video(swapped / '001_002.mp4', [brighter(frame, 0.7) for frame in frames])
    return folder
