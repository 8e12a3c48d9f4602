"""Warnings, timing and counting with known answers, and the fixed pairs."""

import mmap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apgan_jax.data.pipeline import open_dataset
from apgan_jax.errors import UserError
from apgan_jax.training import progress_log, report, validation
from apgan_jax.training.progress_log import (
    ProgressLog,
    StepTimer,
    Thresholds,
    diagnose,
    program_flops,
)
from apgan_jax.training.train_step import train_metrics
from apgan_jax.training.validation import Evaluation, choose_pairs, load_pairs
from configs import tiny
from support.faces import make_records, write_dataset

TERMS = ('generator', 'discriminator', 'adversarial', 'identity', 'reconstruction')
TERMS = (*TERMS, 'occlusion', 'style')
GOOD = {'cos_source': 0.6, 'cos_target': 0.2, 'discriminator': 1.5}


class Clock:
    """Seconds that pass only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def after(self, seconds, value=None):
        self.now += seconds
        return value


def history(count=10, start=3_000, **changes):
    return [(start + 50 * number, GOOD | changes) for number in range(count)]


def names(warnings):
    return [warning.name for warning in warnings]


def step_metrics(**changes):
    values = dict.fromkeys(TERMS, 1.0) | changes
    return train_metrics({k: jnp.float32(v) for k, v in values.items()})


# --- Warnings -------------------------------------------------------------------------------------


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


# --- Numbers that are not finite ------------------------------------------------------------------


def test_the_first_step_and_its_terms_are_named():
    nan, inf = float('nan'), float('inf')
    pending = [
        (7, step_metrics()),
        (8, step_metrics(style=nan, generator=nan)),
        (9, step_metrics(identity=inf)),
    ]
    step, terms = progress_log.first_nonfinite(jax.device_get(pending))
    assert step == 8
    assert list(terms) == ['style']
    assert progress_log.first_nonfinite(jax.device_get(pending[:1])) is None
    assert progress_log.first_nonfinite(jax.device_get(pending[2:])) == (9, {'identity': inf})


def test_the_spoilt_part_of_a_state_is_named(tiny_state):
    assert progress_log.nonfinite_parts(tiny_state) == []
    flat, tree = jax.tree.flatten(tiny_state.generator_ema_params)
    flat[3] = np.full_like(flat[3], np.inf)
    spoilt = tiny_state.replace(generator_ema_params=jax.tree.unflatten(tree, flat))
    assert progress_log.nonfinite_parts(spoilt) == ['generator_ema_params']


# --- Time and computation -------------------------------------------------------------------------


def test_waiting_counts_as_waiting_and_pauses_count_nowhere():
    clock = Clock()
    timer = StepTimer(clock)
    for _ in range(4):
        with timer.waiting():
            clock.after(0.5)
        clock.after(1.5)
        timer.count()
    with timer.paused():
        clock.after(60.0)
    assert timer.lap() == progress_log.Lap(steps=4, seconds=8.0, waited=2.0)
    timer.restart()
    assert timer.lap() == progress_log.Lap(steps=0, seconds=0.0, waited=0.0)


def flops(function, *arguments):
    return program_flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def test_flops_of_a_matrix_product_its_gradients_and_a_loop():
    a, b = jnp.ones((3, 5)), jnp.ones((5, 7))
    once = 2 * 3 * 5 * 7
    assert flops(jnp.matmul, a, b) == once
    # Two products back; the forward one is not needed for the gradient of a sum.
    assert flops(jax.grad(lambda a, b: jnp.sum((a @ b) ** 2), (0, 1)), a, b) == 3 * once
    assert flops(lambda a, b: jax.lax.scan(lambda c, _: (c, c @ b), a, length=6), a, b) == 6 * once
    assert flops(lambda a, b: a + b[0, 0], a, b) == 0


@pytest.mark.parametrize('stride', [1, 2])
def test_flops_of_a_convolution_and_of_its_gradients(stride):
    image, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))

    def convolve(image, kernel):
        return jax.lax.conv_general_dilated(
            image, kernel, (stride, stride), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )

    once = 2 * 2 * (8 // stride) ** 2 * 4 * 9 * 3
    assert flops(convolve, image, kernel) == once
    both = jax.grad(lambda image, kernel: jnp.sum(convolve(image, kernel) ** 2), (0, 1))
    assert flops(both, image, kernel) == 3 * once


def test_the_default_form_counts_and_not_that_of_this_machine():
    def product(a):
        return jax.lax.platform_dependent(a, cpu=lambda a: a + 1, default=lambda a: a @ a)

    assert flops(product, jnp.ones((4, 4))) == 2 * 4**3


def test_peaks_of_known_devices_only():
    assert progress_log.peak_flops('TPU v4') == 275e12
    assert progress_log.peak_flops('NVIDIA A100-SXM4-80GB') == 312e12
    assert progress_log.peak_flops('NVIDIA H100 80GB HBM3') == 989e12
    assert progress_log.peak_flops('NVIDIA H100X') is None
    assert progress_log.peak_flops('cpu') is None


def test_memory_in_use_holds_what_the_process_holds():
    ((name, before),) = progress_log.memory_in_use().items()
    # Not from the heap, which may have kept as much from earlier tests.
    block = mmap.mmap(-1, 2**28)
    np.frombuffer(block, np.uint8)[:] = 1
    assert name in ('process_memory_gib', 'device_memory_gib')
    if name == 'process_memory_gib':
        assert progress_log.memory_in_use()[name] - before == pytest.approx(0.25, abs=0.05)


# --- The log --------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path):
    """(log, clock, config) of a run of eight pairs a step, resumed after step 10."""
    config, clock = tiny.get_config(), Clock()
    log = ProgressLog(tmp_path, 10, config, clock=clock)
    yield log, clock, config
    log.close()


def train(log, clock, steps, **changes):
    """Steps of two seconds, half a second of each spent on data."""
    for step in steps:
        log.next_batch(iter_after(clock, 0.5))
        clock.after(1.5)
        log.update(step, step_metrics(**changes))


def iter_after(clock, seconds):
    """An iterator that takes its time."""
    return (clock.after(seconds, batch) for batch in [{}])


def test_speed_is_of_the_steps_after_the_first(log, tmp_path):
    log, clock, config = log
    log.step_flops = 8e9
    config.watch.peak_tflops = 0.01
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
    scalars = report.read_run(tmp_path).scalars
    assert scalars['speed/first_step_seconds'] == {11: 32.0}
    assert scalars['speed/step_seconds'] == {13: 2.0, 14: 2.0}
    assert scalars['speed/examples_per_second'] == {13: 4.0, 14: 4.0}
    assert scalars['speed/data_wait_share'] == {13: 0.25, 14: 0.25}
    assert scalars['speed/gflops_per_second'] == {13: 4.0, 14: 4.0}
    # 4 of 10 GFLOP/s.
    assert scalars['speed/utilisation'][13] == pytest.approx(0.4 / jax.device_count())


def test_means_of_the_steps_since_the_last_line(log, tmp_path):
    log, clock, _ = log
    train(log, clock, [11], style=1.0)
    train(log, clock, [12], style=4.0)
    log.write(12, {'cos_source': 0.5, 'cos_target': 0.25})
    train(log, clock, [13], style=8.0)
    log.write(13, {'cos_source': 0.5, 'cos_target': 0.25})
    log.close()
    scalars = report.read_run(tmp_path).scalars
    assert scalars['train/style'] == {12: 2.5, 13: 8.0}
    assert scalars['train/cos_target'] == {12: 0.25, 13: 0.25}


def test_a_batch_without_different_pictures_has_no_cosine(log, tmp_path):
    log, clock, _ = log
    for step in range(3_000, 3_003):
        train(log, clock, [step])
        none = float('nan') if step == 3_001 else 0.5
        log.write(step, {'cos_source': none, 'cos_target': none})
    log.close()
    assert report.read_run(tmp_path).scalars['train/cos_source'] == {3_000: 0.5, 3_002: 0.5}
    # Nor does a verdict count that line.
    lines = history(cos_source=0.1, cos_target=0.7)
    assert names(diagnose([*lines, (3_500, {'discriminator': 1.5})])) == ['copies_target']


def test_without_a_known_peak_there_is_no_utilisation(log, tmp_path):
    if jax.devices()[0].platform != 'cpu':
        pytest.skip('this device has a peak')
    log, clock, _ = log
    log.step_flops = 8e9
    train(log, clock, [11, 12])
    log.write(12, {'cos_source': 0.5, 'cos_target': 0.1})
    log.close()
    scalars = report.read_run(tmp_path).scalars
    assert 'speed/gflops_per_second' in scalars
    assert 'speed/utilisation' not in scalars


def test_a_warning_is_printed_and_written_once(log, tmp_path, capsys):
    log, clock, _ = log
    for step in range(3_000, 3_020):
        train(log, clock, [step])
        log.write(step, {'cos_source': 0.1, 'cos_target': 0.7})
    log.close()
    assert capsys.readouterr().err.count('WARNING copies_target: step 3004: ') == 1
    assert list(report.read_run(tmp_path).texts['warnings/copies_target']) == [3004]


def test_a_loss_that_is_not_finite_stops_and_names_step_and_term(log, tmp_path, tiny_state):
    log, clock, _ = log
    train(log, clock, [11])
    train(log, clock, [12], occlusion=float('nan'))
    train(log, clock, [13])
    with pytest.raises(UserError, match='step 12: occlusion is nan; stopped') as caught:
        log.require_finite(13, tiny_state)
    assert '\n' not in str(caught.value)
    assert report.read_run(tmp_path).texts['warnings/not_finite'][12] == str(caught.value)


def test_a_spoilt_state_stops_although_its_losses_are_finite(log, tiny_state):
    log, clock, _ = log
    train(log, clock, [11])
    log.require_finite(11, tiny_state)
    spoilt = tiny_state.replace(
        discriminator_params=jax.tree.map(lambda x: x * np.nan, tiny_state.discriminator_params)
    )
    with pytest.raises(UserError, match='step 11: its update made discriminator_params not'):
        log.require_finite(11, spoilt)


# --- Pairs ----------------------------------------------------------------------------------------


def test_pairs_are_of_different_people_and_the_same_each_time(tmp_path):
    people = lambda number: 'abc'[number % 3]  # noqa: E731
    folder = write_dataset(tmp_path / 'data', make_records(12, people))
    pairs, again = (choose_pairs(open_dataset(folder), 5, name='x') for _ in range(2))
    sources, targets = (p[:, 0, 0, 0] // 8 for p in (pairs.source, pairs.target))
    assert len(pairs) == 5
    assert len(set(targets)) == 5
    assert all(people(s) != people(t) for s, t in zip(sources, targets, strict=True))
    np.testing.assert_array_equal(again.source, pairs.source)
    np.testing.assert_array_equal(again.target, pairs.target)


def test_the_search_for_somebody_else_goes_through_all_records(tmp_path):
    people = lambda number: 'bob' if number == 17 else 'ann'  # noqa: E731
    dataset = open_dataset(write_dataset(tmp_path / 'data', make_records(32, people)))
    pairs = choose_pairs(dataset, 3, name='x')
    shown = [people(picture[0, 0, 0] // 8) for picture in (*pairs.source, *pairs.target)]
    assert len(pairs) == 3
    assert shown == ['bob'] * 3 + ['ann'] * 3


def test_one_person_is_no_pair(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(4, lambda _: 'ann'))
    with pytest.raises(UserError, match=r'no two records of different people.*evaluation\.every=0'):
        choose_pairs(open_dataset(folder), 5, name='x')


def test_pairs_of_the_training_set_are_called_so(tmp_path):
    config = tiny.get_config()
    config.size = 16
    training = open_dataset(write_dataset(tmp_path / 'a', make_records(4, str)))
    other = write_dataset(tmp_path / 'b', make_records(4, str))
    assert load_pairs(config, training).name == 'train_pairs'
    config.evaluation.data_dir = str(tmp_path / 'a' / '..' / 'a')
    assert load_pairs(config, training).name == 'train_pairs'
    config.evaluation.data_dir = str(other)
    assert load_pairs(config, training).name == 'heldout'
    config.size = 32
    with pytest.raises(UserError, match=r'crop_spec\.size is 32 in the config but 16'):
        load_pairs(config, training)


def test_a_damaged_record_makes_no_pair(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(6, str))
    (shard,) = folder.glob('*.tfrecord-*')
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(data)
    pairs = choose_pairs(open_dataset(folder), 6, name='x')
    assert len(pairs) == 5


def test_what_lacks_its_network_is_left_out_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv('APGAN_DATA', raising=False)
    folder = write_dataset(tmp_path / 'data', make_records(4, str))
    pairs = choose_pairs(open_dataset(folder), 3, name='x')
    values = validation.measure_all(validation.host_measures(pairs), pairs.target)
    assert 'pose_degrees' not in values
    assert "evaluation without pose: APGAN_DATA=''" in capsys.readouterr().out
    # The target compared with itself.
    np.testing.assert_allclose(values['ssim'], 1.0, atol=1e-6)
    if 'sface_target' in values:
        np.testing.assert_allclose(values['sface_target'], 1.0, atol=1e-5)


def test_a_measure_that_fails_is_left_out_and_named(capsys):
    def fail(swapped):
        raise RuntimeError('no such\nnode')

    measures = {'a': lambda swapped: {'x': swapped}, 'b': fail, 'c': lambda swapped: {'y': swapped}}
    assert validation.measure_all(measures, np.zeros(1)).keys() == {'x', 'y'}
    assert capsys.readouterr().out == 'evaluation without b: no such\n'


def test_an_evaluation_is_written_as_means_histograms_and_pictures(log, tmp_path):
    log, _, _ = log
    cosines = {'encoder_source': np.array([0.5, 1.0000002]), 'encoder_target': np.array([0.1, 0.1])}
    pictures = np.zeros((8, 32, 3), np.uint8)
    log.write_evaluation(20, Evaluation('heldout', cosines | {'ssim': np.ones(2)}, pictures))
    log.close()
    written = report.read_run(tmp_path)
    assert written.scalars['heldout/encoder_source'][20] == pytest.approx(0.75)
    assert written.scalars['heldout/ssim'] == {20: 1.0}
    edges, counts = written.histograms['heldout/pairs/encoder_source'][20]
    assert sum(counts) == 2
    assert counts[-1] == 1
    assert (edges[0], edges[-1]) == pytest.approx((0.5, 1.0))
    assert written.pictures['heldout/pictures'][20].startswith(b'\xff\xd8')
