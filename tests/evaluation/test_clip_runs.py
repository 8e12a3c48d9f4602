"""Clips of given files, of bundles and of FaceForensics++, from the command line on."""

from support.evaluations import evaluate, last_json, values_of


def test_source_and_gallery_bring_identity_rows(clips, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    swapped = clips / 'manipulated_sequences' / 'Darker' / 'c23' / 'videos' / '001_002.mp4'
    assert evaluate(
        '--target', videos / '001.mp4', '--swapped', swapped, '--k', 1,
        '--source', videos / '002.mp4',
    ) == 0  # fmt: skip
    found = values_of(last_json(capsys))
    assert found['source_similarity_sface'][0] > 0.5
    assert 0 <= found['identity_retrieval_sface'][0] <= 1


def test_a_source_that_was_given_whole_cannot_be_found_and_the_table_says_so(clips, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    target, source = videos / '001.mp4', videos / '002.mp4'
    assert evaluate('--target', target, '--swapped', target, '--source', source, '--frames', 1) == 0
    table = last_json(capsys)
    assert 'identity_retrieval_sface' not in values_of(table)
    assert any('without identity retrieval' in line for line in table['protocol'])


def test_faceforensics_has_a_column_a_method_and_one_a_bundle_and_k(
    clips, tiny_bundle_file, capsys
):
    arguments = ['--protocol', 'ffpp', '--root', clips, '--swaps', '001_002', '002_001']
    arguments += ['--method', 'Darker', '--bundle', tiny_bundle_file, '--k', 1, 2]
    assert evaluate(*arguments, '--frames', 3, '--paper', 'AP-GAN') == 0
    table = last_json(capsys)
    assert table['columns'] == ['Darker', 'tiny k=1', 'tiny k=2', 'paper: AP-GAN']
    rows = {row['key']: row for row in table['rows']}
    assert rows['ssim']['counts'][:3] == [3, 6, 6]
    assert any(line.startswith('gallery: ') and '2 people' in line for line in table['protocol'])
    assert any(line.startswith('bundle tiny: crop head-v1, 64 px') for line in table['protocol'])
    assert rows['ssim']['values'][3] == 0.77
    assert any('Darker: 1 of 2 swaps are there; missing 002_001' in x for x in table['protocol'])
    assert any('trained with this recogniser' in x for x in _remarks(rows, 'mobilefacenet'))
    assert not any('trained with' in x for x in _remarks(rows, 'sface'))


def _remarks(rows, recogniser):
    return rows[f'source_similarity_{recogniser}']['remarks']


def test_a_bundle_under_two_names_is_one_column(clips, tiny_bundle_file, tmp_path, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    copy = tmp_path / 'copy.safetensors'
    copy.write_bytes(tiny_bundle_file.read_bytes())
    arguments = ['--target', videos / '001.mp4', '--source', videos / '002.mp4', '--frames', 1]
    assert evaluate(*arguments, '--k', 1, '--bundle', tiny_bundle_file, copy) == 0
    # One file under two names is one model: the second column would be the first again.
    assert len(last_json(capsys)['columns']) == 1


def test_a_copy_of_the_target_is_not_its_namesake_the_source(clips, tmp_path, capsys):
    videos = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos'
    for name, number in (('a', '001'), ('b', '002')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'clip.mp4').write_bytes((videos / f'{number}.mp4').read_bytes())
    target, source = tmp_path / 'a' / 'clip.mp4', tmp_path / 'b' / 'clip.mp4'
    assert evaluate('--target', target, '--swapped', target, '--source', source, '--k', 1) == 0
    found = values_of(last_json(capsys))
    assert found['identity_retrieval_sface'][0] == 0
