"""Finding a config's file and checking the fields that a command line sets."""

from pathlib import Path

import pytest

from apgan_jax.errors import UserError
from apgan_jax.training.config_arguments import find_config, load_config, resolve_arguments
from configs import lite64, tiny
from support.processes import ROOT


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing here depends on the folder that a command is given in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def resolve(*arguments):
    return resolve_arguments(['main.py', *arguments])


def refused(*arguments):
    """The one line that a command line is refused with."""
    with pytest.raises(UserError) as caught:
        resolve(*arguments)
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize('name', ['configs/tiny.py', 'tiny.py', 'tiny'])
def test_a_shipped_config_is_found_from_anywhere(name):
    assert Path(find_config(name)) == ROOT / 'configs' / 'tiny.py'
    assert load_config(name) == tiny.get_config()


def test_a_file_of_ones_own_comes_first(elsewhere):
    (elsewhere / 'configs').mkdir()
    (elsewhere / 'configs' / 'tiny.py').write_text(
        'from configs import lite64\nget_config = lite64.get_config\n'
    )
    assert find_config('configs/tiny.py') == 'configs/tiny.py'
    assert load_config('configs/tiny.py') == lite64.get_config()


def test_an_argument_goes_to_the_file():
    found = find_config('configs/ablations.py:adalin,lite64')
    assert found == f'{ROOT / "configs" / "ablations.py"}:adalin,lite64'
    config = load_config('configs/ablations.py:base,lite64')
    assert config.size == 64
    assert not config.generator.use_layer_norm


@pytest.mark.parametrize('name', ['configs/tinyy.py', '/none/tiny.py', 'tests/tiny.py', 'none'])
def test_a_missing_file_is_answered_with_those_there_are(name):
    line = refused(f'--config={name}')
    assert line.startswith(f'--config={name}: no such file')
    assert 'lite128, lite256, lite64, lite64_grow, paper256, tiny' in line


@pytest.mark.parametrize(
    'text, found',
    [
        ('def get_config(:\n', r'SyntaxError: invalid syntax'),
        ('x = 1\ny = nobody\n', "line 2: NameError: name 'nobody' is not defined"),
        ('x = 1\n', "KeyError: 'get_config'"),
        (
            'from configs import tiny\n'
            'def get_config():\n'
            '    config = tiny.get_config()\n'
            "    config.batch_size = 'four'\n"
            '    return config\n',
            'line 4: TypeError: ',
        ),
        (
            'from configs import tiny\n'
            'def get_config():\n'
            '    config = tiny.get_config()\n'
            '    config.batchsize = 4\n'
            '    return config\n',
            'config.batchsize: no such field; did you mean config.batch_size',
        ),
        (
            'from ml_collections import ConfigDict\nget_config = ConfigDict\n',
            'config.accumulation_steps is missing',
        ),
    ],
)
def test_a_file_that_fails_is_named_with_its_mistake(elsewhere, text, found):
    (elsewhere / 'own.py').write_text(text)
    line = refused('--config=own.py')
    assert 'own.py' in line
    assert found in line


def test_a_right_command_line_only_gets_the_path():
    fields = [
        '--config.batch_size=4',
        '--config.data.mirror',
        '--noconfig.data.mirror',
        '--config.loss.style_weight',
        '2',
        '--config.generator.widths=(8, 16)',
        '--config.generator.id_resolutions=4',
        '--config.generator.id_resolutions=8',
        '--config.course.truth_weight=((0, 100.0), (2000, 800.0))',
        '--config.course.mask_weight=()',
        '--config.data_dir=',
        '--workdir=runs/x',
    ]
    path = ROOT / 'configs' / 'tiny.py'
    assert resolve('--config=tiny', *fields) == ['main.py', f'--config={path}', *fields]
    assert resolve('--config', 'tiny', *fields) == ['main.py', f'--config={path}', *fields]
    assert resolve('--mode=export', '--confg=3') == ['main.py', '--mode=export', '--confg=3']


@pytest.mark.parametrize(
    'field, names',
    [
        ('batchsize', 'config.batch_size'),
        ('image_size', 'config.size'),
        ('mirorr', 'config.data.mirror'),
        ('loss.identity', 'config.loss.identity_weight'),
        ('optimizer.learning_rate', 'config.optimizer.generator_learning_rate'),
        ('optimizer.learning_rate', 'config.optimizer.discriminator_learning_rate'),
        ('learning_rate', 'config.optimizer.generator_learning_rate'),
        ('size.x', 'config.size'),
        ('nothing_like_it', 'configs/default.py'),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest(field, names):
    line = refused('--config=tiny', f'--config.{field}=1')
    assert line.startswith(f'--config.{field}: no such field; ')
    assert names in line


@pytest.mark.parametrize(
    'given, rule',
    [
        ('batch_size=four', 'a whole number, such as --config.batch_size=8'),
        ('batch_size=1.5', 'a whole number'),
        ('num_steps=1e5', 'a whole number, such as --config.num_steps=1000'),
        ('loss.style_weight=much', 'a number, such as --config.loss.style_weight=3.0'),
        ('data.mirror=maybe', 'true or false, such as --config.data.mirror=true'),
        ('generator.widths=3', 'a tuple of whole numbers, such as --config.generator.widths="(8, '),
        ('generator.widths=(8', 'a tuple of whole numbers'),
        ('generator.widths=(8, 1.5)', 'a tuple of whole numbers'),
        (
            'course.mask_weight=(0, 60)',
            'a tuple of (step, value), such as --config.course.mask_weight="((0, 60.0), (20000, ',
        ),
        ('course.mask_weight=60', 'a tuple of (step, value)'),
    ],
)
def test_a_value_of_another_type_is_answered_with_an_example(given, rule):
    line = refused('--config=tiny', f'--config.{given}')
    assert line.startswith(f'--config.{given}: must be {rule}')


def test_a_group_of_fields_has_no_value():
    assert 'a group of fields; set one of them: config.mesh.data, config.mesh.fsdp' in refused(
        '--config=tiny', '--config.mesh=3'
    )


def test_an_argument_for_a_config_that_takes_none_is_refused():
    with pytest.raises(UserError, match=r'tiny\.py takes no argument; leave :zzz out'):
        load_config('configs/tiny.py:zzz')
