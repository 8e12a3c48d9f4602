"""The visible label: readable, in its corner, and honest about what it cannot draw."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.inference.label import DEFAULT_TEXT, render_label


def blend(frame, label):
    rgb, alpha, (left, top) = label
    height, width = alpha.shape
    part = frame[top : top + height, left : left + width]
    part[:] = np.rint(rgb * alpha[..., None] + part * (1 - alpha[..., None]))
    return part


@pytest.mark.parametrize('size', [(2160, 3840), (1080, 1920), (1280, 720), (240, 320), (48, 110)])
def test_label_lies_in_the_lower_left_corner_inside_the_frame(size):
    rgb, alpha, (left, top) = render_label(DEFAULT_TEXT, *size)
    height, width = alpha.shape
    assert (rgb.shape, rgb.dtype, alpha.dtype) == ((height, width, 3), np.uint8, np.float32)
    assert 0 < left <= 0.04 * size[1] or left == 6
    assert size[0] - (top + height) == left
    assert top >= 0 and left + width < size[1]
    # The text, without its padding, is 1/28 of the frame high and at least 12 px.
    rows = np.flatnonzero((alpha > 0.9).any(axis=1))
    assert 0.7 <= (rows[-1] + 1 - rows[0]) / max(12, size[0] / 28) <= 1.3


@pytest.mark.parametrize('level', [0, 128, 255])
def test_text_stands_out_from_its_box_on_every_background(level):
    part = blend(np.full((240, 320, 3), level, np.uint8), render_label(DEFAULT_TEXT, 240, 320))
    background = part[0, 0].astype(int)
    assert background.tolist() == [round(0.4 * level)] * 3
    assert part.max() > 240
    assert part.max() - background.max() > 130


def test_box_lets_the_picture_through_and_text_does_not():
    _, alpha, _ = render_label(DEFAULT_TEXT, 720, 1280)
    assert alpha[0].tolist() == pytest.approx([0.6] * alpha.shape[1])
    assert alpha.min() == pytest.approx(0.6)
    assert alpha.max() == 1


def test_long_text_is_made_smaller_until_it_fits():
    long = 'synthetic face, made by a neural network'
    _, wide, _ = render_label(long, 1080, 1920)
    _, narrow, (left, _) = render_label(long, 1080, 400)
    assert wide.shape[1] > 400 >= narrow.shape[1] + 2 * left
    assert narrow.shape[0] < wide.shape[0]


@pytest.mark.parametrize('text', ['künstliches Gesicht', 'искусственное лицо', '合成面孔', 'why?'])
def test_other_scripts_are_drawn(text):
    _, alpha, _ = render_label(text, 720, 1280)
    columns = (alpha > 0.9).any(axis=0)
    assert columns.mean() > 0.3


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('face \N{GRINNING FACE}', 'GRINNING FACE cannot be drawn'),
        ('two\nlines', r'U\+000A cannot be drawn'),
        ('  ', 'is empty'),
        ('a text that is longer than the frame is wide', '320×240 .* shorter'),
    ],
)
def test_what_cannot_be_drawn_is_named_in_one_line(text, message):
    with pytest.raises(UserError, match=message) as caught:
        render_label(text * 3 if 'longer' in text else text, 240, 320)
    assert '\n' not in str(caught.value)
