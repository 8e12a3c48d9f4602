"""`apgan evaluate` and `--mode=evaluate`, from the command line on."""

import base64
import json
from fractions import Fraction

import av
import numpy as np
import pytest

from apgan_jax import cli
from apgan_jax.evaluation.picture_pairs import PICTURE_PAIRS_FILE, find_picture_pairs
from apgan_jax.files.image_files import write_image
from apgan_jax.provenance import manifest
from benchmarks import evaluation_speed
from support.faces import brighter, head, portrait, variations, write_photos


def run(*arguments):
    return cli.main(['evaluate', *map(str, arguments)])


def moving(step):
    return np.ascontiguousarray(portrait()[:320, 100 - step : 420 - step])


def write_video(path, pictures):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': '4'})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.time_base = 'yuv444p', Fraction(1, 25)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    """A moving portrait, a darker one of another 'person', and what became of the first."""
    folder = tmp_path_factory.mktemp('ff')
    originals = folder / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    swapped = folder / 'manipulated_sequences' / 'Darker' / 'c23' / 'videos'
    frames = [moving(2 * step) for step in range(4)]
    write_video(originals / '001.mp4', frames)
    write_video(originals / '002.mp4', [brighter(frame[:, ::-1], 0.7) for frame in frames])
    write_video(swapped / '001_002.mp4', [brighter(frame, 0.7) for frame in frames])
    return folder


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def values(table):
    return {row['key']: row['values'] for row in table['rows']}


def test_given_files_make_a_table_in_every_format(clips, tmp_path, capsys):
    original = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos' / '001.mp4'
    swapped = clips / 'manipulated_sequences' / 'Darker' / 'c23' / 'videos' / '001_002.mp4'
    outputs = [tmp_path / f'report.{kind}' for kind in ('md', 'json', 'html', 'txt')]
    assert run('--target', original, '--swapped', swapped, '--output', *outputs) == 0
    table = last_json(capsys)
    assert json.loads(outputs[1].read_text()) == table
    found = values(table)
    assert 0 < found['ssim'][0] < 1
    assert found['aee'][0] < 0.5
    assert not [key for key in found if key.startswith('source_similarity')]
    assert '| SSIM ↑ |' in outputs[0].read_text()
    page = outputs[2].read_text()
    assert 'synthetic' in page
    assert page.count('<svg') > 3


def test_pictures_of_a_page_are_marked(clips, tmp_path):
    original = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos' / '001.mp4'
    page = tmp_path / 'page.html'
    assert run('--target', original, '--swapped', original, '--frames', 2, '--output', page) == 0
    encoded = page.read_text().split('data:image/jpeg;base64,')[1].split('"')[0]
    sheet = tmp_path / 'sheet.jpg'
    sheet.write_bytes(base64.b64decode(encoded))
    assert manifest.verify(sheet).is_marked_synthetic


def test_source_and_gallery_bring_identity_rows(clips, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    swapped = clips / 'manipulated_sequences' / 'Darker' / 'c23' / 'videos' / '001_002.mp4'
    assert run(
        '--target', videos / '001.mp4', '--swapped', swapped, '--k', 1,
        '--source', videos / '002.mp4',
    ) == 0  # fmt: skip
    found = values(last_json(capsys))
    assert found['source_similarity_sface'][0] > 0.5
    assert 0 <= found['identity_retrieval_sface'][0] <= 1


def test_a_source_that_was_given_whole_cannot_be_found_and_the_table_says_so(clips, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    target, source = videos / '001.mp4', videos / '002.mp4'
    assert run('--target', target, '--swapped', target, '--source', source, '--frames', 1) == 0
    table = last_json(capsys)
    assert 'identity_retrieval_sface' not in values(table)
    assert any('without identity retrieval' in line for line in table['protocol'])


def test_faceforensics_has_a_column_a_method_and_one_a_bundle_and_k(
    clips, tiny_bundle_file, capsys
):
    arguments = ['--protocol', 'ffpp', '--root', clips, '--swaps', '001_002', '002_001']
    arguments += ['--method', 'Darker', '--bundle', tiny_bundle_file, '--k', 1, 2]
    assert run(*arguments, '--frames', 3, '--paper', 'AP-GAN') == 0
    table = last_json(capsys)
    assert table['columns'] == ['Darker', 'tiny k=1', 'tiny k=2', 'paper: AP-GAN']
    rows = {row['key']: row for row in table['rows']}
    assert rows['ssim']['counts'][:3] == [3, 6, 6]
    assert any(line.startswith('gallery: ') and '2 people' in line for line in table['protocol'])
    assert any(line.startswith('bundle tiny: crop 64 px') for line in table['protocol'])
    assert rows['ssim']['values'][3] == 0.77
    assert any('Darker: 1 of 2 swaps are there; missing 002_001' in x for x in table['protocol'])
    assert any('trained with this recogniser' in x for x in _remarks(rows, 'mobilefacenet'))
    assert not any('trained with' in x for x in _remarks(rows, 'sface'))


def _remarks(rows, recogniser):
    return rows[f'source_similarity_{recogniser}']['remarks']


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
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count('\n') == 1


def test_unknown_method_of_the_paper_is_refused_before_the_work(clips, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    target = videos / '001.mp4'
    assert run('--target', target, '--swapped', target, '--paper', 'Other') == 1
    assert 'AP-GAN' in capsys.readouterr().err


def test_photo_protocol_prints_its_table(tmp_path, tiny_bundle_file, capsys):
    named = {f'{p[:3]}/{p[:3]}_000{p[4]}.jpg': v for p, v in variations().items()}
    write_photos(tmp_path, named)
    arguments = ['--protocol', 'lfw', '--root', tmp_path, '--pairs', 2]
    assert run(*arguments, '--bundle', tiny_bundle_file) == 0
    row = last_json(capsys)
    assert row['columns'] == ['tiny k=1']
    assert 'mean_match_score_sface' in values(row)


def test_pictures_end_with_a_line_of_numbers(tmp_path, tiny_bundle_file, capsys):
    pair, dropped = find_picture_pairs(touched(tmp_path))
    assert dropped == 95
    write_image(pair[0].source, head())
    write_image(pair[0].target, portrait())
    arguments = ['--protocol', 'pictures', '--root', tmp_path, '--bundle', tiny_bundle_file]
    assert run(*arguments, '--sheet', tmp_path / 'sheet.jpg', '--output', tmp_path / 'a.json') == 0
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


def test_two_bundles_of_one_name_are_two_columns(clips, tiny_bundle_file, tmp_path, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    copy = tmp_path / 'copy.safetensors'
    copy.write_bytes(tiny_bundle_file.read_bytes())
    arguments = ['--target', videos / '001.mp4', '--source', videos / '002.mp4', '--frames', 1]
    assert run(*arguments, '--k', 1, '--bundle', tiny_bundle_file, copy) == 0
    # One file under two names is one model: the second column would be the first again.
    assert len(last_json(capsys)['columns']) == 1


def test_a_copy_of_the_target_is_not_its_namesake_the_source(clips, tmp_path, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    for name, number in (('a', '001'), ('b', '002')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'clip.mp4').write_bytes((videos / f'{number}.mp4').read_bytes())
    target, source = tmp_path / 'a' / 'clip.mp4', tmp_path / 'b' / 'clip.mp4'
    assert run('--target', target, '--swapped', target, '--source', source, '--k', 1) == 0
    found = values(last_json(capsys))
    assert found['identity_retrieval_sface'][0] == 0


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
