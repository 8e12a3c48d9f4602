"""The paper's own numbers beside ours."""

import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.paper import TABLES, check_methods, paper_column
from apgan_jax.metrics.metric import Description


def test_paper_numbers_go_to_the_first_row_of_each_quantity():
    rows = [
        Description('pose_3ddfa', '', '', 'lower'),
        Description('pose_mediapipe', '', '', 'lower'),
        Description('fwe', '', '', 'lower'),
        Description('fwe_short', '', '', 'lower'),
    ]
    column = paper_column('DeepFakes', rows)
    assert {key: value.mean for key, value in column.items()} == {'pose_3ddfa': 4.87, 'fwe': 0.27}
    assert all(len(numbers) == 7 for numbers in TABLES.values())


def test_a_method_that_the_paper_lacks_is_refused_with_those_it_has():
    check_methods(TABLES)
    with pytest.raises(UserError, match='--paper Other: not in the paper; choose of DeepFakes, '):
        check_methods(['AP-GAN', 'Other'])
