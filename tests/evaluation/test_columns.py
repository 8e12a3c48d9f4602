"""What tells the columns of bundles apart, and what a reader of them must know."""

import dataclasses

import pytest

from apgan_jax.evaluation.columns import bundle_lines, bundle_names, with_warnings
from apgan_jax.evaluation.table import Value
from apgan_jax.inference.swapper import Swapper
from apgan_jax.metrics.metric import Metric


@pytest.fixture
def swapper_of(tiny_bundle):
    return lambda **changes: Swapper(dataclasses.replace(tiny_bundle, **changes))


def test_bundles_of_one_name_show_their_hashes(swapper_of):
    twins = [swapper_of(sha256=2 * digits) for digits in ('ab' * 16, 'cd' * 16)]
    other = swapper_of(model_card={'name': 'other'}, sha256='ef' * 32)
    assert bundle_names([twins[0], other]) == ['tiny', 'other']
    assert bundle_names([*twins, other]) == ['tiny abababababab', 'tiny cdcdcdcdcdcd', 'other']


def test_the_protocol_says_what_a_bundle_is(swapper_of):
    trained = swapper_of(sha256='ab' * 32, model_card={'name': 'tiny', 'steps': 70})
    assert bundle_lines([trained]) == [
        'bundle tiny: crop head-v1, 64 px, trained with mobilefacenet, 70 steps, '
        'sha256 abababababab'
    ]
    assert bundle_lines([swapper_of()]) == [
        'bundle tiny: crop head-v1, 64 px, trained with mobilefacenet, not exported yet'
    ]


def test_what_a_models_own_recogniser_says_is_marked():
    keys = ('source_similarity_mobilefacenet', 'source_similarity_sface', 'absent_mobilefacenet')
    metrics = [Metric(key, '', '', 'higher', measure=lambda pair: None) for key in keys]
    values = {key: Value(0.5, 3) for key in (*keys[:2], 'ssim')}
    warned = with_warnings(values, metrics, 'mobilefacenet')
    assert warned.keys() == values.keys()
    assert warned[keys[0]].reason.startswith('trained with this recogniser')
    assert (warned[keys[0]].mean, warned[keys[0]].count) == (0.5, 3)
    assert {key for key, value in warned.items() if value.reason} == {keys[0]}
    # The caller's own are as they were.
    assert not values[keys[0]].reason
