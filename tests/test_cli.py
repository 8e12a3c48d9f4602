"""The `apgan` command with a model of random weights."""

import contextlib
import json
import subprocess
import sys

import numpy as np
import pytest

from apgan_jax import cli
from apgan_jax.files.image_files import encode_image, read_image, write_image
from apgan_jax.provenance import manifest
from support.faces import blank, brighter, head, portrait
from support.processes import ROOT, environment
from support.video_clips import write_clip


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def photos(tmp_path):
    """A folder with a target, a source and things that are neither."""
    write_image(tmp_path / 'target.png', portrait())
    write_image(tmp_path / 'source.jpg', brighter(head()[:, ::-1], 0.8))
    write_image(tmp_path / 'blank.png', blank())
    (tmp_path / 'text.png').write_text('no picture')
    (tmp_path / 'empty.jpg').touch()
    jpeg = encode_image(portrait(), '.jpg')
    (tmp_path / 'truncated.jpg').write_bytes(jpeg[: len(jpeg) // 8])
    png = encode_image(portrait(), '.png')
    (tmp_path / 'truncated.png').write_bytes(png[: len(png) // 8])
    return tmp_path


def swap_arguments(photos, model, **changes):
    options = {
        'source': photos / 'source.jpg',
        'target': photos / 'target.png',
        'output': photos / 'out.png',
        'bundle': model,
    }
    return ['swap', *(f'--{name}={value}' for name, value in (options | changes).items())]


@pytest.fixture(scope='module')
def swapped(tiny_bundle_file, tmp_path_factory):
    """(target, output) of a swap."""
    folder = tmp_path_factory.mktemp('swapped')
    write_image(folder / 'target.png', portrait())
    write_image(folder / 'source.jpg', brighter(head()[:, ::-1], 0.8))
    assert run(*swap_arguments(folder, tiny_bundle_file)) == 0
    return folder / 'target.png', folder / 'out.png'


def test_only_the_head_changes(swapped):
    target, output = (read_image(path).astype(int) for path in swapped)
    assert output.shape == target.shape
    changed = (output != target).any(axis=-1)
    rows, columns = np.nonzero(changed)
    # The eyes are at (203, 101) and (246, 103), their distance is 43.
    assert changed[80:160, 190:260].mean() > 0.9
    assert columns.min() > 225 - 120
    assert columns.max() < 225 + 120
    assert rows.max() < 130 + 120


def test_only_our_lines_reach_the_terminal(swapped, tiny_bundle_file, tmp_path):
    output = tmp_path / 'out.png'
    arguments = swap_arguments(swapped[0].parent, tiny_bundle_file, output=output)
    process = subprocess.run(
        [sys.executable, '-m', 'apgan_jax.cli', *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout == f'{output}: 1 faces swapped in 1 frames\n'
    assert process.stderr == ''


def test_more_changes_with_the_whole_crop(swapped, tiny_bundle_file, tmp_path):
    target, face_alone = (read_image(path).astype(int) for path in swapped)
    folder, output = swapped[0].parent, tmp_path / 'out.png'
    arguments = swap_arguments(folder, tiny_bundle_file, output=output)
    assert run(*arguments, '--whole-crop') == 0
    changed = (read_image(output) != target).any(axis=-1)
    changed_alone = (face_alone != target).any(axis=-1)
    assert changed.sum() > 1.5 * changed_alone.sum()
    assert (changed_alone & ~changed).sum() < 0.02 * changed_alone.sum()


def test_only_the_files_of_the_swap_are_there(swapped):
    names = {path.name for path in swapped[0].parent.iterdir()}
    assert names == {'target.png', 'source.jpg', 'out.png'}


def test_the_output_is_signed_and_verifies(swapped, capsys, tiny_bundle_file):
    _, output = swapped
    assert run('verify', output) == 0
    printed = capsys.readouterr().out
    assert printed.startswith('trusted: ')
    assert 'marked as synthetic: yes' in printed
    assert 'model: tiny' in printed
    assert 'made from: target.png' in printed
    report = manifest.verify(output)
    assert report.bundle_sha256 is not None
    assert len(report.bundle_sha256) == 64


def test_an_altered_copy_does_not_verify(swapped, tmp_path, capsys):
    data = bytearray(swapped[1].read_bytes())
    data[data.rindex(b'IDAT') + 200] ^= 0xFF
    altered = tmp_path / 'altered.png'
    altered.write_bytes(data)
    assert run('verify', altered) == 1
    assert capsys.readouterr().out.startswith('altered: ')


def test_an_unmarked_file_does_not_verify(swapped, capsys):
    assert run('verify', swapped[0]) == 1
    assert capsys.readouterr().out.startswith('absent: ')


def test_a_saved_identity_swaps_as_its_photo_does(swapped, photos, tiny_bundle_file):
    identity = photos / 'ann.safetensors'
    arguments = ['--source', photos / 'source.jpg', '--output', identity]
    assert run('identity', 'save', *arguments, '--bundle', tiny_bundle_file) == 0
    assert run(*swap_arguments(photos, tiny_bundle_file, source=identity)) == 0
    np.testing.assert_array_equal(read_image(photos / 'out.png'), read_image(swapped[1]))


def test_several_photos_are_averaged(swapped, photos, tiny_bundle_file):
    arguments = ['--source', photos / 'source.jpg', photos / 'target.png', '--bundle']
    places = ['--target', photos / 'target.png', '--output', photos / 'out.jpg']
    assert run('swap', *arguments, tiny_bundle_file, *places) == 0
    assert read_image(photos / 'out.jpg').shape == (512, 512, 3)


def test_export_gives_the_public_root_alone(swapped, tmp_path, capsys, monkeypatch):
    root = tmp_path / 'root.pem'
    assert run('credentials', 'export', '--output', root) == 0
    assert run('credentials', 'export', '--output', root) == 1
    assert 'File exists' in capsys.readouterr().err
    assert run('credentials', 'export') == 0
    assert capsys.readouterr().out == root.read_text()
    assert root.read_text().count('BEGIN') == root.read_text().count('BEGIN CERTIFICATE') == 1
    monkeypatch.setenv('APGAN_CREDENTIALS', str(tmp_path / 'others'))
    assert run('verify', swapped[1]) == 0
    assert capsys.readouterr().out.startswith('valid: ')
    assert run('verify', swapped[1], '--trust', root) == 0
    assert capsys.readouterr().out.startswith('trusted: ')


def test_overwrite_replaces_the_output(photos, tiny_bundle_file):
    (photos / 'out.png').write_bytes(b'old')
    assert run(*swap_arguments(photos, tiny_bundle_file), '--overwrite') == 0
    assert read_image(photos / 'out.png').shape == (512, 512, 3)


def assert_refused(capsys, arguments, command, *values):
    """Exit status 1 and exactly one line on standard error."""
    assert run(*arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.count('\n') == 1, captured.err
    assert captured.err.startswith(f'apgan {command}: ')
    for value in values:
        assert str(value) in captured.err


@pytest.mark.parametrize(
    'role, name, reason',
    [
        ('target', 'none.png', 'no such file'),
        ('target', 'blank.png', 'no face found'),
        ('target', 'text.png', 'not a readable image'),
        ('target', 'empty.jpg', 'the file is empty'),
        ('target', 'truncated.jpg', 'not a readable image'),
        ('target', 'truncated.png', 'not a readable image'),
        ('source', 'none.png', 'no such file'),
        ('source', 'blank.png', 'no face found'),
        ('source', 'text.png', 'not a readable image'),
        ('source', 'truncated.jpg', 'not a readable image'),
        ('source', 'none.safetensors', 'no such file'),
        ('bundle', 'none.safetensors', 'no such file'),
        ('bundle', 'text.png', 'no readable safetensors file'),
        ('output', 'out.mkv', 'must end in .jpg, .jpeg, .png'),
        ('output', 'out.heic', 'must end in .jpg, .jpeg, .png'),
        ('output', 'out.bmp', 'must end in .jpg, .jpeg, .png'),
        ('output', 'out.mp4', '.png'),
        ('output', 'out', '.png'),
        ('output', 'none/out.png', 'no folder'),
        ('output', 'target.png', 'exists already'),
    ],
)
def test_what_cannot_be_swapped(photos, tiny_bundle_file, capsys, role, name, reason):
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    arguments = swap_arguments(photos, tiny_bundle_file, **{role: photos / name})
    assert_refused(capsys, arguments, 'swap', photos / name, reason)
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before


def test_the_target_is_not_overwritten(photos, tiny_bundle_file, capsys):
    arguments = swap_arguments(photos, tiny_bundle_file, output=photos / 'target.png')
    assert_refused(capsys, [*arguments, '--overwrite'], 'swap', 'is the target itself')
    np.testing.assert_array_equal(read_image(photos / 'target.png'), portrait())


@pytest.mark.parametrize(
    'options, message',
    [
        (['--start', '0'], '--start: has no effect on a photo'),
        (['--end', '3'], '--end: has no effect on a photo'),
        # The default, too, when somebody asks for it.
        (['--codec', 'h264'], '--codec: has no effect on a photo'),
        (['--quality', '20'], '--quality: has no effect on a photo'),
        (['--preset', 'fast'], '--preset: has no effect on a photo'),
        (['--chroma', 'keep'], '--chroma: has no effect on a photo'),
        (['--unsteady'], '--unsteady: has no effect on a photo'),
        (['--resume'], '--resume: has no effect on a photo'),
        (['--whole-crop', '--whole-face'], '--whole-face: has no effect with --whole-crop'),
    ],
)
def test_options_that_do_nothing_are_refused(photos, capsys, options, message):
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    # Before the model is asked for.
    arguments = [*swap_arguments(photos, photos / 'none.safetensors'), *options]
    assert_refused(capsys, arguments, 'swap', message)
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before


@pytest.mark.parametrize(
    'target, message',
    [
        ('target.png', 'no output was written; --resume goes on with a video'),
        ('.', 'files that were finished stay, and --resume goes on'),
    ],
)
def test_an_interrupted_job_says_what_is_left(photos, capsys, monkeypatch, target, message):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, '_run_job', interrupt)
    arguments = swap_arguments(photos, photos / 'none.safetensors', target=photos / target)
    assert run(*arguments) == 130
    assert capsys.readouterr().err == f'apgan swap: interrupted; {message}\n'


def test_a_map_leaves_no_choice_of_faces(photos, capsys):
    (photos / 'who.toml').touch()
    places = ['--target', photos / 'target.png', '--output', photos / 'out.png']
    arguments = ['swap', '--map', photos / 'who.toml', *places, '--face', 'largest']
    assert_refused(capsys, arguments, 'swap', '--face: has no effect with --map')


@pytest.mark.parametrize('option', ['--output', '--contact-sheet'])
@pytest.mark.parametrize('what', ['target', 'source', 'bundle'])
def test_what_is_read_is_not_overwritten(photos, tiny_bundle_file, capsys, option, what):
    """Not by way of a link, either."""
    path = {'target': 'target.png', 'source': 'source.jpg', 'bundle': 'model.png'}[what]
    (photos / 'model.png').write_bytes(tiny_bundle_file.read_bytes())
    (photos / 'link.png').symlink_to(photos / path)
    before = {each.name: each.read_bytes() for each in photos.iterdir()}
    arguments = [*swap_arguments(photos, photos / 'model.png'), '--overwrite']
    for name in (photos / path, photos / 'link.png'):
        assert_refused(capsys, [*arguments, option, name], 'swap', option, f'is the {what} itself')
    assert {each.name: each.read_bytes() for each in photos.iterdir()} == before


def test_a_sheet_is_not_the_output(photos, tiny_bundle_file, capsys):
    arguments = swap_arguments(photos, tiny_bundle_file)
    sheet = photos / '..' / photos.name / 'out.png'
    assert_refused(capsys, [*arguments, '--contact-sheet', sheet], 'swap', '--contact-sheet')
    assert not (photos / 'out.png').exists()


def test_an_identity_file_stands_alone(photos, tiny_bundle_file, capsys):
    sources = [photos / 'source.jpg', photos / 'ann.safetensors']
    places = ['--target', photos / 'target.png', '--output', photos / 'out.png']
    arguments = ['swap', '--source', *sources, *places, '--bundle', tiny_bundle_file]
    assert_refused(capsys, arguments, 'swap', photos / 'ann.safetensors', 'stands alone')


@pytest.mark.parametrize(
    'output, reason', [('ann.txt', '.safetensors'), ('source.jpg', 'exists already')]
)
def test_where_an_identity_cannot_be_saved(photos, tiny_bundle_file, capsys, output, reason):
    arguments = ['--source', photos / 'source.jpg', '--output', photos / output]
    arguments = ['identity', 'save', *arguments, '--bundle', tiny_bundle_file]
    assert_refused(capsys, arguments, 'identity', photos / output, reason)


def test_a_missing_file_cannot_be_verified(tmp_path, capsys):
    assert_refused(capsys, ['verify', tmp_path / 'none.png'], 'verify', tmp_path / 'none.png')


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('--start', 'nan'),
        ('--start', 'inf'),
        ('--end', '9' * 5000),
        ('--quality', '9' * 5000),
        ('--quality', 'fine'),
        ('--face', '9' * 5000),
        ('--face', '²'),
        ('--target', 'na\udcefve.png'),
        ('--target', 'two\nlines.png'),
    ],
)
def test_values_that_are_none_end_with_one_line(photos, tiny_bundle_file, capsys, option, value):
    write_clip(photos / 'clip.mp4')
    clip = {'target': photos / 'clip.mp4', 'output': photos / 'out.mp4'}
    arguments = swap_arguments(photos, tiny_bundle_file, **clip)
    with contextlib.suppress(SystemExit):
        assert run(*arguments, f'{option}={value}') == 1
    error = capsys.readouterr().err
    assert error.startswith('apgan swap: ')
    assert error.count('\n') == 1
    assert len(error) < 500


@pytest.mark.parametrize('model', ['config', 'bundle'])
def test_info_prints_a_table_and_totals(model, tiny_bundle_file, capsys):
    name = {'config': ROOT / 'configs' / 'tiny.py', 'bundle': tiny_bundle_file}[model]
    assert run('info', f'--{model}', name, '--batch', 3) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines[0].endswith('MB of batch 3')
    assert any(line.split()[:2] == ['down_64', '224'] for line in lines)
    totals = json.loads(last)
    assert totals['generator']['parameters'] == 337_835
    assert ('discriminator' in totals) == (model == 'config')


@pytest.mark.parametrize(
    'arguments, value',
    [
        (['--config', 'none.py'], 'none.py: no such file'),
        (['--config', f'{ROOT}/configs/ablations.py:nonsense,lite64'], 'no_pe_block'),
        (['--config', f'{ROOT}/configs/tiny.py', '--batch', '0'], '--batch 0'),
        (['--bundle', 'none.safetensors'], 'none.safetensors'),
    ],
)
def test_what_info_cannot_measure(arguments, value, capsys):
    assert_refused(capsys, ['info', *arguments], 'info', value)


@pytest.mark.parametrize(
    'arguments', [['--target', ''], ['--target='], ['--target', 'a', '--map=']]
)
def test_what_is_empty_is_not_the_folder_one_is_in(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / 'a.png', portrait())
    command = 'swap' if '--map=' in arguments else 'anonymise'
    assert run(command, *arguments, '--output', 'o.png') == 1
    assert 'is empty; give a value' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']


@pytest.mark.parametrize('what', ['map', 'like', 'folder', 'camera'])
def test_nothing_that_is_read_is_written_over(photos, tiny_bundle_file, capsys, what):
    """Whether an option names it, a map, or the folder that it is in."""
    source, target = photos / 'source.jpg', photos / 'target.png'
    kept = source.read_bytes()
    (photos / 'map.toml').write_text('[[person]]\nlike = "target.png"\nsource = "source.jpg"\n')
    arguments = {
        'map': ['--map', photos / 'map.toml', '--target', target],
        'like': ['--source', target, '--face', f'like:{source}', '--target', target],
        'folder': ['--source', photos, '--target', target],
        'camera': ['--source', target, '--target', f'camera:{source}'],
    }[what]
    options = ['--output', source, '--overwrite', '--bundle', tiny_bundle_file]
    assert run('swap', *arguments, *options) == 1
    printed = capsys.readouterr().err
    assert 'itself; choose another name' in printed or 'must end in' in printed
    assert source.read_bytes() == kept


def test_a_pipe_that_is_closed_early_is_no_fault(swapped):
    folder = swapped[0].parent
    command = f'{sys.executable} -m apgan_jax.cli verify {folder} | true'
    process = subprocess.run(
        ['bash', '-c', command], env=environment(), capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stderr) == (0, '')
