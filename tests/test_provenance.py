"""Content Credentials on real files: what was signed verifies, what was touched does not."""

import json
import multiprocessing
import os
import stat
from pathlib import Path

import av
import c2pa
import numpy as np
import pytest
from PIL import Image

from apgan_jax.errors import UserError
from apgan_jax.inference import provenance

SHA256 = 'ab' * 32
# Where media data, and only media data, lies after these bytes.
MEDIA_MARKERS = {'.png': b'IDAT', '.jpg': b'\xff\xda', '.mp4': b'mdat'}


@pytest.fixture(scope='session')
def credentials(tmp_path_factory):
    return provenance.load_or_create_credentials(tmp_path_factory.mktemp('credentials'))


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def write_video(path, frames=4, codec='libx264'):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 64
        for seed in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(seed))))
        container.mux(stream.encode(None))
    return path


def write_media(path):
    if path.suffix in ('.png', '.jpg'):
        Image.fromarray(noise()).save(path)
        return path
    return write_video(path)


def signed(tmp_path, credentials, suffix='.png', parent=None):
    unsigned = write_media(tmp_path / f'unsigned{suffix}')
    output = tmp_path / f'output{suffix}'
    provenance.sign(
        unsigned,
        output=output,
        parent=parent or unsigned,
        model_name='lite128',
        bundle_sha256=SHA256,
        credentials=credentials,
    )
    return output


def manifest_store(path):
    with path.open('rb') as file, c2pa.Reader(file) as reader:
        return json.loads(reader.json())


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.mp4', '.mov', '.m4v', '.avi'])
def test_signed_file_is_trusted_and_says_what_was_done(tmp_path, credentials, suffix):
    output = signed(tmp_path, credentials, suffix)
    assert provenance.verify(output, credentials=credentials) == provenance.ProvenanceReport(
        state='trusted',
        is_marked_synthetic=True,
        actions=('c2pa.opened', 'c2pa.edited'),
        model_name='lite128',
        bundle_sha256=SHA256,
        issuer='AP-GAN local signer',
        parent_title=f'unsigned{suffix}',
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [output.name, f'unsigned{suffix}']


def test_the_media_itself_is_untouched(tmp_path, credentials):
    output = signed(tmp_path, credentials)
    np.testing.assert_array_equal(np.asarray(Image.open(output)), noise())


def test_opened_action_refers_to_the_parent_and_edit_names_its_source_type(tmp_path, credentials):
    store = manifest_store(signed(tmp_path, credentials))
    manifest = store['manifests'][store['active_manifest']]
    (ingredient,) = manifest['ingredients']
    assert ingredient['relationship'] == 'parentOf'
    opened, edited = manifest['assertions'][0]['data']['actions']
    (reference,) = opened['parameters']['ingredients']
    assert reference['url'].endswith(ingredient['label'])
    assert edited['digitalSourceType'].endswith('/compositeWithTrainedAlgorithmicMedia')
    assert edited['softwareAgent']['name'] == 'apgan_jax'
    assert 'synthetic' in edited['description']


@pytest.mark.parametrize('suffix', MEDIA_MARKERS)
def test_flipped_media_bytes_are_found(tmp_path, credentials, suffix):
    output = signed(tmp_path, credentials, suffix)
    content = bytearray(output.read_bytes())
    position = content.rfind(MEDIA_MARKERS[suffix]) + 1000
    content[position] ^= 0xFF
    output.write_bytes(content)
    report = provenance.verify(output, credentials=credentials)
    assert report.state == 'altered'
    assert any('Hash.mismatch' in code for code in report.failures)


def test_damaged_manifest_is_altered_not_absent(tmp_path, credentials):
    output = signed(tmp_path, credentials, '.mp4')
    content = bytearray(output.read_bytes())
    content[content.find(b'c2pa.ingredient') + 120] ^= 0xFF
    output.write_bytes(content)
    assert provenance.verify(output, credentials=credentials).state == 'altered'


def test_cut_file_with_a_manifest_is_altered(tmp_path, credentials):
    output = signed(tmp_path, credentials, '.mp4')
    output.write_bytes(output.read_bytes()[:-500])
    assert provenance.verify(output, credentials=credentials).state == 'altered'


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.mp4', '.mkv'])
def test_unsigned_file_is_absent(tmp_path, credentials, suffix):
    path = write_media(tmp_path / f'plain{suffix}')
    report = provenance.verify(path, credentials=credentials)
    assert report == provenance.ProvenanceReport(state='absent')
    assert report.lines() == ['absent: the file carries no Content Credentials']


def test_unknown_signer_is_valid_not_trusted(tmp_path, credentials):
    output = signed(tmp_path, credentials)
    stranger = provenance.load_or_create_credentials(tmp_path / 'stranger')
    report = provenance.verify(output, credentials=stranger)
    assert (report.state, report.failures) == ('valid', ())
    assert 'unknown' in report.lines()[0]


def test_signing_twice_keeps_both_manifests(tmp_path, credentials):
    first = signed(tmp_path, credentials)
    parent = first.rename(tmp_path / 'first.png')
    second = signed(tmp_path, credentials, parent=parent)
    store = manifest_store(second)
    assert len(store['manifests']) == 2
    (ingredient,) = store['manifests'][store['active_manifest']]['ingredients']
    assert ingredient['active_manifest'] in store['manifests']
    report = provenance.verify(second, credentials=credentials)
    assert (report.state, report.parent_title) == ('trusted', 'first.png')


@pytest.mark.parametrize('suffix', ['.mkv', '.mpg', '.webm'])
def test_parent_in_a_container_that_c2pa_cannot_read(tmp_path, credentials, suffix):
    codec = {'.mpg': 'mpeg1video', '.webm': 'libvpx'}.get(suffix, 'libx264')
    parent = write_video(tmp_path / f'parent{suffix}', codec=codec)
    report = provenance.verify(
        signed(tmp_path, credentials, '.mp4', parent), credentials=credentials
    )
    assert (report.state, report.parent_title) == ('trusted', parent.name)


@pytest.mark.parametrize('damage', ['cut', 'misnamed'])
def test_parent_that_c2pa_cannot_parse_is_still_recorded(tmp_path, credentials, damage):
    parent = signed(tmp_path, credentials, '.mp4').rename(tmp_path / 'parent.mp4')
    if damage == 'cut':
        parent.write_bytes(parent.read_bytes()[:-500])
    else:
        parent = parent.rename(tmp_path / 'parent.png')
    report = provenance.verify(
        signed(tmp_path, credentials, '.jpg', parent), credentials=credentials
    )
    assert report.parent_title == parent.name
    assert report.actions[0] == 'c2pa.opened'


@pytest.mark.parametrize('name', ['video.mkv', 'video', 'video.webm'])
def test_refusal_names_the_suffix_and_the_alternatives(name):
    with pytest.raises(UserError) as caught:
        provenance.check_signable(Path(name))
    assert f"'{Path(name).suffix}'" in str(caught.value)
    for suffix in ('.jpg', '.jpeg', '.png', '.mp4', '.mov', '.m4v', '.avi'):
        assert suffix in str(caught.value)


def test_failure_leaves_nothing_behind(tmp_path, credentials):
    unsigned = write_media(tmp_path / 'picture.png')
    with pytest.raises(UserError, match='could not be signed'):
        provenance.sign(
            unsigned,
            output=tmp_path / 'output.mp4',
            parent=unsigned,
            model_name='lite128',
            bundle_sha256=SHA256,
            credentials=credentials,
        )
    assert list(tmp_path.iterdir()) == [unsigned]


def test_missing_and_empty_files_are_user_errors(tmp_path, credentials):
    with pytest.raises(UserError, match='cannot be read'):
        provenance.verify(tmp_path / 'nowhere.png', credentials=credentials)
    empty = tmp_path / 'empty.png'
    empty.touch()
    with pytest.raises(UserError, match='empty'):
        provenance.verify(empty, credentials=credentials)
    with pytest.raises(UserError, match=r'parent\.png: cannot be read'):
        signed(tmp_path, credentials, parent=tmp_path / 'parent.png')


def test_credentials_are_private_and_loaded_again(tmp_path, monkeypatch):
    monkeypatch.setenv('APGAN_CREDENTIALS', str(tmp_path / 'own'))
    directory = provenance.default_credentials_dir()
    assert directory == tmp_path / 'own'
    first = provenance.load_or_create_credentials(directory)
    (path,) = directory.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert provenance.load_or_create_credentials(directory) == first
    assert 'PRIVATE' not in repr(first)


def test_sign_and_verify_use_the_users_own_credentials(tmp_path, monkeypatch):
    monkeypatch.setenv('APGAN_CREDENTIALS', str(tmp_path / 'own'))
    media = tmp_path / 'media'
    media.mkdir()
    assert provenance.verify(write_media(media / 'plain.png')).state == 'absent'
    assert not (tmp_path / 'own').exists()  # only signing makes credentials
    assert provenance.verify(signed(media, None)).state == 'trusted'


def test_processes_that_race_share_one_set_of_credentials(tmp_path):
    with multiprocessing.get_context('spawn').Pool(2) as pool:
        made = pool.map(provenance.load_or_create_credentials, [tmp_path] * 6, chunksize=1)
    assert len(set(made)) == 1
    assert os.listdir(tmp_path) == ['credentials.pem']


def test_broken_credentials_are_a_user_error(tmp_path):
    provenance.load_or_create_credentials(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r'damaged; move .*credentials\.pem away') as caught:
        provenance.load_or_create_credentials(tmp_path)
    assert '\n' not in str(caught.value)


def test_control_characters_of_a_stranger_do_not_reach_the_terminal():
    report = provenance.ProvenanceReport(state='valid', issuer='\x1b[2Jtrusted\n')
    assert report.lines()[-1] == '  signer calls itself: ?[2Jtrusted?'
