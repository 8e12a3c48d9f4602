"""Pages stand alone, escape what they are given, and are written whole."""

import html.parser
import re

import pytest

from apgan_jax.errors import UserError
from apgan_jax.reports.charts import colours, curves_svg
from apgan_jax.reports.pages import figure, page, write_whole


class Tags(html.parser.HTMLParser):
    """What a browser sees: tags with their attributes, and all text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def test_a_page_has_its_title_as_text_and_its_body_as_html():
    seen = Tags(page('<b> & "c"', ['<h1>one</h1>', '<p>two</p>']))
    names = [tag for tag, _ in seen.tags]
    assert names[0] == 'html'
    assert names[-2:] == ['h1', 'p']
    assert 'b' not in names
    assert {'<b> & "c"', 'one', 'two'} <= set(seen.text)
    assert dict(seen.tags)['meta'] == {'name': 'viewport', 'content': 'width=device-width'}


def test_a_page_loads_nothing():
    chart = figure('loss', {'a': ''}, curves_svg({'a': {1: 1.0, 2: 2.0}}))
    assert not re.search(r'src=|href=|url\(|<script|@import', page('run', [chart]))


def test_a_figure_names_its_lines_in_their_colours():
    text = figure('cos_source', {'<a>': '0.5', 'b': ''}, '<svg></svg>', note='see <i>this</i>')
    seen = Tags(text)
    spans = [attributes['style'] for tag, attributes in seen.tags if tag == 'span']
    assert spans == [f'color:{colour}' for colour in colours(2)]
    assert {'cos source', '<a> 0.5', 'this'} <= set(seen.text)
    assert [tag for tag, _ in seen.tags][-1] == 'svg'


def test_text_is_written_as_utf_8_and_whole(tmp_path):
    path = tmp_path / 'page.html'
    path.write_text('older')
    write_whole(path, 'größer')
    assert path.read_bytes() == 'größer'.encode()
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_cannot_be_written_the_name_is_told_in_one_line(tmp_path):
    path = tmp_path / 'none' / 'page.html'
    with pytest.raises(UserError, match=rf'^{path}: cannot be written \(.*\); choose another$'):
        write_whole(path, 'text')
