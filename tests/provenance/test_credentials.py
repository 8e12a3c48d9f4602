"""Keys that sign the mark: the program's own, and those that a user brings."""

import json
import multiprocessing
import os
import stat

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from PIL import Image

from apgan_jax.errors import UserError
from apgan_jax.provenance import credentials, manifest
from support.certificates import (
    DAY,
    EMAIL,
    LEAF_KEY,
    MIDDLE,
    MIDDLE_KEY,
    PKCS8,
    ROOT,
    certificate,
    write_key,
)
from support.time_stamps import make_authority, served

DOCUMENTS = x509.ObjectIdentifier('1.3.6.1.5.5.7.3.36')
CLAIMS = x509.ObjectIdentifier('1.3.6.1.4.1.62558.2.1')


def test_own_key_and_certificates_are_apart_private_and_loaded_again(tmp_path, monkeypatch):
    monkeypatch.setenv('APGAN_CREDENTIALS', str(tmp_path / 'own'))
    directory = credentials.default_credentials_dir()
    assert directory == tmp_path / 'own'
    first = credentials.load_or_create_credentials(directory)
    assert sorted(os.listdir(directory)) == ['certificates.pem', 'key.pem']
    assert stat.S_IMODE((directory / 'key.pem').stat().st_mode) == 0o600
    assert b'PRIVATE' not in (directory / 'certificates.pem').read_bytes()
    assert credentials.load_or_create_credentials(directory) == first
    assert credentials.own_root(directory) == first.root
    assert 'PRIVATE' not in repr(first)


def test_processes_that_race_share_one_set_of_credentials(tmp_path):
    with multiprocessing.get_context('spawn').Pool(2) as pool:
        made = pool.map(credentials.load_or_create_credentials, [tmp_path] * 6, chunksize=1)
    assert len(set(made)) == 1
    assert sorted(os.listdir(tmp_path)) == ['certificates.pem', 'key.pem']


def test_certificates_that_a_killed_run_did_not_make_are_made_for_its_key(tmp_path):
    first = credentials.load_or_create_credentials(tmp_path)
    (tmp_path / 'certificates.pem').unlink()
    again = credentials.load_or_create_credentials(tmp_path)
    assert again.private_key == first.private_key
    assert again.root != first.root


def test_the_one_file_of_earlier_versions_is_used_on(tmp_path):
    first = credentials.load_or_create_credentials(tmp_path / 'new')
    joint = tmp_path / 'old' / 'credentials.pem'
    joint.parent.mkdir()
    joint.write_bytes(first.private_key + first.certificate_chain)
    joint.chmod(0o600)
    assert credentials.load_or_create_credentials(joint.parent) == first
    assert credentials.own_root(joint.parent) == first.root
    assert os.listdir(joint.parent) == ['credentials.pem']


@pytest.mark.parametrize('name', ['key.pem', 'certificates.pem'])
def test_broken_own_credentials_are_a_user_error(tmp_path, name):
    credentials.load_or_create_credentials(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        UserError, match=r'damaged or out of date .* move .*key\.pem and '
    ) as caught:
        credentials.load_or_create_credentials(tmp_path)
    assert '\n' not in str(caught.value)


def test_there_is_no_root_before_the_first_use(tmp_path):
    assert credentials.own_root(tmp_path) is None
    assert credentials.own_root(tmp_path / 'nowhere') is None


@pytest.mark.parametrize('mode', [0o644, 0o640])
def test_a_key_that_others_can_read_is_warned_of(tmp_path, caplog, mode):
    chain, key = files(tmp_path)
    credentials.load_credentials(chain, key)
    assert not caplog.records
    key.chmod(mode)
    credentials.load_credentials(chain, key)
    (record,) = caplog.records
    assert record.levelname == 'WARNING'
    assert f'others can get at this key (mode {mode:o}); chmod 600' in record.getMessage()


def files(tmp_path, key=LEAF_KEY, chain=None, form=PKCS8, passphrase=None, **leaf):
    """Writes a chain of three, its last certificate the root, and the key of its first."""
    first = certificate('signer', key, 'middle', MIDDLE_KEY, **leaf)
    path = tmp_path / 'chain.pem'
    path.write_bytes(credentials.pem(*(chain(first) if chain else [first, MIDDLE, ROOT])))
    return path, write_key(tmp_path / 'key.pem', key, form, passphrase)


def mark(tmp_path, signer):
    parent = tmp_path / 'parent.png'
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(parent)
    output = tmp_path / 'output.png'
    with manifest.marked_output(
        output, parent=parent, model_name='m', bundle_sha256='00', credentials=signer
    ) as unsigned:
        unsigned.write_bytes(parent.read_bytes())
    return output


KEYS = {
    'Es256': lambda: LEAF_KEY,
    'Es384': lambda: ec.generate_private_key(ec.SECP384R1()),
    'Es512': lambda: ec.generate_private_key(ec.SECP521R1()),
    'Ps256': lambda: rsa.generate_private_key(65537, 2048),
    'Ed25519': ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize('algorithm', KEYS)
def test_users_own_key_signs_and_only_its_root_makes_it_trusted(tmp_path, algorithm):
    signer = credentials.load_credentials(*files(tmp_path, KEYS[algorithm]()))
    output = mark(tmp_path, signer)
    with output.open('rb') as file, c2pa.Reader(file) as reader:
        store = json.loads(reader.json())
    signature = store['manifests'][store['active_manifest']]['signature_info']
    assert (signature['alg'], signature['common_name']) == (algorithm, 'signer')

    stranger = credentials.load_or_create_credentials(tmp_path / 'stranger')
    assert manifest.verify(output, credentials=stranger).state == 'valid'
    root = tmp_path / 'root.pem'
    root.write_bytes(credentials.pem(ROOT))
    assert manifest.verify(output, credentials=stranger, trust=[root]).state == 'trusted'
    assert manifest.verify(output, credentials=signer).state == 'trusted'


@pytest.mark.parametrize('purpose', [EMAIL, DOCUMENTS, CLAIMS])
def test_each_purpose_of_signing_is_accepted_and_verified(tmp_path, purpose):
    signer = credentials.load_credentials(*files(tmp_path, purposes=[purpose]))
    assert manifest.verify(mark(tmp_path, signer), credentials=signer).state == 'trusted'


def test_chain_may_end_before_the_root(tmp_path):
    signer = credentials.load_credentials(*files(tmp_path, chain=lambda leaf: [leaf, MIDDLE]))
    assert signer.root == credentials.pem(MIDDLE)
    assert manifest.verify(mark(tmp_path, signer), credentials=signer).state == 'trusted'


def test_certificate_alone_is_trusted_through_its_issuer_only(tmp_path):
    signer = credentials.load_credentials(*files(tmp_path, chain=lambda leaf: [leaf]))
    output = mark(tmp_path, signer)
    assert manifest.verify(output, credentials=signer).state == 'valid'
    issuer = tmp_path / 'issuer.pem'
    issuer.write_bytes(credentials.pem(MIDDLE))
    assert manifest.verify(output, credentials=signer, trust=[issuer]).state == 'trusted'


def test_older_key_form_is_read(tmp_path):
    form = serialization.PrivateFormat.TraditionalOpenSSL
    signer = credentials.load_credentials(*files(tmp_path, form=form))
    assert signer.private_key.startswith(b'-----BEGIN PRIVATE KEY')


@pytest.mark.parametrize('form', [PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_encrypted_key_wants_its_passphrase(tmp_path, monkeypatch, form):
    monkeypatch.delenv('APGAN_KEY_PASSPHRASE', raising=False)
    paths = files(tmp_path, form=form, passphrase=b'secret')
    with pytest.raises(UserError, match=r'set APGAN_KEY_PASSPHRASE .* openssl pkey -in key\.pem'):
        credentials.load_credentials(*paths)
    monkeypatch.setenv('APGAN_KEY_PASSPHRASE', 'wrong')
    with pytest.raises(UserError, match='does not open this key'):
        credentials.load_credentials(*paths)
    monkeypatch.setenv('APGAN_KEY_PASSPHRASE', 'secret')
    assert credentials.load_credentials(*paths).algorithm == c2pa.C2paSigningAlg.ES256


def test_passphrase_for_a_key_that_needs_none_does_no_harm(tmp_path, monkeypatch):
    monkeypatch.setenv('APGAN_KEY_PASSPHRASE', 'secret')
    credentials.load_credentials(*files(tmp_path))


MISTAKES = {
    'expired on': {'start': -3 * DAY, 'end': -DAY},
    'not valid before .* clock': {'start': DAY, 'end': 3 * DAY},
    'not made for signing media; .* emailProtection': {'purposes': ()},
    'not made for signing': {'purposes': [ExtendedKeyUsageOID.SERVER_AUTH]},
    'C2PA does not accept this certificate': {
        'purposes': [EMAIL, ExtendedKeyUsageOID.TIME_STAMPING]
    },
    'must come first': {'chain': lambda leaf: [MIDDLE, leaf, ROOT]},
    'does not belong to the certificate': {'chain': lambda leaf: [MIDDLE, ROOT]},
    'cannot sign with this kind of key; use P-256': {
        'key': ec.generate_private_key(ec.SECP256K1())
    },
    'RSA of at least 2048 bits': {'key': rsa.generate_private_key(65537, 1024)},
}


@pytest.mark.parametrize('message', MISTAKES)
def test_mistakes_are_named_in_one_line(tmp_path, message):
    with pytest.raises(UserError, match=message) as caught:
        credentials.load_credentials(*files(tmp_path, **MISTAKES[message]))
    assert '\n' not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_files_that_are_missing_or_swapped_are_user_errors(tmp_path):
    chain, key = files(tmp_path)
    with pytest.raises(UserError, match=r'chain\.pem: holds no readable private key'):
        credentials.load_credentials(chain, chain)
    with pytest.raises(UserError, match=r'key\.pem: holds no readable certificate'):
        credentials.load_credentials(key, key)
    with pytest.raises(UserError, match=r'nowhere\.pem: cannot be read'):
        credentials.load_credentials(tmp_path / 'nowhere.pem', key)


def test_what_has_no_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / 'pipe.pem')
    for path in (tmp_path / 'pipe.pem', tmp_path):
        with pytest.raises(UserError, match=r'is not a file; give the path of a PEM file'):
            credentials.load_certificates(path)
    (tmp_path / 'film.pem').write_bytes(bytes(1_000_001))
    with pytest.raises(UserError, match=r'film\.pem: is longer than a megabyte'):
        credentials.load_certificates(tmp_path / 'film.pem')


def test_a_key_that_is_gone_is_not_made_anew_for_old_certificates(tmp_path):
    credentials.load_or_create_credentials(tmp_path)
    (tmp_path / 'key.pem').unlink()
    with pytest.raises(UserError, match=r'key\.pem is missing\); move .* away'):
        credentials.load_or_create_credentials(tmp_path)
    assert not (tmp_path / 'key.pem').exists()


def test_time_stamps_are_asked_for_before_the_work(tmp_path):
    signer = credentials.load_credentials(*files(tmp_path))
    with served(make_authority(tmp_path)) as url:
        assert signer.with_time_stamps(url).time_stamp_url == url


@pytest.mark.parametrize('answer', [b'', b'<html>no authority</html>'], ids=['nothing', 'a page'])
def test_an_authority_that_gives_no_time_stamp_is_named(tmp_path, answer):
    signer = credentials.load_credentials(*files(tmp_path))
    with served(lambda _: answer) as url, pytest.raises(UserError) as caught:
        signer.with_time_stamps(url)
    assert str(caught.value).startswith(f'--timestamp {url}: the authority gives no time stamp (')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('url', ['nonsense', 'ftp://127.0.0.1/', 'http://127.0.0.1:9/', 'http://['])
def test_an_address_without_an_authority_is_named(tmp_path, url):
    signer = credentials.load_credentials(*files(tmp_path))
    with pytest.raises(UserError, match='check the address'):
        signer.with_time_stamps(url)


def test_the_stamp_of_something_else_is_none(tmp_path):
    """An authority that answers every question with the answer to the first one."""
    signer = credentials.load_credentials(*files(tmp_path))
    stamp, answers = make_authority(tmp_path), []

    def answer(asked):
        answers.append(stamp(asked))
        return answers[0]

    with served(answer) as url:
        signer.with_time_stamps(url)
        with pytest.raises(UserError, match='no time stamp'):
            signer.with_time_stamps(url)


def test_settings_use_no_network():
    verify = credentials.c2pa_settings(b'')['verify']
    assert (verify['remote_manifest_fetch'], verify['ocsp_fetch']) == (False, False)
    c2pa.Context.from_dict(credentials.c2pa_settings(b''))
