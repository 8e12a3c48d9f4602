"""The log of a run, read back."""

import jax
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.training.progress_log import ProgressLog
from apgan_jax.training.run_log import read_run
from apgan_jax.training.validation import RunEvaluation
from support.log_lines import Clock, step_metrics


@pytest.fixture
def log(tmp_path):
    """(log, clock) of a run of eight pairs a step, resumed after step 10."""
    log, clock = open_log(tmp_path)
    yield log, clock
    log.close()


def open_log(workdir, **options):
    clock = Clock()
    fields = {'size': 64}
    log = ProgressLog(
        workdir, 10, num_steps=1_000, batch_size=8, fields=fields, clock=clock, **options
    )
    return log, clock


def train(log, clock, steps, **changes):
    """Steps of two seconds, half a second of each spent on data."""
    for step in steps:
        log.next_batch(iter_after(clock, 0.5))
        clock.after(1.5)
        log.update(step, step_metrics(**changes))


def iter_after(clock, seconds):
    """An iterator that takes its time."""
    return (clock.after(seconds, batch) for batch in [{}])


def test_speed_is_of_the_steps_after_the_first(tmp_path):
    log, clock = open_log(tmp_path, peak_tflops=0.01)
    log.step_flops = 8e9
    clock.after(30.0)
    train(log, clock, [11, 12, 13])
    with log.timer.paused():
        clock.after(100.0)
    log.write(13, {'cos_source': 0.5, 'cos_target': 0.1})
    clock.after(50.0)
    log.timer.restart()
    train(log, clock, [14])
    log.write(14, {'cos_source': 0.5, 'cos_target': 0.1})
    log.close()
    scalars = read_run(tmp_path).scalars
    assert scalars['speed/first_step_seconds'] == {11: 32.0}
    assert scalars['speed/step_seconds'] == {13: 2.0, 14: 2.0}
    assert scalars['speed/examples_per_second'] == {13: 4.0, 14: 4.0}
    assert scalars['speed/data_wait_share'] == {13: 0.25, 14: 0.25}
    assert scalars['speed/gflops_per_second'] == {13: 4.0, 14: 4.0}
    # 4 of 10 GFLOP/s.
    assert scalars['speed/utilisation'][13] == pytest.approx(0.4 / jax.device_count())


def test_means_of_the_steps_since_the_last_line(log, tmp_path):
    log, clock = log
    train(log, clock, [11], style=1.0)
    train(log, clock, [12], style=4.0)
    log.write(12, {'cos_source': 0.5, 'cos_target': 0.25})
    train(log, clock, [13], style=8.0)
    log.write(13, {'cos_source': 0.5, 'cos_target': 0.25})
    log.close()
    scalars = read_run(tmp_path).scalars
    assert scalars['train/style'] == {12: 2.5, 13: 8.0}
    assert scalars['train/cos_target'] == {12: 0.25, 13: 0.25}


def test_a_batch_without_different_pictures_has_no_cosine(log, tmp_path):
    log, clock = log
    for step in range(3_000, 3_003):
        train(log, clock, [step])
        none = float('nan') if step == 3_001 else 0.5
        log.write(step, {'cos_source': none, 'cos_target': none})
    log.close()
    assert read_run(tmp_path).scalars['train/cos_source'] == {3_000: 0.5, 3_002: 0.5}


def test_without_a_known_peak_there_is_no_utilisation(log, tmp_path):
    if jax.devices()[0].platform != 'cpu':
        pytest.skip('this device has a peak')
    log, clock = log
    log.step_flops = 8e9
    train(log, clock, [11, 12])
    log.write(12, {'cos_source': 0.5, 'cos_target': 0.1})
    log.close()
    scalars = read_run(tmp_path).scalars
    assert 'speed/gflops_per_second' in scalars
    assert 'speed/utilisation' not in scalars


def test_a_warning_is_printed_and_written_once(log, tmp_path, capsys):
    log, clock = log
    for step in range(3_000, 3_020):
        train(log, clock, [step])
        log.write(step, {'cos_source': 0.1, 'cos_target': 0.7})
    log.close()
    assert capsys.readouterr().err.count('WARNING copies_target: step 3004: ') == 1
    assert list(read_run(tmp_path).texts['warnings/copies_target']) == [3004]


def test_a_loss_that_is_not_finite_stops_and_names_step_and_term(log, tmp_path, tiny_state):
    log, clock = log
    train(log, clock, [11])
    train(log, clock, [12], occlusion=float('nan'))
    train(log, clock, [13])
    with pytest.raises(UserError, match='step 12: occlusion is nan; stopped') as caught:
        log.require_finite(13, tiny_state)
    assert '\n' not in str(caught.value)
    assert read_run(tmp_path).texts['warnings/not_finite'][12] == str(caught.value)


def test_a_spoilt_state_stops_although_its_losses_are_finite(log, tiny_state):
    log, clock = log
    train(log, clock, [11])
    log.require_finite(11, tiny_state)
    spoilt = tiny_state.replace(
        discriminator_params=jax.tree.map(lambda x: x * np.nan, tiny_state.discriminator_params)
    )
    with pytest.raises(UserError, match='step 11: its update made discriminator_params not'):
        log.require_finite(11, spoilt)


def test_an_evaluation_is_written_as_means_histograms_and_pictures(log, tmp_path):
    log, _ = log
    cosines = {'encoder_source': np.array([0.5, 1.0000002]), 'encoder_target': np.array([0.1, 0.1])}
    pictures = np.zeros((8, 32, 3), np.uint8)
    log.write_evaluation(20, RunEvaluation('heldout', cosines | {'ssim': np.ones(2)}, pictures))
    log.close()
    written = read_run(tmp_path)
    assert written.scalars['heldout/encoder_source'][20] == pytest.approx(0.75)
    assert written.scalars['heldout/ssim'] == {20: 1.0}
    edges, counts = written.histograms['heldout/pairs/encoder_source'][20]
    assert sum(counts) == 2
    assert counts[-1] == 1
    assert (edges[0], edges[-1]) == pytest.approx((0.5, 1.0))
    assert written.pictures['heldout/pictures'][20].startswith(b'\xff\xd8')
