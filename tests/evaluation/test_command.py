"""`apgan evaluate`, from the command line on."""

import json

import pytest

from apgan_jax.evaluation.picture_pairs import PICTURE_PAIRS_FILE, find_picture_pairs
from apgan_jax.files.image_files import write_image
from apgan_jax.provenance import manifest
from benchmarks import evaluation_speed
from support.evaluations import evaluate, last_json, values_of
from support.faces import head, portrait, variations, write_photos


def test_given_files_make_a_table_in_every_format(clips, tmp_path, capsys):
    original = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos' / '001.mp4'
    swapped = clips / 'manipulated_sequences' / 'Darker' / 'c23' / 'videos' / '001_002.mp4'
    outputs = [tmp_path / f'report.{kind}' for kind in ('md', 'json', 'html', 'txt')]
    assert evaluate('--target', original, '--swapped', swapped, '--output', *outputs) == 0
    table = last_json(capsys)
    assert json.loads(outputs[1].read_text()) == table
    found = values_of(table)
    assert 0 < found['ssim'][0] < 1
    assert found['aee'][0] < 0.5
    assert not [key for key in found if key.startswith('source_similarity')]
    assert '| SSIM ↑ |' in outputs[0].read_text()
    page = outputs[2].read_text()
    assert 'synthetic' in page
    assert page.count('<svg') > 3


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ([], 'give --protocol'),
        (['--protocol', 'lfw'], '--root'),
        (['--target', 'a.mp4', '--source', 'b.mp4', '--k', 0], '--k 0'),
        (['--target', 'a.mp4', '--swapped', 'b.mp4'], 'a.mp4: no such file'),
        (['--target', 'a.mp4', '--swapped', 'b.mp4', '--frames', 0], '--frames 0'),
        (['--target', 'a.mp4', '--swapped', 'b.mp4', '--output', 'x.pdf'], 'x.pdf'),
        (['--target', 'a', '--swapped', 'b', '--network', 'x.onnx'], 'x.onnx'),
        (['--protocol', 'ffpp', '--root', '/'], 'original_sequences'),
        (['--protocol', 'heldout', '--frames', 3], '--frames'),
        (['--protocol', 'pictures', '--pairs', 3], '--pairs'),
        (['--protocol', 'pictures', '--root', '.', '--sheet', 'a.pdf'], 'a.pdf'),
        (['--protocol', 'pictures', '--root', '.'], 'holds no photo or clip'),
        (['--target', 'a.mp4', '--swapped', 'b.mp4', '--bundle', 'c'], '--bundle'),
        (['--target', 'a.mp4', '--source', 'b.safetensors'], 'no faces to compare'),
        (['--target', '.', '--source', 'b.mp4'], 'is a folder'),
    ],
)
def test_mistakes_are_one_line(arguments, words, capsys):
    assert evaluate(*arguments) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count('\n') == 1


def test_unknown_method_of_the_paper_is_refused_before_the_work(clips, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    target = videos / '001.mp4'
    assert evaluate('--target', target, '--swapped', target, '--paper', 'Other') == 1
    assert 'AP-GAN' in capsys.readouterr().err


def test_photo_protocol_prints_its_table(tmp_path, tiny_bundle_file, capsys):
    named = {f'{p[:3]}/{p[:3]}_000{p[4]}.jpg': v for p, v in variations().items()}
    write_photos(tmp_path, named)
    arguments = ['--protocol', 'lfw', '--root', tmp_path, '--pairs', 2]
    assert evaluate(*arguments, '--bundle', tiny_bundle_file) == 0
    row = last_json(capsys)
    assert row['columns'] == ['tiny k=1']
    assert 'mean_match_score_sface' in values_of(row)


def test_pictures_end_with_a_line_of_numbers(tmp_path, tiny_bundle_file, capsys):
    pair, dropped = find_picture_pairs(touched(tmp_path))
    assert dropped == 95
    write_image(pair[0].source, head())
    write_image(pair[0].target, portrait())
    arguments = ['--protocol', 'pictures', '--root', tmp_path, '--bundle', tiny_bundle_file]
    assert (
        evaluate(*arguments, '--sheet', tmp_path / 'sheet.jpg', '--output', tmp_path / 'a.json')
        == 0
    )
    row = last_json(capsys)
    assert (row['bundle'], row['pairs'], row['k']) == ('tiny', 1, 1)
    assert 0 < row['self_ssim'] < 1 and row['sharpness_clips'] is None
    assert manifest.verify(tmp_path / 'sheet.jpg').state == 'trusted'
    table = json.loads((tmp_path / 'a.json').read_text())
    assert table['protocol'][0] == '1 of 96 pairs of pictures'


def touched(folder):
    """A folder with two of the files of the committed pairs, empty."""
    first, *_ = PICTURE_PAIRS_FILE.read_text().splitlines()[1:]
    for name in first.split('\t'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.slow
def test_the_benchmark_times_every_metric(clips, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    arguments = ['--target', videos / '001.mp4', '--swapped', videos / '001.mp4']
    arguments += ['--source', videos / '002.mp4', '--frames', 2]
    assert evaluation_speed.main([str(argument) for argument in arguments]) == 0
    result = last_json(capsys)
    assert result['frames'] == 2
    assert {'read', 'faces', 'ssim', 'flow', 'identity_retrieval_sface'} <= set(
        result['ms_a_frame']
    )
