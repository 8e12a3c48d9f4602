"""Keys and certificates that sign the mark: made on first use, or brought by the user.

Whatever signs has signed a pixel before: what C2PA or a time-stamp authority will not take shows
before hours of work, not after.
"""

import dataclasses
import io
import json
import logging
import os
import shlex
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import c2pa
import cv2
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from apgan_jax.errors import UserError, first_line
from apgan_jax.provenance.local_authority import issue_certificates

KEY_FILE, CERTIFICATES_FILE = 'key.pem', 'certificates.pem'
PASSPHRASE_VARIABLE = 'APGAN_KEY_PASSPHRASE'

_LOG = logging.getLogger(__name__)
# Earlier versions kept key and certificates in one file, which is used on where it is.
_JOINT_FILE = 'credentials.pem'
# Permissions of a file that let others than its owner at it.
_OTHERS = 0o077
# A PEM file has a few thousand.
_MOST_BYTES = 1_000_000

# What a certificate may be for. C2PA's reader accepts the first only, unless it is told of the
# others, and calls a file `invalid` that was signed with one of them.
_PURPOSES = {
    ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string: 'emailProtection',
    '1.3.6.1.5.5.7.3.36': 'documentSigning',
    '1.3.6.1.4.1.62558.2.1': 'C2PA claim signing',
}
_EC_ALGORITHMS = {
    'secp256r1': c2pa.C2paSigningAlg.ES256,
    'secp384r1': c2pa.C2paSigningAlg.ES384,
    'secp521r1': c2pa.C2paSigningAlg.ES512,
}
_MIN_RSA_BITS = 2048


@dataclasses.dataclass(frozen=True)
class Credentials:
    """What signs and what is trusted.

    Attributes:
      private_key: the leaf's key, PKCS8 PEM, not encrypted.
      certificate_chain: leaf first, PEM.
      root: the chain's last certificate, PEM: the trust anchor to give to others.
      algorithm: of the signature, the one that fits the key.
      time_stamp_url: of the authority (RFC 3161) that says when each signature was made; None: no
        authority is asked, and nothing needs the network.
    """

    private_key: bytes = dataclasses.field(repr=False)
    certificate_chain: bytes
    root: bytes
    algorithm: c2pa.C2paSigningAlg = c2pa.C2paSigningAlg.ES256
    time_stamp_url: str | None = None

    def signer(self) -> c2pa.Signer:
        """What C2PA signs with."""
        return c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(
                self.algorithm, self.certificate_chain, self.private_key, self.time_stamp_url
            )
        )

    def with_time_stamps(self, url: str) -> Self:
        """The same, with time stamps of an authority that has just given one.

        Raises:
          UserError: it is no web address, or nobody there gives time stamps (RFC 3161).
        """
        stamped = dataclasses.replace(self, time_stamp_url=url)
        try:
            if urlsplit(url).scheme not in ('http', 'https'):
                raise ValueError('no address that begins with http:// or https://')
            signature = _sign_pixel(stamped)
        except (c2pa.C2paError, ValueError) as error:
            raise _no_time_stamp(url, first_line(error)) from error
        if 'time' not in signature:
            raise _no_time_stamp(url, 'its answer is no time stamp of what it was asked')
        return stamped


def _no_time_stamp(url: str, reason: str) -> UserError:
    return UserError(
        f'--timestamp {url}: the authority gives no time stamp ({reason}); check the address, or '
        'leave the option out'
    )


def c2pa_settings(anchors: bytes = b'') -> dict[str, Any]:
    """Settings of the C2PA library: nothing from the network, no thumbnails.

    Args:
      anchors: certificates to trust, PEM.
    """
    trust = {'trust_config': '\n'.join(_PURPOSES)}
    if anchors:  # Empty text would be taken for a damaged certificate.
        trust['user_anchors'] = anchors.decode()
    return {
        'verify': {
            'verify_trust': True,
            'remote_manifest_fetch': False,
            'ocsp_fetch': False,
            # Signing then reads the whole file again: a mark that does not hold is never given.
            'verify_after_sign_hash': True,
        },
        'builder': {'thumbnail': {'enabled': False}},
        # By default files of up to 512 MB are held in memory while they are signed.
        'core': {'backing_store_memory_threshold_in_mb': 16},
        'trust': trust,
    }


def default_credentials_dir() -> Path:
    """Returns the user's own folder for credentials; $APGAN_CREDENTIALS, if set, names another."""
    if override := os.environ.get('APGAN_CREDENTIALS'):
        return Path(override)
    variable = 'APPDATA' if os.name == 'nt' else 'XDG_CONFIG_HOME'
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / '.config') / 'apgan'


def load_or_create_credentials(directory: Path) -> Credentials:
    """Loads the credentials in a folder, after making them there if there are none.

    Several processes may do this at once: all get the same credentials.

    Raises:
      UserError: the folder cannot be written, or what it holds is damaged or out of date.
    """
    key, certificates = _own_files(directory)
    try:
        if key != certificates:
            if certificates.exists() and not key.exists():
                raise UserError(f'{key} is missing')
            _publish_once(key, _new_key)
            # Whoever comes first, its certificates are for the one key that is there.
            _publish_once(certificates, lambda: _new_certificates(key))
        return load_credentials(certificates, key)
    except OSError as error:
        raise UserError(
            f'{directory}: the signing credentials cannot be read or made ({error.strerror}); '
            f'set APGAN_CREDENTIALS to a folder that you can write'
        ) from error
    except UserError as error:
        names = ' and '.join(dict.fromkeys(map(str, (key, certificates))))
        # What follows is the remedy for files that the user brought.
        reason, _, _ = str(error).partition(';')
        raise UserError(
            f'{directory}: the signing credentials are damaged or out of date ({reason}); move '
            f'{names} away to have new ones made (files signed before stay valid)'
        ) from error


def own_root(directory: Path) -> bytes | None:
    """The root of the credentials in a folder, PEM; None where there are none.

    The key is not looked at: what others signed can be checked without it.

    Raises:
      UserError: the certificates are damaged or cannot be read.
    """
    _, certificates = _own_files(directory)
    return pem(load_certificates(certificates)[-1]) if os.path.lexists(certificates) else None


def _own_files(directory: Path) -> tuple[Path, Path]:
    """The files of key and certificates; one and the same where an earlier version made them."""
    joint = directory / _JOINT_FILE
    if os.path.lexists(joint):
        return joint, joint
    return directory / KEY_FILE, directory / CERTIFICATES_FILE


def load_credentials(certificate: Path, key: Path) -> Credentials:
    """Loads the user's own certificate and key, and proves by a signature that C2PA takes them.

    Args:
      certificate: PEM, the signer's certificate first, then those above it.
      key: PEM; PKCS8, or the older EC and RSA forms. P-256, P-384, P-521, RSA of at least 2048
        bits, or Ed25519. One that is encrypted is opened with $APGAN_KEY_PASSPHRASE.

    Raises:
      UserError: a file is missing or damaged, the two do not belong together, or the certificate
        is out of date or not made for signing.
    """
    chain = load_certificates(certificate, 'chain.pem')
    private_key = _load_key(key)
    if private_key.public_key() != chain[0].public_key():
        fits = any(private_key.public_key() == each.public_key() for each in chain)
        raise UserError(
            f"{certificate}: the signer's certificate must come first; reorder the file"
            if fits
            else f'{key}: does not belong to the certificate in {certificate}; give its key'
        )
    _check_dates(certificate, chain[0])
    _check_purpose(certificate, chain[0])
    credentials = _assemble(key, private_key, chain)
    _check_by_signing(certificate, credentials)
    return credentials


def load_certificates(path: Path, example: str = 'root.pem') -> list[x509.Certificate]:
    """Loads all certificates of a PEM file.

    Args:
      path: the file.
      example: a file name that shows in the message what kind is wanted.

    Raises:
      UserError: the file cannot be read or holds no certificate.
    """
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise UserError(
            f'{path}: holds no readable certificate; give a PEM file, such as {example}, with '
            f"'BEGIN CERTIFICATE' in it"
        ) from error


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM, one after the other."""
    return b''.join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def _read(path: Path) -> bytes:
    # Opening a pipe would wait, and a device may have no end.
    if path.exists() and not path.is_file():
        raise UserError(f'{path}: is not a file; give the path of a PEM file')
    try:
        with path.open('rb') as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UserError(
            f'{path}: cannot be read ({error.strerror}); give the path of a PEM file'
        ) from error
    if len(content) > _MOST_BYTES:
        raise UserError(f'{path}: is longer than a megabyte; give the path of a PEM file')
    return content


def _load_key(path: Path) -> PrivateKeyTypes:
    content = _read(path)
    _warn_of_readers(path)
    is_encrypted = b'ENCRYPTED' in content
    passphrase = os.environ.get(PASSPHRASE_VARIABLE)
    if is_encrypted and not passphrase:
        raise UserError(
            f'{path}: the key is encrypted; set {PASSPHRASE_VARIABLE} to its passphrase, or '
            f'decrypt it: openssl pkey -in {path.name} -out plain.pem'
        )
    try:
        # A passphrase for a key that has none is an error to the library, not to our users.
        secret = passphrase.encode() if passphrase and is_encrypted else None
        return serialization.load_pem_private_key(content, password=secret)
    except (ValueError, TypeError) as error:
        raise UserError(
            f'{path}: the passphrase in {PASSPHRASE_VARIABLE} does not open this key; correct it'
            if is_encrypted
            else f"{path}: holds no readable private key; give a PEM file with 'PRIVATE KEY' in it"
        ) from error


def _warn_of_readers(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    # Elsewhere modes say nothing of who may read.
    if os.name == 'posix' and mode & _OTHERS:
        _LOG.warning(
            '%s: others can get at this key (mode %o); chmod 600 %s',
            path,
            mode,
            shlex.quote(str(path)),
        )


def _assemble(
    path: Path, private_key: PrivateKeyTypes, chain: list[x509.Certificate]
) -> Credentials:
    key = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Credentials(
        private_key=key,
        certificate_chain=pem(*chain),
        root=pem(chain[-1]),
        algorithm=_algorithm(path, private_key),
    )


def _algorithm(path: Path, key: PrivateKeyTypes) -> c2pa.C2paSigningAlg:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _EC_ALGORITHMS:
        return _EC_ALGORITHMS[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _MIN_RSA_BITS:
        return c2pa.C2paSigningAlg.PS256
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return c2pa.C2paSigningAlg.ED25519
    raise UserError(
        f'{path}: C2PA cannot sign with this kind of key; use P-256, P-384, P-521, Ed25519 or RSA '
        f'of at least {_MIN_RSA_BITS} bits'
    )


def _check_dates(path: Path, leaf: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        raise UserError(f'{path}: expired on {leaf.not_valid_after_utc:%Y-%m-%d}; renew it')
    if leaf.not_valid_before_utc > now:
        raise UserError(
            f'{path}: not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; wait, or '
            "correct this computer's clock"
        )


def _check_purpose(path: Path, leaf: x509.Certificate) -> None:
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usages = x509.ExtendedKeyUsage([])
    if not any(usage.dotted_string in _PURPOSES for usage in usages):
        raise UserError(
            f'{path}: the certificate is not made for signing media; have one made with the '
            f'extended key usage {" or ".join(_PURPOSES.values())}'
        )


def _check_by_signing(path: Path, credentials: Credentials) -> None:
    try:
        _sign_pixel(credentials)
    except c2pa.C2paError as error:
        raise UserError(
            f'{path}: C2PA does not accept this certificate ({first_line(error)}); it '
            'needs digitalSignature, an authority and a subject key identifier, and must not be '
            'a CA'
        ) from error


def _sign_pixel(credentials: Credentials) -> dict[str, Any]:
    """Signs one pixel; what C2PA reads of the signature: algorithm, name, time if it is stamped.

    Raises:
      c2pa.C2paError: it cannot be signed.
    """
    created = {
        'action': 'c2pa.created',
        'digitalSourceType': 'http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation',
    }
    definition = {'assertions': [{'label': 'c2pa.actions.v2', 'data': {'actions': [created]}}]}
    pixel = cv2.imencode('.png', np.zeros((1, 1, 3), np.uint8))[1].tobytes()
    settings, signed = c2pa_settings(credentials.root), io.BytesIO()
    context = c2pa.Context.from_dict(settings, signer=credentials.signer())
    with c2pa.Builder(definition, context=context) as builder:
        builder.sign('image/png', io.BytesIO(pixel), signed)
    with c2pa.Reader('image/png', signed, context=c2pa.Context.from_dict(settings)) as reader:
        store = json.loads(reader.json())
    signature: dict[str, Any] = store['manifests'][store['active_manifest']]['signature_info']
    return signature


def _new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _new_certificates(key: Path) -> bytes:
    private_key = _load_key(key)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise UserError(f'{key}: is no elliptic-curve key; have a new one made')
    return pem(*issue_certificates(private_key.public_key()))


def _publish_once(path: Path, make: Callable[[], bytes]) -> None:
    """Writes a file that only its owner can read, unless one is there or is put there meanwhile."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkstemp makes the file with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(descriptor, 'wb') as file:
            file.write(make())
        # Unlike a rename, a link does not replace what another process was first to put there.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
