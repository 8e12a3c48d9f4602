"""Certificates that end, and the time stamps that outlast them."""

import dataclasses
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from apgan_jax import cli
from apgan_jax.provenance import credentials, manifest
from apgan_jax.provenance.signing_time import SigningTime, signing_time
from support.certificates import DAY, LEAF_KEY, MIDDLE, MIDDLE_KEY, ROOT, certificate, write_key
from support.time_stamps import NAME, make_authority, served


def mark(output, parent, signer):
    with manifest.marked_output(
        output, parent=parent, model_name='m', bundle_sha256='00', credentials=signer
    ) as unsigned:
        unsigned.write_bytes((output.parent / 'photo.png').read_bytes())
    return output


@pytest.fixture(scope='module')
def expired(tmp_path_factory):
    """A folder of files whose signer's certificate has ended since, and roots to trust."""
    folder = tmp_path_factory.mktemp('expired')
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / 'photo.png')
    end = datetime.now(UTC) + timedelta(seconds=2)
    leaf = certificate('signer', LEAF_KEY, 'middle', MIDDLE_KEY, until=end)
    (folder / 'chain.pem').write_bytes(credentials.pem(leaf, MIDDLE, ROOT))
    (folder / 'signers.pem').write_bytes(credentials.pem(ROOT))
    key = write_key(folder / 'key.pem', LEAF_KEY)
    signer = credentials.load_credentials(folder / 'chain.pem', key)
    parent = folder / 'photo.png'
    unstamped = mark(folder / 'unstamped.png', parent, signer)
    with served(make_authority(folder)) as url:
        mark(folder / 'stamped.png', parent, dataclasses.replace(signer, time_stamp_url=url))
    own = credentials.load_or_create_credentials(folder / 'own')
    mark(folder / 'made-before.png', unstamped, own)
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds() + 1))
    mark(folder / 'made-since.png', unstamped, own)
    return folder


def check(folder, name, *trusted):
    stranger = credentials.load_or_create_credentials(folder / 'own')
    trust = [folder / f'{each}.pem' for each in trusted]
    return manifest.verify(folder / name, credentials=stranger, trust=trust)


def test_without_a_time_stamp_it_is_expired_and_not_altered(expired):
    report = check(expired, 'unstamped.png', 'signers')
    assert (report.state, report.failures, report.is_marked_synthetic) == ('expired', (), True)
    assert report.lines()[0].startswith('expired: unchanged since it was signed; expired since (')
    assert 'without a time stamp nobody can tell' in report.lines()[0]


@pytest.mark.parametrize(
    ('trusted', 'state'), [(['signers', 'root'], 'trusted'), (['root'], 'valid')]
)
def test_a_time_stamp_of_somebody_trusted_says_that_it_was_valid(expired, trusted, state):
    report = check(expired, 'stamped.png', *trusted)
    assert report.state == state
    assert report.lines()[0].startswith(f'{state}: unchanged since it was signed')
    assert report.lines()[0].endswith('), valid when signed')
    assert any(f'of {NAME}, whom you trust' in line for line in report.lines())


def test_a_time_stamp_of_a_stranger_is_told_and_not_believed(expired):
    report = check(expired, 'stamped.png', 'signers')
    assert report.state == 'expired'
    assert f'valid when signed if {NAME} is to be trusted: --trust its root' in report.lines()[0]


def test_the_command_does_not_fail_for_what_is_unchanged(expired, capsys):
    assert cli.main(['verify', str(expired / 'unstamped.png')]) == 0
    assert capsys.readouterr().out.startswith('expired: unchanged')


def test_changed_bytes_are_altered_whatever_has_expired(expired, tmp_path):
    content = bytearray((expired / 'unstamped.png').read_bytes())
    content[content.rfind(b'IDAT') + 8] ^= 0xFF
    (tmp_path / 'changed.png').write_bytes(content)
    assert manifest.verify(tmp_path / 'changed.png').state == 'altered'


@pytest.mark.parametrize('name', ['made-before.png', 'made-since.png'])
def test_what_was_made_from_an_expired_file_is_sound(expired, name):
    report = check(expired, name)
    assert (report.state, report.parent_is_altered, report.failures) == ('trusted', False, ())


NOW = datetime.now(UTC)


def test_a_certificate_that_is_not_yet_valid_points_to_the_clock():
    signed = SigningTime(NOW + DAY, NOW + 2 * DAY)
    assert signed.is_past
    assert "this computer's clock" in signed.remark()


def test_a_stamp_after_the_end_says_so():
    signed = SigningTime(NOW - 3 * DAY, NOW - 2 * DAY, NOW - DAY, 'authority', True)
    assert signed.remark().endswith('not valid when signed')


def test_a_valid_certificate_needs_no_remark():
    assert not SigningTime(NOW - DAY, NOW + DAY).is_past
    assert SigningTime(NOW - DAY, NOW + DAY).line() == ''


@pytest.mark.parametrize('manifests', [[], [{'label': 'x'}], [{'label': 'x', 'signature': {}}]])
def test_nothing_is_known_of_an_unreadable_signature(manifests):
    assert signing_time({'manifests': manifests}, 'x') is None
