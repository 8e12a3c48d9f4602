"""The benchmarks of the training engine, as far as they need no quiet machine."""

import json

import numpy as np
import pytest

from apgan_jax.data.pipeline import open_dataset
from apgan_jax.data.records import FaceRecord
from benchmarks import data_pipeline, gradient_norms, model_speed, scaling
from benchmarks.usage import Turn


def test_the_data_pipelines_are_compared(capsys):
    pytest.importorskip('tensorflow')
    arguments = '--records=24 --size=32 --batch_size=4 --batches=3 --rounds=1 --shuffle_buffer=8'
    assert data_pipeline.main(arguments.split()) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result.keys() == {'throughput_ratio', 'memory_ratio'}
    assert min(result.values()) > 0


def test_rates_are_medians_of_turns_and_the_peak_their_highest():
    turns = [Turn(1.0, 2.0, 7), Turn(4.0, 1.0, 5), Turn(2.0, 5.0, 6)]
    assert data_pipeline.Use.of(turns, 10) == data_pipeline.Use(5.0, 5.0, 7)


def test_demo_records_are_varied_faces_with_maps(tmp_path):
    dataset = open_dataset(data_pipeline.write_demo_records(tmp_path / 'records', 3, 32))
    faces = [FaceRecord.parse(record) for record in dataset]
    pictures = np.stack([face.decode_image() for face in faces])
    assert pictures.shape == (3, 32, 32, 3)
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert all(face.decode_boundary_map().any() for face in faces)


def test_a_batch_size_of_nothing_is_refused(capsys):
    assert data_pipeline.main(['--batch_size=0']) == 1
    assert '--batch_size 0: must be at least 1' in capsys.readouterr().err


def test_two_configs_are_timed_without_pytorch(capsys):
    arguments = '--config=tiny --against=tiny --only=generator_forward --rounds=1'
    assert model_speed.main(arguments.split()) == 0
    output = capsys.readouterr().out
    assert output.count('in turn    tiny') == 2 * len(model_speed.BATCH_SIZES['generator_forward'])
    assert json.loads(output.splitlines()[-1])['generator_forward'] > 0


@pytest.mark.parametrize('option', ['config', 'against'])
def test_a_config_that_is_none_is_refused(option, capsys):
    assert model_speed.main(['--against=tiny', f'--{option}=lite']) == 1
    assert f"--{option} 'lite': must be one of ablations, default" in capsys.readouterr().err


def test_layouts_have_names():
    assert scaling.ONE.name == 'data=1,fsdp=1'
    assert scaling.Layout(data=2, processes=2).name == 'data=2,fsdp=1,processes=2'


def test_the_greatest_difference_is_relative():
    one = [{'a': 1.0, 'b': -100.0}, {'a': 2.0, 'b': 10.0}]
    other = [{'a': 1.0, 'b': -101.0}, {'a': 2.05, 'b': 10.0}]
    assert scaling.greatest_difference(other, one) == pytest.approx(0.025)


def test_an_auc_counts_the_pairs_in_order():
    real, fake = np.array([3.0, 1.0]), np.array([2.0, 1.0])
    assert gradient_norms.auc(real, fake) == pytest.approx((2 + 0.5) / 4)


@pytest.mark.slow  # tests/test_sharding.py has a smaller model.
def test_a_layout_of_two_processes_computes_the_losses_of_one_device():
    rows = [scaling.measure(each) for each in (scaling.ONE, scaling.Layout(data=2, processes=2))]
    assert scaling.greatest_difference(rows[1]['losses'], rows[0]['losses']) < 1e-5
    assert rows[0]['bytes'] == rows[0]['replicated_bytes'] == rows[1]['bytes']
    assert rows[0]['collectives'] == {}
    assert rows[1]['collectives'].keys() == {'all-reduce'}
