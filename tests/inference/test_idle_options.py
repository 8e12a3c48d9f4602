"""Options that would do nothing are refused for just the targets for which they do nothing."""

from typing import get_args

import pytest

from apgan_jax.errors import UserError
from apgan_jax.inference.idle_options import check_idle_options, check_mask
from apgan_jax.inference.targets import TargetKind

OF_VIDEOS = ('start', 'end', 'codec', 'quality', 'preset', 'chroma', 'unsteady')
STILL = ('photo', 'folder of photos')


@pytest.mark.parametrize('kind', get_args(TargetKind))
@pytest.mark.parametrize('name', OF_VIDEOS)
def test_options_of_videos(name, kind):
    # Zero is a value, too.
    options = {'map': None, 'resume': False, name: 0}
    if kind not in STILL:
        check_idle_options(options, kind)
        return
    with pytest.raises(UserError, match=f'--{name}: has no effect on a {kind}; leave it out'):
        check_idle_options(options, kind)


@pytest.mark.parametrize(
    'options, kind, message',
    [
        ({'resume': True}, 'photo', '--resume: has no effect on a photo'),
        ({'resume': True}, 'camera', '--resume: has no effect on a camera'),
        ({'contact_sheet': 'a.png'}, 'camera', '--contact-sheet: has no effect on a camera'),
        ({'map': 'a.toml', 'face': 'all'}, 'video', '--face: has no effect with --map'),
        (
            {'whole_crop': True, 'whole_face': True},
            'photo',
            '--whole-face: has no effect with --whole-crop',
        ),
        ({'overwrite': True}, 'folder', '--overwrite: has no effect on a folder'),
        (
            {'command': 'anonymise', 'no_detail': True},
            'photo',
            '--no-detail: is what anonymise does',
        ),
    ],
)
def test_idle_ones(options, kind, message):
    with pytest.raises(UserError, match=message):
        check_idle_options(options, kind)


@pytest.mark.parametrize(
    'options, kind',
    [
        ({'resume': True, 'face': '2'}, 'video'),
        ({'resume': True}, 'folder of photos'),
        ({'overwrite': True}, 'photo'),
        ({'command': 'swap', 'no_detail': True}, 'photo'),
        # It is the sheet that is replaced.
        ({'overwrite': True, 'contact_sheet': 'a.png'}, 'folder'),
        ({'map': 'a.toml', 'face': None, 'strict': True, 'allow_none': True}, 'photo'),
    ],
)
def test_those_that_do_something(options, kind):
    check_idle_options(options, kind)


def test_a_mask_says_where_the_face_is_shown():
    check_mask({'whole_face': True}, has_mask=False)
    check_mask({'whole_face': False}, has_mask=True)
    with pytest.raises(UserError, match='--whole-face: has no effect with this bundle'):
        check_mask({'whole_face': True}, has_mask=True)
