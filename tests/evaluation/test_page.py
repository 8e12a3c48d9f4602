"""The page of an evaluation says everything that its table does, and draws it."""

from apgan_jax.evaluation import page
from support.tables import table


def test_page_escapes_and_draws_a_curve_of_each_measured_row():
    series = {'one': {'ssim': [0.5, None, 0.7]}, 'two': {'ssim': [None, None, None]}}
    text = page.evaluation_page(table(), {'<clip>': series})
    assert '&lt;clip&gt;' in text
    assert '<clip>' not in text
    assert text.count('<svg') == 1
    assert '1.235' in text
