"""Failures seen in log lines with known answers."""

import pytest

from apgan_jax.training.diagnosis import Thresholds, diagnose
from support.log_lines import GOOD, history, names


@pytest.mark.parametrize(
    'changes, expected',
    [
        ({}, []),
        ({'cos_source': 0.1, 'cos_target': 0.7}, ['copies_target']),
        ({'cos_source': 0.55, 'cos_target': 0.66}, ['copies_target']),
        ({'cos_source': 0.55, 'cos_target': 0.64}, []),
        ({'cos_source': 0.19, 'cos_target': 0.1}, ['identity_not_learnt']),
        ({'cos_source': 0.21, 'cos_target': 0.1}, []),
        ({'discriminator': 0.01}, ['discriminator_has_won']),
        ({'discriminator': 0.06}, []),
        (
            {'cos_source': 0.0, 'cos_target': 0.9, 'discriminator': 0.0},
            ['copies_target', 'discriminator_has_won'],
        ),
    ],
)
def test_diagnosis(changes, expected):
    assert names(diagnose(history(**changes))) == expected


def test_no_verdict_on_identity_before_it_can_be_learnt_nor_of_too_few_log_lines():
    bad = {'cos_source': 0.0, 'cos_target': 0.9}
    assert not diagnose(history(start=2_000, **bad))
    assert not diagnose(history(count=4, **bad))
    assert diagnose(history(start=2_000, **bad), Thresholds(learning_steps=1_000))


def test_one_good_log_line_takes_back_that_the_discriminator_has_won():
    log = history(discriminator=0.0)
    log[4] = (log[4][0], GOOD)
    assert not diagnose(log)


def test_a_warning_names_the_step_the_values_and_a_remedy():
    (warning,) = diagnose(history(cos_source=0.1, cos_target=0.7))
    assert warning.text.startswith('step 3450: cosine to the source 0.10, to the target 0.70')
    assert 'config.loss.identity_weight' in warning.text
    assert '\n' not in warning.text


def test_a_line_without_pairs_of_different_pictures_is_no_part_of_the_verdict():
    lines = history(cos_source=0.1, cos_target=0.7)
    assert names(diagnose([*lines, (3_500, {'discriminator': 1.5})])) == ['copies_target']
