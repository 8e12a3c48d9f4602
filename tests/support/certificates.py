"""Certificates of any profile and date, and a chain of three: root, middle, and who signs."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

EMAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
PKCS8 = serialization.PrivateFormat.PKCS8
_USES = (
    'content_commitment',
    'key_encipherment',
    'data_encipherment',
    'key_agreement',
    'encipher_only',
    'decipher_only',
)


def _named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    subject,
    key,
    issuer,
    issuer_key,
    *,
    is_ca=False,
    purposes=(EMAIL,),
    critical=False,
    start=-DAY,
    end=DAY,
    until=None,
):
    """One that C2PA takes, unless it is told otherwise.

    `start` and `end` count from when this module was imported; `until` is a time instead of `end`.
    """
    public, authority = key.public_key(), issuer_key.public_key()
    usage = x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        **dict.fromkeys(_USES, False),
    )
    key_id = x509.SubjectKeyIdentifier.from_public_key(public)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + start)
        .not_valid_after(until or NOW + end)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(issuer_id, critical=False)
    )
    if purposes and not is_ca:
        extended = x509.ExtendedKeyUsage(list(purposes))
        builder = builder.add_extension(extended, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


ROOT_KEY = ec.generate_private_key(ec.SECP256R1())
MIDDLE_KEY = ec.generate_private_key(ec.SECP256R1())
LEAF_KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = certificate('root', ROOT_KEY, 'root', ROOT_KEY, is_ca=True)
MIDDLE = certificate('middle', MIDDLE_KEY, 'root', ROOT_KEY, is_ca=True)


def write_key(path, key, form=PKCS8, passphrase=None):
    """A private key that only its owner can read."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    path.chmod(0o600)
    return path
