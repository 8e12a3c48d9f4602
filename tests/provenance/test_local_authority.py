"""Certificates for one key: of C2PA's profile, issued by a root whose key nobody has."""

from datetime import UTC, datetime, timedelta

from cryptography import x509

from apgan_jax.provenance.local_authority import issue_certificates
from support.certificates import EMAIL, LEAF_KEY


def test_the_root_issues_itself_and_the_signer():
    leaf, root = issue_certificates(LEAF_KEY.public_key())
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert leaf.public_key() == LEAF_KEY.public_key()
    assert root.public_key() != LEAF_KEY.public_key()


def test_the_signer_may_sign_media_and_no_certificates():
    leaf, _ = issue_certificates(LEAF_KEY.public_key())
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [EMAIL]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_they_are_valid_now_and_for_years():
    now = datetime.now(UTC)
    for each in issue_certificates(LEAF_KEY.public_key()):
        assert each.not_valid_before_utc < now
        assert each.not_valid_after_utc > now + timedelta(days=5000)


def test_no_two_roots_are_alike():
    roots = [issue_certificates(LEAF_KEY.public_key())[1] for _ in range(2)]
    assert roots[0].public_key() != roots[1].public_key()
