"""What becomes of a config's fields, those of a checkpoint included."""

import json

import pytest

from apgan_jax.data.pipeline import open_dataset
from apgan_jax.data.records import SYNTHETIC_KEY
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.models import native
from apgan_jax.training import experiment
from configs import lite128, tiny
from support.faces import make_records, write_dataset


@pytest.mark.parametrize(
    'name, value, rule',
    [
        ('dtype', 'float16', r'must be one of float32, bfloat16'),
        ('cpu_products', 'int8', r'must be one of float32, bfloat16'),
        ('loss.adversarial_kind', 'l3', r'must be one of bce, hinge, lsgan'),
        ('size', 72, r'must be divisible by 16 for the 5 stages'),
    ],
)
def test_fields_that_do_not_fit_are_refused(name, value, rule):
    config = tiny.get_config()
    config.update_from_flattened_dict({name: value})
    with pytest.raises(UserError, match=rf'config\.{name}={value!r}: {rule}'):
        experiment.build_model(config)


def test_the_encoder_sees_the_window_of_the_crop():
    config = tiny.get_config()
    assert experiment.build_model(config).arcface_window == CropSpec(size=64).arcface_window
    config.crop = 'face-v1'
    assert experiment.crop_spec(config) == CropSpec.named('face-v1', 64)
    assert experiment.build_model(config).arcface_window == (0.09, 0.05, 0.91, 0.87)
    config.crop = 'neck'
    with pytest.raises(UserError, match=r"crop 'neck': must be one of head-v1, face-v1"):
        experiment.build_model(config)


def test_a_config_of_before_the_crop_had_a_name():
    config = tiny.get_config()
    del config.crop
    assert experiment.crop_spec(config) == CropSpec(size=64)


def test_weights_and_the_landmark_reader_follow_the_loss():
    config = lite128.get_config()
    config.loss.identity_weight, config.loss.landmark_weight = 17.0, 3.0
    model = experiment.build_model(config)
    assert (model.weights.identity, model.weights.landmarks) == (17.0, 3.0)
    assert model.landmark_reader is not None
    assert experiment.build_model(tiny.get_config()).landmark_reader is None


@pytest.fixture
def photos_and_reverse(tmp_path):
    folders = {name: write_dataset(tmp_path / name, make_records(6, str)) for name in ('a', 'b')}
    metadata = folders['b'] / 'metadata.json'
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), SYNTHETIC_KEY: {}}))
    return folders['a'], folders['b']


def data_config(data_dir, reverse_dir='', share=0.5):
    config = tiny.get_config()
    config.size, config.data_dir = 16, str(data_dir)
    config.data.reverse_dir, config.data.reverse_share = str(reverse_dir), share
    return config


def test_photos_and_their_reverse_are_opened_each_as_what_it_is(photos_and_reverse):
    photos, reverse = photos_and_reverse
    data = experiment.open_training_data(data_config(photos, reverse))
    assert (data.photos.data_dir, data.reverse.data_dir) == (photos, reverse)
    assert experiment.open_training_data(data_config(photos, reverse, share=0.0)).reverse is None
    for arguments, text in (
        ((reverse, reverse), r'/b holds swapped photos: .*data_prep\.build'),
        ((photos, photos), r'/a holds photos: .*data_prep\.reverse'),
        ((photos, ''), r'reverse_share=0\.5 without config\.data\.reverse_dir'),
        (('', reverse), r'config\.data_dir is empty'),
    ):
        with pytest.raises(UserError, match=text):
            experiment.open_training_data(data_config(*arguments))


def test_pairs_of_a_run_are_those_that_it_evaluated_on(tmp_path):
    folder = write_dataset(tmp_path / 'data', make_records(6, str))
    config = tiny.get_config()
    config.size, config.data_dir, config.evaluation.num_pairs = 16, str(folder), 4
    pairs = experiment.evaluation_pairs(config, open_dataset(folder))
    again = experiment.pairs_of_run(config.to_dict())
    assert (pairs.name, len(pairs)) == ('train_pairs', 4)
    assert again.name == 'train_pairs'
    assert (again.source == pairs.source).all()


def test_what_is_exported_is_float32_and_may_be_from_before_a_field():
    config = tiny.get_config()
    config.dtype = 'bfloat16'
    fields = config.to_dict()
    del fields['identity_encoder_path']
    parts = experiment.exported_parts(fields)
    assert parts.generator == experiment.build_generator(tiny.get_config())
    assert (parts.identity_encoder.kind, parts.batch_size) == ('mobilefacenet', 8)


def test_products_of_cpus_are_of_float32_unless_they_are_asked_for():
    config = tiny.get_config()
    assert not experiment.build_model(config).bfloat16_products
    config.cpu_products = 'bfloat16'
    assert experiment.build_model(config).bfloat16_products


@pytest.mark.parametrize(
    'can, dtype, lines', [(1, 'float32', 0), (1, 'bfloat16', 1), (0, 'float32', 1)]
)
def test_a_cpu_that_cannot_multiply_as_it_is_asked_to_says_so(monkeypatch, can, dtype, lines):
    monkeypatch.setattr(native, 'multiplies_bfloat16', lambda: bool(can))
    config = tiny.get_config()
    config.dtype = dtype
    assert experiment.product_warnings(config) == []
    config.cpu_products = 'bfloat16'
    assert len(experiment.product_warnings(config)) == lines


def test_stages_that_the_generator_does_not_have_are_named():
    assert experiment.resolution_warnings(tiny.get_config()) == []
    config = tiny.get_config()
    config.generator.widths = (8, 16)
    id_line, pe_line, skip_line = (*experiment.resolution_warnings(config), '', '')[:3]
    assert id_line == (
        'config.generator.id_resolutions: 4, 8, 16 px is no stage of this generator, which has '
        '64, 32 px; nothing is made there'
    )
    assert pe_line.startswith('config.generator.skip_resolutions: 4, 8, 16 px') and not skip_line


def test_stages_are_counted_from_where_pixels_are_channels():
    config = tiny.get_config()
    config.size, config.generator.shuffle = 128, 2
    assert experiment.resolution_warnings(config) == []
    config.size = 144
    with pytest.raises(UserError, match=r'config\.size=144: must be divisible by 32 for the 5'):
        experiment.build_generator(config)


@pytest.mark.parametrize('value', [float('inf'), float('-inf'), float('nan')])
def test_weights_of_losses_are_finite(value):
    config = tiny.get_config()
    config.loss.identity_weight = value
    with pytest.raises(UserError, match=r'config\.loss\.identity_weight=\S+: must be a finite'):
        experiment.check_numbers(config)
