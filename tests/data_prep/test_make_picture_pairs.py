"""The script makes the committed list of pairs."""

import csv

import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.picture_pairs import PICTURE_PAIRS_FILE
from apgan_jax.networks.network import data_folder
from data_prep.make_picture_pairs import make_pairs


def test_the_script_makes_the_committed_file():
    try:
        data = data_folder()
    except UserError as error:
        pytest.skip(str(error))
    with open(PICTURE_PAIRS_FILE, encoding='utf-8') as file:
        rows = list(csv.DictReader(file, delimiter='\t'))
    assert make_pairs(data) == [(row['source'], row['target']) for row in rows]
