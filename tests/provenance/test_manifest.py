"""Content Credentials on real files: what was signed verifies, what was touched does not."""

import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import av
import c2pa
import numpy as np
import pytest
from PIL import Image

from apgan_jax.errors import UserError
from apgan_jax.provenance import manifest
from apgan_jax.provenance.credentials import load_or_create_credentials
from apgan_jax.provenance.signing_time import SigningTime

SHA256 = 'ab' * 32
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.avif', '.tif', '.tiff', '.gif')
# Where media data, and only media data, lies after these bytes.
MEDIA_MARKERS = {'.png': b'IDAT', '.jpg': b'\xff\xda', '.mp4': b'mdat'}


@pytest.fixture(scope='session')
def credentials(tmp_path_factory):
    return load_or_create_credentials(tmp_path_factory.mktemp('credentials'))


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
    if path.suffix in IMAGE_SUFFIXES:
        Image.fromarray(noise()).save(path)
        return path
    return write_video(path)


def mark(tmp_path, credentials, suffix='.png', parent='unsigned', edit=None):
    """Marks noise as `output`; the parent is a copy of it unless another is given."""
    original = write_media(tmp_path / f'unsigned{suffix}')
    output = tmp_path / f'output{suffix}'
    parent = original if parent == 'unsigned' else parent
    with marking(output, credentials, parent, edit) as unsigned:
        shutil.copyfile(original, unsigned)
    return output


def marking(output, credentials, parent, edit=None):
    return manifest.marked_output(
        output,
        parent=parent,
        model_name='lite128',
        bundle_sha256=SHA256,
        edit=edit,
        credentials=credentials,
    )


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def manifest_store(path):
    with path.open('rb') as file, c2pa.Reader(file) as reader:
        return json.loads(reader.json())


@pytest.mark.parametrize('suffix', manifest.SIGNABLE_SUFFIXES)
def test_signed_file_is_trusted_and_says_what_was_done(tmp_path, credentials, suffix):
    output = mark(tmp_path, credentials, suffix)
    report = manifest.verify(output, credentials=credentials)
    assert replace(report, signed=None) == manifest.ProvenanceReport(
        state='trusted',
        is_marked_synthetic=True,
        actions=('c2pa.opened', 'c2pa.edited'),
        model_name='lite128',
        bundle_sha256=SHA256,
        edit=manifest.Edit('swapped'),
        issuer='AP-GAN local signer',
        parent_title=f'unsigned{suffix}',
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [output.name, f'unsigned{suffix}']


def test_the_media_itself_is_untouched(tmp_path, credentials):
    output = mark(tmp_path, credentials)
    np.testing.assert_array_equal(np.asarray(Image.open(output)), noise())


def test_opened_action_refers_to_the_parent_and_edit_names_its_source_type(tmp_path, credentials):
    store = manifest_store(mark(tmp_path, credentials))
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
    output = mark(tmp_path, credentials, suffix)
    flip(output, output.read_bytes().rfind(MEDIA_MARKERS[suffix]) + 1000)
    report = manifest.verify(output, credentials=credentials)
    assert report.state == 'altered'
    assert any('Hash.mismatch' in code for code in report.failures)


def test_damaged_manifest_is_altered_not_absent(tmp_path, credentials):
    output = mark(tmp_path, credentials, '.mp4')
    flip(output, output.read_bytes().find(b'c2pa.ingredient') + 120)
    assert manifest.verify(output, credentials=credentials).state == 'altered'


def test_cut_file_with_a_manifest_is_altered(tmp_path, credentials):
    output = mark(tmp_path, credentials, '.mp4')
    output.write_bytes(output.read_bytes()[:-500])
    assert manifest.verify(output, credentials=credentials).state == 'altered'


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.mp4', '.mkv'])
def test_unsigned_file_is_absent(tmp_path, credentials, suffix):
    path = write_media(tmp_path / f'plain{suffix}')
    report = manifest.verify(path, credentials=credentials)
    assert report == manifest.ProvenanceReport(state='absent')
    assert report.lines() == ['absent: the file carries no Content Credentials']


def test_unknown_signer_is_valid_not_trusted(tmp_path, credentials):
    output = mark(tmp_path, credentials)
    stranger = load_or_create_credentials(tmp_path / 'stranger')
    report = manifest.verify(output, credentials=stranger)
    assert (report.state, report.failures) == ('valid', ())
    assert 'unknown' in report.lines()[0]


def chain(store):
    """The manifests from the newest to the first, as each names its parent's."""
    label = store['active_manifest']
    while label:
        manifest = store['manifests'][label]
        yield manifest
        (ingredient,) = manifest['ingredients']
        label = ingredient.get('active_manifest')


@pytest.mark.parametrize('suffixes', [('.png', '.jpg', '.png'), ('.mp4', '.mov', '.mp4')])
def test_every_manifest_of_a_chain_is_kept_whole(tmp_path, credentials, suffixes):
    parent, stores = 'unsigned', []
    for number, suffix in enumerate(suffixes):
        output = mark(tmp_path, credentials, suffix, parent)
        parent = output.rename(tmp_path / f'{number}{suffix}')
        stores.append(manifest_store(parent))
    manifests = list(chain(stores[-1]))
    assert [each['title'] for each in manifests] == [f'output{s}' for s in reversed(suffixes)]
    titles = [each['ingredients'][0]['title'] for each in manifests]
    assert titles == [f'1{suffixes[1]}', f'0{suffixes[0]}', f'unsigned{suffixes[0]}']
    for kept, store in zip(manifests, reversed(stores), strict=True):
        original = store['manifests'][store['active_manifest']]
        assert kept['signature_info'] == original['signature_info']
        assert kept['assertions'] == original['assertions']
    report = manifest.verify(parent, credentials=credentials)
    assert (report.state, report.parent_is_altered) == ('trusted', False)


def test_parent_that_was_altered_is_kept_and_named_so(tmp_path, credentials):
    parent = mark(tmp_path, credentials).rename(tmp_path / 'parent.png')
    flip(parent, parent.read_bytes().rfind(b'IDAT') + 1000)
    report = manifest.verify(mark(tmp_path, credentials, parent=parent), credentials=credentials)
    assert (report.state, report.parent_is_altered) == ('trusted', True)
    assert '  made from: parent.png (already changed since it was signed)' in report.lines()


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.mp4', '.mov'])
def test_of_an_anonymised_parent_nothing_is_kept_but_its_hash(tmp_path, credentials, suffix):
    """Neither its name nor its own manifest, whose title and label name somebody."""
    said = manifest.Edit('swapped', label='by Jane Doe')
    jane = mark(tmp_path, credentials, suffix, edit=said).rename(tmp_path / f'Jane Doe{suffix}')
    assert b'Jane Doe' in jane.read_bytes()
    output = mark(tmp_path, credentials, suffix, jane, manifest.Edit('anonymised', 1, 2))
    assert b'Jane' not in output.read_bytes()
    # A folder's files keep their names, and a signed title could not be changed with the name.
    (definition,) = manifest_store(output)['manifests'].values()
    assert definition['title'] == f'anonymised{suffix}'
    assert len(manifest_store(output)['manifests']) == 1
    report = manifest.verify(output, credentials=credentials)
    assert (report.state, report.is_marked_synthetic) == ('trusted', True)
    assert report.parent_title == 'redacted'
    assert report.parent_sha256 == hashlib.sha256(jane.read_bytes()).hexdigest()
    assert f'  original sha256: {report.parent_sha256}' in report.lines()


def test_live_camera_has_no_parent(tmp_path, credentials):
    output = mark(tmp_path, credentials, '.mp4', parent=None)
    report = manifest.verify(output, credentials=credentials)
    assert (report.state, report.parent_title) == ('trusted', None)
    assert report.actions == ('c2pa.created', 'c2pa.edited')
    assert report.is_marked_synthetic


def test_manifest_lists_what_was_done(tmp_path, credentials):
    edit = manifest.Edit('anonymised', label='synthetic face')
    original = write_media(tmp_path / 'unsigned.png')
    output = tmp_path / 'output.png'
    with marking(output, credentials, original, edit=edit) as unsigned:
        shutil.copyfile(original, unsigned)
        edit.faces_swapped, edit.faces_blurred = 40, 2
    report = manifest.verify(output, credentials=credentials)
    assert report.edit == manifest.Edit('anonymised', 40, 2, 'synthetic face')
    assert report.actions == ('c2pa.opened', 'c2pa.edited', 'c2pa.filtered', 'c2pa.addedText')
    line = "  edit: anonymised, 40 faces swapped, 2 blurred, labelled 'synthetic face'"
    assert line in report.lines()


@pytest.mark.parametrize('suffix', ['.mkv', '.mpg', '.webm'])
def test_parent_in_a_container_that_c2pa_cannot_read(tmp_path, credentials, suffix):
    codec = {'.mpg': 'mpeg1video', '.webm': 'libvpx'}.get(suffix, 'libx264')
    parent = write_video(tmp_path / f'parent{suffix}', codec=codec)
    report = manifest.verify(mark(tmp_path, credentials, '.mp4', parent), credentials=credentials)
    assert (report.state, report.parent_title) == ('trusted', parent.name)


@pytest.mark.parametrize('damage', ['cut', 'misnamed'])
def test_parent_that_c2pa_cannot_parse_is_still_recorded(tmp_path, credentials, damage):
    parent = mark(tmp_path, credentials, '.mp4').rename(tmp_path / 'parent.mp4')
    if damage == 'cut':
        parent.write_bytes(parent.read_bytes()[:-500])
    else:
        parent = parent.rename(tmp_path / 'parent.png')
    report = manifest.verify(mark(tmp_path, credentials, '.jpg', parent), credentials=credentials)
    assert report.parent_title == parent.name
    assert report.actions[0] == 'c2pa.opened'


@pytest.mark.parametrize(
    'name', ['video', *(f'video{suffix}' for suffix in ('.mkv', '.webm', '.mpg', '.ts', '.bmp'))]
)
def test_refusal_names_the_suffix_and_the_alternatives(name):
    with pytest.raises(UserError) as caught:
        manifest.check_signable(Path(name))
    assert f"'{Path(name).suffix}'" in str(caught.value)
    for suffix in manifest.SIGNABLE_SUFFIXES:
        assert suffix in str(caught.value)


def test_media_of_another_format_than_the_name_leaves_nothing_behind(tmp_path, credentials):
    picture = write_media(tmp_path / 'picture.png')
    with (
        pytest.raises(UserError, match='could not be signed'),
        marking(tmp_path / 'output.mp4', credentials, picture) as unsigned,
    ):
        shutil.copyfile(picture, unsigned)
    assert list(tmp_path.iterdir()) == [picture]


def test_missing_and_empty_files_are_user_errors(tmp_path, credentials):
    with pytest.raises(UserError, match='cannot be read'):
        manifest.verify(tmp_path / 'nowhere.png', credentials=credentials)
    empty = tmp_path / 'empty.png'
    empty.touch()
    with pytest.raises(UserError, match='empty'):
        manifest.verify(empty, credentials=credentials)
    with pytest.raises(UserError, match=r'parent\.png: cannot be read'):
        mark(tmp_path, credentials, parent=tmp_path / 'parent.png')


def test_sign_and_verify_use_the_users_own_credentials(tmp_path, monkeypatch):
    monkeypatch.setenv('APGAN_CREDENTIALS', str(tmp_path / 'own'))
    media = tmp_path / 'media'
    media.mkdir()
    assert manifest.verify(write_media(media / 'plain.png')).state == 'absent'
    assert not (tmp_path / 'own').exists()  # only signing makes credentials
    assert manifest.verify(mark(media, None)).state == 'trusted'


@pytest.mark.parametrize('damaged', ['key.pem', 'certificates.pem'])
def test_ones_own_broken_credentials_keep_nobodys_file_from_being_read(
    tmp_path, credentials, monkeypatch, damaged
):
    output = mark(tmp_path, credentials)
    own = tmp_path / 'own'
    monkeypatch.setenv('APGAN_CREDENTIALS', str(own))
    load_or_create_credentials(own)
    (own / damaged).write_bytes(b'damaged')
    with pytest.raises(UserError, match=r'damaged or out of date .* move .* away'):
        mark(tmp_path, None)
    root = tmp_path / 'root.pem'
    root.write_bytes(credentials.root)
    assert manifest.verify(output).state == 'valid'
    report = manifest.verify(output, trust=[root])
    assert report.state == 'trusted'
    notes = [line for line in report.lines() if line.startswith('  note: ')]
    assert len(notes) == (damaged == 'certificates.pem')


def test_what_cannot_be_signed_is_told_from_what_cannot_be_written(tmp_path, credentials):
    broken = replace(credentials, certificate_chain=b'')
    with pytest.raises(manifest.SigningError, match='could not be signed'):
        mark(tmp_path, broken)


def test_control_characters_of_a_stranger_do_not_reach_the_terminal():
    report = manifest.ProvenanceReport(state='valid', issuer='\x1b[2Jtrusted\n')
    assert report.lines()[-1] == '  signer calls itself: ?[2Jtrusted?'
    long_ago = datetime(1990, 1, 1, tzinfo=UTC)
    signed = SigningTime(long_ago, long_ago, long_ago, authority='\x1b[2J')
    assert '\x1b' not in ''.join(replace(report, signed=signed).lines())


def test_manifest_too_damaged_to_be_read_is_altered(tmp_path, credentials):
    output = mark(tmp_path, credentials)
    content = output.read_bytes()
    flip(output, content.index(b'bundle_sha256') - 3)
    assert manifest.verify(output, credentials=credentials).state == 'altered'
    output.write_bytes(content)
    flip(output, content.index(b'jumdc2pa') + 6)
    assert manifest.verify(output, credentials=credentials).state == 'altered'


def test_first_byte_altered_is_altered_not_absent(tmp_path, credentials):
    output = mark(tmp_path, credentials)
    flip(output, 0)
    assert manifest.verify(output, credentials=credentials).state == 'altered'


@pytest.mark.parametrize(
    ('suffix', 'other'), [('.png', '.jpg'), ('.mp4', '.mkv'), ('.jpg', '.txt')]
)
def test_mark_is_found_under_a_wrong_name(tmp_path, credentials, suffix, other):
    path = mark(tmp_path, credentials, suffix).rename(tmp_path / f'renamed{other}')
    assert manifest.verify(path, credentials=credentials).state == 'trusted'


def test_stripped_manifest_is_absent_and_xmp_still_says_synthetic(tmp_path, credentials):
    output = mark(tmp_path, credentials)
    content = output.read_bytes()
    start = content.index(b'caBX') - 4
    (length,) = struct.unpack_from('>I', content, start)
    output.write_bytes(content[:start] + content[start + 12 + length :])
    report = manifest.verify(output, credentials=credentials)
    assert report == manifest.ProvenanceReport(state='absent', is_marked_synthetic=True)
    assert report.lines()[0] == 'absent: the file carries no Content Credentials'
    assert 'XMP' in report.lines()[1]


def test_folder_and_pipe_are_user_errors(tmp_path, credentials):
    os.mkfifo(tmp_path / 'pipe.mp4')
    for path in (tmp_path, tmp_path / 'pipe.mp4'):
        with pytest.raises(UserError, match='is not a file'):
            manifest.verify(path, credentials=credentials)


def test_further_anchors_make_a_stranger_trusted(tmp_path, credentials):
    output = mark(tmp_path, credentials)
    stranger = load_or_create_credentials(tmp_path / 'stranger')
    root = tmp_path / 'root.pem'
    root.write_bytes(credentials.root)
    assert manifest.verify(output, credentials=stranger, trust=[root]).state == 'trusted'
    with pytest.raises(UserError, match=r'output\.png: holds no readable certificate'):
        manifest.verify(output, credentials=stranger, trust=[output])


def test_exception_in_the_block_leaves_the_old_output(tmp_path, credentials):
    output = mark(tmp_path, credentials)
    before = output.read_bytes()
    with pytest.raises(KeyboardInterrupt), marking(output, credentials, output) as unsigned:
        write_media(unsigned)
        raise KeyboardInterrupt
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['output.png', 'unsigned.png']


def test_nothing_written_is_an_error(tmp_path, credentials):
    parent = write_media(tmp_path / 'parent.png')
    with (
        pytest.raises(UserError, match='cannot be read'),
        marking(tmp_path / 'output.png', credentials, parent),
    ):
        pass
    assert list(tmp_path.iterdir()) == [parent]


def test_symbolic_link_is_replaced_not_followed(tmp_path, credentials):
    original = write_media(tmp_path / 'original.png')
    before = original.read_bytes()
    output = tmp_path / 'output.png'
    output.symlink_to(original)
    mark(tmp_path, credentials)
    assert not output.is_symlink()
    assert original.read_bytes() == before
    assert manifest.verify(output, credentials=credentials).state == 'trusted'


def test_output_folder_on_another_file_system(tmp_path, credentials):
    memory = Path('/dev/shm')
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip('no second file system here')
    output = memory / f'apgan-test-{os.getpid()}.png'
    try:
        with marking(output, credentials, write_media(tmp_path / 'parent.png')) as unsigned:
            write_media(unsigned)
        assert manifest.verify(output, credentials=credentials).state == 'trusted'
    finally:
        output.unlink(missing_ok=True)


def test_folders_that_cannot_be_written_are_refused_before_the_work(tmp_path, credentials):
    parent = write_media(tmp_path / 'parent.png')
    (tmp_path / 'folder.png').mkdir()
    for output, message in (
        (tmp_path / 'nowhere' / 'output.png', 'cannot be written'),
        (parent / 'output.png', 'cannot be written'),
        (Path('/proc/output.png'), 'cannot be written'),
        (tmp_path / 'folder.png', 'is a folder'),
    ):
        with (
            pytest.raises(UserError, match=message) as caught,
            marking(output, credentials, parent),
        ):
            raise AssertionError('the block ran')
        assert '\n' not in str(caught.value)


def test_outputs_mode_follows_the_umask(tmp_path, credentials):
    before = os.umask(0o027)
    try:
        output = mark(tmp_path, credentials)
    finally:
        os.umask(before)
    assert stat.S_IMODE(output.stat().st_mode) == 0o640


@contextlib.contextmanager
def largest_file(size):
    """Makes writing fail beyond a size, as it does on a full disk.

    For the block alone: pytest's own output may go to a file that is longer already.
    """
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(('room', 'during'), [(-100, 'media'), (100, 'XMP'), (2_000, 'signing')])
def test_full_disk_leaves_nothing(tmp_path, credentials, room, during):
    parent = write_media(tmp_path / 'parent.png')
    content = parent.read_bytes()
    folder = tmp_path / 'outputs'
    folder.mkdir()
    written = False
    with (
        pytest.raises(UserError, match='room') as caught,
        largest_file(len(content) + room),
        marking(folder / 'output.png', credentials, parent) as unsigned,
    ):
        unsigned.write_bytes(content)
        written = True
    assert '\n' not in str(caught.value)
    assert written == (during != 'media')
    assert list(folder.iterdir()) == []


_KILLED = """
import sys, time
from pathlib import Path
from apgan_jax.provenance import manifest
from apgan_jax.provenance.credentials import load_or_create_credentials
output, parent, own = map(Path, sys.argv[1:])
with manifest.marked_output(output, parent=parent, model_name='m', bundle_sha256='00',
                              credentials=load_or_create_credentials(own)) as unsigned:
    unsigned.write_bytes(parent.read_bytes())
    print('written', flush=True)
    time.sleep(60)
"""


def test_killed_run_leaves_no_output_and_the_next_one_cleans_up(tmp_path, credentials):
    parent = write_media(tmp_path / 'parent.png')
    output = tmp_path / 'outputs' / 'output.png'
    output.parent.mkdir()
    command = [sys.executable, '-c', _KILLED, output, parent, tmp_path / 'own']
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b'written\n'
        with (
            pytest.raises(UserError, match='another run is writing it'),
            marking(output, credentials, parent),
        ):
            raise AssertionError('the block ran')
        process.kill()
    (leftover,) = output.parent.iterdir()
    assert leftover.name == '.output.png.unfinished'
    assert stat.S_IMODE(leftover.stat().st_mode) == 0o700
    (leftover / 'folder').mkdir()
    (leftover / 'link').symlink_to(tmp_path)
    with marking(output, credentials, parent) as unsigned:
        assert list(unsigned.parent.iterdir()) == []
        shutil.copyfile(parent, unsigned)
    assert list(output.parent.iterdir()) == [output]
    assert manifest.verify(output, credentials=credentials).state == 'trusted'


def append_free_box(path, size):
    """Makes a video larger by what every reader skips; a sparse file costs no disk."""
    with path.open('r+b') as file:
        start = file.seek(0, os.SEEK_END)
        file.write(struct.pack('>I4s', size, b'free'))
        file.truncate(start + size)


def test_interrupt_while_signing_leaves_nothing(tmp_path, credentials):
    """Inside a callback of the C2PA library it would be swallowed, and cut the file short."""
    parent = write_video(tmp_path / 'parent.mp4')
    folder = tmp_path / 'outputs'
    folder.mkdir()

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            marking(folder / 'output.mp4', credentials, parent) as unsigned,
        ):
            shutil.copyfile(parent, unsigned)
            append_free_box(unsigned, 100_000_000)
            signal.setitimer(signal.ITIMER_REAL, 0.02)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert list(folder.iterdir()) == []


_MEASURED = """
import resource, shutil, sys
from pathlib import Path
from apgan_jax.provenance import manifest
from apgan_jax.provenance.credentials import load_or_create_credentials
large, small, own = map(Path, sys.argv[1:])
credentials = load_or_create_credentials(own)
for parent in (small, large):
    output = parent.with_name('output.mp4')
    with manifest.marked_output(output, parent=parent, model_name='m', bundle_sha256='00',
                                  credentials=credentials) as unsigned:
        shutil.copyfile(parent, unsigned)
    assert manifest.verify(output, credentials=credentials).state == 'trusted'
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_signing_needs_no_memory_for_the_media(tmp_path):
    small, large = (write_video(tmp_path / f'{name}.mp4') for name in ('small', 'large'))
    append_free_box(large, 100_000_000)
    command = [sys.executable, '-c', _MEASURED, large, small, tmp_path / 'own']
    printed = subprocess.run(command, check=True, capture_output=True).stdout
    before, after = map(int, printed.split())  # KiB
    assert after - before < 40_000
