"""Documents are read with limits, and their fields held to rules, in one line of a message."""

import json
import math

import pytest

from apgan_jax.errors import UserError
from apgan_jax.files import documents
from apgan_jax.files.documents import Rule, check_fields, parse_json_object, parse_toml_file


def refusal(call, *arguments, **options):
    with pytest.raises(UserError) as caught:
        call(*arguments, where='here', remedy='mend it', **options)
    message = str(caught.value)
    assert message.startswith('here: ')
    assert message.endswith('mend it')
    assert '\n' not in message
    assert len(message) < 400
    return message


def nested(depth):
    return '[' * depth + ']' * depth


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('', 'Expecting value'),
        ('{"half":', 'Expecting value'),
        ('[1]', 'no JSON object'),
        ('{"a": NaN}', 'NaN is no number'),
        ('{"a": -Infinity}', '-Infinity is no number'),
        (f'{{"a": {"9" * 5000}}}', '4300 digits'),
        (f'{{"a": {nested(100)}}}', 'more than 64 levels'),
        (f'{{"a": {nested(100_000)}}}', 'recursion'),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
    ],
)
def test_what_is_no_json_object_is_refused(text, problem):
    assert problem in refusal(parse_json_object, text)


def test_a_json_object_comes_back():
    document = {'a': [1, 2.5, None, True, {'b': 'ä'}]}
    assert parse_json_object(json.dumps(document), where='', remedy='') == document


@pytest.mark.parametrize(
    ('content', 'problem'),
    [
        (b'a = ', 'Invalid value'),
        (b'\xff', "can't decode byte 0xff"),
        (f'a = {nested(100)}'.encode(), 'more than 64 levels'),
        (f'a = {nested(100_000)}'.encode(), 'recursion'),
        (f'a = {"9" * 5000}'.encode(), '4300 digits'),
        (b'#' * 1_000_001, 'longer than a megabyte'),
    ],
)
def test_what_is_no_toml_is_refused(tmp_path, content, problem):
    path = tmp_path / 'a.toml'
    path.write_bytes(content)
    assert problem in refusal(parse_toml_file, path)


def test_toml_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / 'a.toml'
    path.write_bytes(b'\xef\xbb\xbfa = 1')
    assert parse_toml_file(path, where='', remedy='') == {'a': 1}
    with pytest.raises(UserError, match=r'^here: cannot be read'):
        parse_toml_file(tmp_path, where='here', remedy='')


RULES = {'size': documents.whole(1, 9), 'name': documents.text().or_missing()}


@pytest.mark.parametrize(
    ('fields', 'problem'),
    [
        (None, 'is None: must be an object'),
        ([1], r'is [1]: must be an object'),
        ({}, 'size is missing: must be a whole number from 1 to 9'),
        ({'size': 10}, 'size = 10: must be a whole number from 1 to 9'),
        ({'size': True}, 'size = True: must be'),
        ({'size': 'x\n' * 1000}, 'size = '),
        ({'size': 16**5000}, 'a number beyond all bounds'),
        ({'size': 1, 'colour\n' * 100: 2}, "unknown field 'colour"),
        ({'size': 1, 'name': None}, 'name = None: must be a text of one line'),
    ],
)
def test_fields_against_their_rules_are_named(fields, problem):
    assert problem in refusal(check_fields, fields, RULES)


def test_fields_that_meet_their_rules_pass():
    check_fields({'size': 3}, RULES, where='', remedy='')
    check_fields({'size': 3, 'name': 'ä'}, RULES, where='', remedy='')
    check_fields({'size': 3, 'more': 1}, RULES, where='', remedy='', only_known=False)


@pytest.mark.parametrize(
    ('rule', 'good', 'bad'),
    [
        (documents.whole(-1, 1), [-1, 0, 1], [2, 1.0, True, None, '1']),
        (documents.number(0, 1), [0, 1, 0.5], [math.nan, math.inf, -0.1, True, '0', 10**400]),
        (documents.flag(), [True, False], [0, 1, None, 'true']),
        (documents.text(3), ['a', 'äöü'], ['', 'aaaa', 'a\n', '\x1b', 1, None]),
        (documents.choice('a', 1), ['a', 1], ['b', True, 1.0, [], {}]),
        (documents.list_of(documents.flag(), 1, 2), [[True], (True, False)], [[], [1], 'ab', {}]),
        (documents.mapping(), [{}, {'a': 1}], [[], None]),
        (
            documents.file_name(),
            ['a', 'a/b', '/a', 'ä' * 100],
            ['', 'a\0', 'a' * 256, 'ä' * 128, 'a/' * 3000, '\ud800', 1, None],
        ),
    ],
)
def test_rules(rule, good, bad):
    assert [value for value in good if not rule.is_met(value)] == []
    assert [value for value in bad if rule.is_met(value)] == []


def test_a_rule_may_be_anything_that_can_be_said():
    even = Rule(lambda value: value % 2 == 0, 'even')
    assert 'a = 3: must be even' in refusal(check_fields, {'a': 3}, {'a': even})
