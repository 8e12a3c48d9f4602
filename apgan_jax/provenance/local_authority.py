"""A certificate authority for one key: certificates that C2PA takes, and a root to trust them by.

The root's own key is forgotten at once, so that nothing else can be signed in its name.
"""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Without a time stamp from an authority, a mark ends with its certificate: make it last.
_VALIDITY = timedelta(days=20 * 365)


def issue_certificates(key: ec.EllipticCurvePublicKey) -> list[x509.Certificate]:
    """A signer's certificate for a key, and the new root that issued it."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = _x509_name('AP-GAN local root')
    root = _certificate(root_name, root_key.public_key(), root_name, root_key, is_root=True)
    leaf_name = _x509_name('AP-GAN local signer')
    return [_certificate(leaf_name, key, root_name, root_key, is_root=False), root]


def _certificate(
    name: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_root: bool,
) -> x509.Certificate:
    """Makes a certificate of the profile that C2PA asks for; it refuses others."""
    now = datetime.now(UTC)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A day early, for readers whose clock is slow.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(_key_usage(is_root=is_root), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(authority, critical=False)
    )
    if not is_root:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(*, is_root: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_root,
        key_cert_sign=is_root,
        crl_sign=is_root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _x509_name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'AP-GAN, self-signed'),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
