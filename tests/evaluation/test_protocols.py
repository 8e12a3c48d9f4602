"""What all data sets ask of the options."""

from pathlib import Path

import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.protocols import check_ks, required_root


def test_a_data_set_of_ones_own_needs_its_folder():
    assert required_root('lfw', Path('faces')) == Path('faces')
    with pytest.raises(UserError, match='--protocol lfw: needs --root, the folder of the data set'):
        required_root('lfw', None)


@pytest.mark.parametrize(('ks', 'wrong'), [([0], 0), ([1, -2, 0], -2)])
def test_the_first_k_that_no_source_has_is_named(ks, wrong):
    with pytest.raises(UserError, match=f'--k {wrong}: must be at least 1'):
        check_ks(ks)


def test_any_other_k_will_do():
    check_ks([])
    check_ks([1, 10, 50])
