"""Photos and frames of clips, pasted as by `apgan swap` itself."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.pasted import FRAMES_BEFORE, PictureSwapper
from apgan_jax.files.image_files import read_image
from apgan_jax.inference.blend import DEFAULT_BLEND, Blend
from apgan_jax.inference.jobs import swap_job
from apgan_jax.inference.swap import swap_file
from apgan_jax.video.reader import VideoReader
from support.faces import blank, portrait, variations, write_photos
from support.scenes import write_clip


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp('pasted'), variations())


@pytest.fixture(scope='module')
def clip(photos):
    """The head, which moves to the right by a pixel a frame."""
    frames = [np.ascontiguousarray(portrait()[:256, 100 - n : 356 - n]) for n in range(14)]
    return write_clip(photos / 'moving.mp4', frames)


def test_a_photo_is_swapped_as_by_the_command(photos, shipped_swapper, tmp_path):
    blend = Blend(whole_face=True)
    job, source = swap_job(shipped_swapper, [photos / 'bob/2.png'], blend=blend)
    swap_file(photos / 'dan/1.png', tmp_path / 'swapped.png', job=job)
    with PictureSwapper(shipped_swapper, blend) as pictures:
        swapped = pictures.photo(read_image(photos / 'dan/1.png'), source.identity)
        nobody = pictures.photo(blank(), source.identity)
    # Painted in the photo's own depth, or in 8 bits: a few pixels are rounded the other way on
    # processors without AVX-512.
    written = read_image(tmp_path / 'swapped.png')
    np.testing.assert_allclose(swapped.astype(int), written.astype(int), atol=1)
    assert (swapped != written).mean() < 1e-3
    np.testing.assert_array_equal(nobody, blank())


def test_a_frame_is_swapped_after_those_before_it(photos, clip, shipped_swapper):
    _, source = swap_job(shipped_swapper, [photos / 'bob/2.png'])
    number = FRAMES_BEFORE + 1
    with PictureSwapper(shipped_swapper, DEFAULT_BLEND) as pictures:
        frame, swapped = pictures.frame(clip, number, source.identity)
        alone = pictures.photo(frame, source.identity)
        with pytest.raises(UserError, match='has no frame 14'):
            pictures.frame(clip, 14, source.identity)
    with VideoReader(clip) as reader:
        np.testing.assert_array_equal(frame, next(reader.frames(number)).rgb)
    assert (swapped != frame).any() and (swapped != alone).any()
    # Steadied and smoothed, and the same face for all that.
    change, steadying = (np.abs(swapped.astype(int) - other).mean() for other in (frame, alone))
    assert steadying < 0.5 * change
