"""The page of an evaluation says everything that its table does, and draws it."""

import base64

from apgan_jax.evaluation import page
from support.tables import table


def test_page_escapes_and_draws_a_curve_of_each_measured_row():
    series = {'one': {'ssim': [0.5, None, 0.7]}, 'two': {'ssim': [None, None, None]}}
    text = page.evaluation_page(table(), {'<clip>': series})
    assert '&lt;clip&gt;' in text
    assert '<clip>' not in text
    assert text.count('<svg') == 1
    assert '1.235' in text


def test_pictures_are_in_the_page_and_said_to_be_synthetic():
    assert '<img' not in page.evaluation_page(table(), {})
    text = page.evaluation_page(table(), {}, {'a <b>': b'picture', 'c': b'other'})
    assert text.count('synthetic</b>: faces in it were replaced') == 1
    encoded = [base64.b64encode(data).decode() for data in (b'picture', b'other')]
    assert all(f'src="data:image/jpeg;base64,{data}"' in text for data in encoded)
    assert '<figcaption>a &lt;b&gt;</figcaption>' in text
