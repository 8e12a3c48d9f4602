"""A few frames of a video are those that play at their times."""

from fractions import Fraction

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.video.reader import VideoReader, probe
from apgan_jax.video.sampling import sample_frames
from support.video_clips import write_clip


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """A second of 25 different frames."""
    path = tmp_path_factory.mktemp('sampling') / 'clip.mp4'
    return write_clip(path, pts=range(25), options={'movflags': '+faststart'}, is_moving=True)


@pytest.mark.parametrize(
    ('count', 'part', 'numbers'),
    [
        (5, {}, [0, 5, 10, 15, 20]),
        (1, {}, [0]),
        (2, {'start': 0.4, 'end': 0.8}, [10, 15]),
        (2, {'end': 0.4}, [0, 5]),
        (2, {'start': 0.6, 'end': 99.0}, [15, 20]),
    ],
)
def test_samples_are_spread_evenly_and_shown_at_their_times(clip, count, part, numbers):
    with VideoReader(clip) as reader:
        frames = list(reader)
    samples = list(sample_frames(clip, count, **part))
    assert [sample.time for sample in samples] == pytest.approx([n / 25 for n in numbers])
    for sample, number in zip(samples, numbers, strict=True):
        np.testing.assert_array_equal(sample.rgb, frames[number].rgb)


def test_a_video_of_unknown_length_gives_its_first_frame(tmp_path):
    clip = write_clip(tmp_path / 'clip.h264', time_base=Fraction(1, 25))
    assert probe(clip).duration_seconds is None
    (sample,) = sample_frames(clip, 4)
    assert (sample.time, sample.rgb.shape) == (0.0, (64, 96, 3))


def test_a_video_that_was_cut_short_gives_what_there_is(clip, tmp_path):
    content = clip.read_bytes()
    cut = tmp_path / 'cut.mp4'
    cut.write_bytes(content[: (content.find(b'mdat') + len(content)) // 2])
    times = [sample.time for sample in sample_frames(cut, 5)]
    assert 1 < len(times) < 5
    assert times == pytest.approx([0.2 * number for number in range(len(times))])


def test_what_is_no_video_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r'none\.mp4: cannot be opened as a video'):
        next(sample_frames(tmp_path / 'none.mp4', 3))
