"""The paper's own numbers beside ours."""

from apgan_jax.evaluation.paper import TABLES, paper_column
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
