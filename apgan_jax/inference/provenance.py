"""Content Credentials (C2PA): every output says that a face in it is synthetic, and who says so.

The manifest records the file that was opened (the parent) and the edit that replaced a face, and
is signed with credentials that belong to the user and are made on first use. They prove that a
file has not changed since this user signed it; no authority vouches for the user.

Sign last: writing a file's container again drops the manifest. Nothing here uses the network.
"""

import json
import mimetypes
import mmap
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apgan_jax import __version__
from apgan_jax.errors import UserError

# A fixed table, because what `mimetypes` knows differs between machines.
_MIME_TYPES = {
    '.jpg': 'image/jpeg',
    '.jpeg': 'image/jpeg',
    '.png': 'image/png',
    '.mp4': 'video/mp4',
    '.mov': 'video/quicktime',
    '.m4v': 'video/x-m4v',
    '.avi': 'video/x-msvideo',
}
SIGNABLE_SUFFIXES = tuple(_MIME_TYPES)
_OPAQUE_TYPE = 'application/octet-stream'

State = Literal['trusted', 'valid', 'altered', 'absent']

_SOURCE_TYPES = 'http://cv.iptc.org/newscodes/digitalsourcetype/'
_COMPOSITE = _SOURCE_TYPES + 'compositeWithTrainedAlgorithmicMedia'
_SYNTHETIC_SOURCE_TYPES = {_COMPOSITE, _SOURCE_TYPES + 'trainedAlgorithmicMedia'}
_MODEL_LABEL = 'org.apgan.model'
_AGENT = {'name': 'apgan_jax', 'version': __version__}
_PARENT_LABEL = 'parent'

_CREDENTIALS_FILE = 'credentials.pem'
# Without a time stamp from an authority, a mark ends with its certificate: make it last.
_VALIDITY = timedelta(days=20 * 365)


@dataclass(frozen=True)
class Credentials:
    """What signs and what is trusted.

    Attributes:
      private_key: the leaf's key, PKCS8 PEM.
      certificate_chain: leaf, then root, PEM.
      root: the root alone, PEM: the trust anchor to give to others.
    """

    private_key: bytes = field(repr=False)
    certificate_chain: bytes
    root: bytes


@dataclass(frozen=True)
class ProvenanceReport:
    """What a file's Content Credentials say, and whether to believe them.

    Attributes:
      state: `trusted`: intact and signed with the user's own credentials; `valid`: intact, signer
        unknown; `altered`: file or manifest changed since signing; `absent`: no manifest.
      is_marked_synthetic: a manifest of the file or of what it was made from records AI content.
      actions: the last signer's actions, in order.
      model_name: the model that replaced the face, from the newest manifest that names one.
      bundle_sha256: that model's bundle, hexadecimal.
      issuer: the name that the signer goes by. Nobody checks it unless `state` is `trusted`.
      parent_title: file name of what was opened and edited.
      failures: the checks that failed, as C2PA status codes or as the reader's message.
    """

    state: State
    is_marked_synthetic: bool = False
    actions: tuple[str, ...] = ()
    model_name: str | None = None
    bundle_sha256: str | None = None
    issuer: str | None = None
    parent_title: str | None = None
    failures: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Returns the report for a terminal, the verdict first."""
        verdict = {
            'trusted': 'trusted: unchanged since it was signed with your own credentials',
            'valid': 'valid: unchanged since it was signed, but by a signer unknown to you',
            'altered': 'altered: the file or its mark was changed after signing; do not rely on it',
            'absent': 'absent: the file carries no Content Credentials',
        }[self.state]
        details = {
            'marked as synthetic': 'yes' if self.is_marked_synthetic else 'no',
            'actions': ', '.join(self.actions),
            'model': self.model_name,
            'bundle sha256': self.bundle_sha256,
            'made from': self.parent_title,
            'signer calls itself': self.issuer,
            'failed checks': ', '.join(self.failures),
        }
        if self.state == 'absent':
            return [verdict]
        return [
            verdict,
            *(_printable(f'  {name}: {value}') for name, value in details.items() if value),
        ]


def check_signable(path: Path) -> None:
    """Checks that a file of this name can carry the mark.

    Raises:
      UserError: C2PA cannot be embedded in that container.
    """
    if path.suffix.lower() not in SIGNABLE_SUFFIXES:
        raise UserError(
            f"{path}: a '{path.suffix}' file cannot carry Content Credentials; "
            f'choose a name that ends in {", ".join(SIGNABLE_SUFFIXES)}'
        )


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
    path = directory / _CREDENTIALS_FILE
    try:
        if not path.exists():
            _publish_once(path, _new_credentials())
        pem = path.read_bytes()
    except OSError as error:
        raise UserError(
            f'{path}: the signing credentials cannot be read or made ({error.strerror}); '
            f'set APGAN_CREDENTIALS to a folder that you can write'
        ) from error
    return _parse_credentials(path, pem)


def sign(
    unsigned: Path,
    *,
    output: Path,
    parent: Path,
    model_name: str,
    bundle_sha256: str,
    credentials: Credentials | None = None,
) -> None:
    """Writes `output`: the media of `unsigned` with a manifest that says what was done to it.

    The file appears under its name whole or not at all. A manifest of the parent is kept.

    Args:
      unsigned: the finished media, of the format that the suffix of `output` names.
      output: the file to write; one that exists is replaced.
      parent: the file in which the face was replaced, in any container.
      model_name: name of the model, for people.
      bundle_sha256: sha256 of the model's bundle, hexadecimal.
      credentials: None means the user's own, made on first use.

    Raises:
      UserError: `output` cannot carry the mark, or a file cannot be read, signed or written.
    """
    check_signable(output)
    for path in (unsigned, parent):
        _check_readable(path)
    credentials = credentials or load_or_create_credentials(default_credentials_dir())
    # Not tempfile: it makes files that only their owner may read.
    temporary = output.with_name(f'.{output.stem}.{secrets.token_hex(4)}{output.suffix}')
    try:
        with (
            _new_builder(output.name, parent, model_name, bundle_sha256, credentials) as builder,
            unsigned.open('rb') as source,
            temporary.open('x+b') as destination,
        ):
            builder.sign(_MIME_TYPES[output.suffix.lower()], source, destination)
        os.replace(temporary, output)
    except (c2pa.C2paError, OSError) as error:
        raise UserError(
            f'{output}: could not be signed and written ({_one_line(error)}); check that the '
            f'folder is writable, has room and that the media is of the format its name says'
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def marked_output(
    output: Path, *, parent: Path, model_name: str, bundle_sha256: str
) -> Iterator[Path]:
    """Gives a path to write media to; signs it as `output` when the block ends without error.

    Args:
      output: appears whole and signed, or not at all.
      parent: see `sign`, like the others.
      model_name: name of the model.
      bundle_sha256: of the model's bundle.

    Yields:
      A path beside `output` with its suffix; gone afterwards.

    Raises:
      UserError: see `sign`.
    """
    with tempfile.TemporaryDirectory(prefix=f'.{output.stem}.', dir=output.parent) as folder:
        unsigned = Path(folder) / f'unsigned{output.suffix.lower()}'
        yield unsigned
        sign(
            unsigned,
            output=output,
            parent=parent,
            model_name=model_name,
            bundle_sha256=bundle_sha256,
        )


def verify(path: Path, *, credentials: Credentials | None = None) -> ProvenanceReport:
    """Reads a file's Content Credentials and checks them against its content.

    Args:
      path: any file.
      credentials: whose root to trust; None means the user's own, if there are any.

    Raises:
      UserError: the file is missing, empty, or so damaged that nothing can be said.
    """
    _check_readable(path)
    own = default_credentials_dir()
    if credentials is None and (own / _CREDENTIALS_FILE).exists():
        credentials = load_or_create_credentials(own)
    context = c2pa.Context.from_dict(_settings(credentials))
    try:
        with path.open('rb') as file:
            reader = c2pa.Reader.try_create(file, context=context)
            if reader is None:
                return ProvenanceReport(state='absent')
            with reader:
                return _report(json.loads(reader.json()))
    # A container that C2PA does not know, or one that only points to a manifest on a server.
    except (c2pa.C2paError.NotSupported, c2pa.C2paError.RemoteManifest):
        return ProvenanceReport(state='absent')
    except c2pa.C2paError as error:
        if _has_manifest_bytes(path):
            return ProvenanceReport(state='altered', failures=(_one_line(error),))
        raise UserError(
            f'{path}: the file is damaged ({_one_line(error)}); copy it again from its origin'
        ) from error


def _report(store: dict[str, Any]) -> ProvenanceReport:
    states: dict[str, State] = {'Trusted': 'trusted', 'Valid': 'valid', 'Invalid': 'altered'}
    results = store.get('validation_results', {}).get('activeManifest', {})
    failures = tuple(item['code'] for item in results.get('failure', []))
    active = store['manifests'][store['active_manifest']]
    model = next((m for each in _lineage(store) for m in _assertions(each, _MODEL_LABEL)), {})
    signature = active.get('signature_info', {})
    return ProvenanceReport(
        state=states[store['validation_state']],
        is_marked_synthetic=any(
            action.get('digitalSourceType') in _SYNTHETIC_SOURCE_TYPES
            for manifest in store['manifests'].values()
            for action in _actions(manifest)
        ),
        actions=tuple(action['action'] for action in _actions(active)),
        model_name=model.get('name'),
        bundle_sha256=model.get('bundle_sha256'),
        issuer=signature.get('common_name') or signature.get('issuer'),
        parent_title=(_parent(active) or {}).get('title'),
        failures=tuple(code for code in failures if code != 'signingCredential.untrusted'),
    )


def _lineage(store: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the active manifest, its parent's, its parent's parent's and so on."""
    manifests = dict(store['manifests'])
    label = store['active_manifest']
    # `pop`, because a forged store may name a manifest as its own ancestor.
    while manifest := manifests.pop(label, None):
        yield manifest
        label = (_parent(manifest) or {}).get('active_manifest')


def _parent(manifest: dict[str, Any]) -> dict[str, Any] | None:
    ingredients = manifest.get('ingredients', [])
    return next((i for i in ingredients if i.get('relationship') == 'parentOf'), None)


def _actions(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the actions of all assertions, old format (`c2pa.actions`) and new (`.v2`)."""
    found = _assertions(manifest, 'c2pa.actions')
    return [action for data in found for action in data.get('actions', [])]


def _assertions(manifest: dict[str, Any], label: str) -> list[dict[str, Any]]:
    found = manifest.get('assertions', [])
    return [each.get('data', {}) for each in found if each['label'].startswith(label)]


def _new_builder(
    title: str, parent: Path, model_name: str, bundle_sha256: str, credentials: Credentials
) -> c2pa.Builder:
    signer = c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(
            c2pa.C2paSigningAlg.ES256, credentials.certificate_chain, credentials.private_key, None
        )
    )
    context = c2pa.Context.from_dict(_settings(credentials), signer=signer)
    definition = _manifest_definition(title, model_name, bundle_sha256)
    ingredient = {'title': parent.name, 'relationship': 'parentOf', 'label': _PARENT_LABEL}
    mime_type = _MIME_TYPES.get(parent.suffix.lower()) or mimetypes.guess_type(parent.name)[0]
    with parent.open('rb') as file:
        builder = c2pa.Builder(definition, context=context)
        try:
            builder.add_ingredient(ingredient, mime_type or _OPAQUE_TYPE, file)
        except c2pa.C2paError:
            # A damaged file, or one whose suffix belies its format. It was edited all the same,
            # and an output without a parent would look like one made from nothing.
            note = {'description': 'damaged or misnamed: a manifest in it could not be kept'}
            file.seek(0)
            builder.close()
            builder = c2pa.Builder(definition, context=context)
            builder.add_ingredient(ingredient | note, _OPAQUE_TYPE, file)
    return builder


def _manifest_definition(title: str, model_name: str, bundle_sha256: str) -> dict[str, Any]:
    opened = {'action': 'c2pa.opened', 'parameters': {'ingredientIds': [_PARENT_LABEL]}}
    edited = {
        'action': 'c2pa.edited',
        'digitalSourceType': _COMPOSITE,
        'softwareAgent': _AGENT,
        'description': 'A face was replaced by a synthetic one, generated by a neural network.',
    }
    model = {'name': model_name, 'bundle_sha256': bundle_sha256}
    return {
        'title': title,
        'claim_generator_info': [_AGENT],
        'assertions': [
            {'label': 'c2pa.actions.v2', 'data': {'actions': [opened, edited]}},
            {'label': _MODEL_LABEL, 'data': model},
        ],
    }


def _settings(credentials: Credentials | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        'verify': {'verify_trust': True, 'remote_manifest_fetch': False, 'ocsp_fetch': False},
        'builder': {'thumbnail': {'enabled': False}},
    }
    if credentials:
        settings['trust'] = {'user_anchors': credentials.root.decode()}
    return settings


def _new_credentials() -> bytes:
    """Makes a key, its certificate and the root that signs it. The root's key is not kept."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    root_name = _x509_name('AP-GAN local root')
    root = _certificate(root_name, root_key.public_key(), root_name, root_key, is_root=True)
    leaf_name = _x509_name('AP-GAN local signer')
    leaf = _certificate(leaf_name, leaf_key.public_key(), root_name, root_key, is_root=False)
    key = leaf_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key + _pem(leaf) + _pem(root)


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


def _publish_once(path: Path, content: bytes) -> None:
    """Writes a file that only its owner can read, unless another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkstemp makes the file with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(descriptor, 'wb') as file:
            file.write(content)
        # Unlike a rename, a link does not replace what another process put there meanwhile.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)


def _parse_credentials(path: Path, pem: bytes) -> Credentials:
    remedy = f'move {path} away to have new ones made (files signed before stay valid)'
    try:
        key = serialization.load_pem_private_key(pem, password=None)
        leaf, root = x509.load_pem_x509_certificates(pem)
    except (ValueError, TypeError) as error:
        raise UserError(f'{path}: the signing credentials are damaged; {remedy}') from error
    if key.public_key() != leaf.public_key():
        raise UserError(f'{path}: the key does not belong to the certificate; {remedy}')
    if leaf.not_valid_after_utc < datetime.now(UTC):
        raise UserError(f'{path}: expired on {leaf.not_valid_after_utc:%Y-%m-%d}; {remedy}')
    private_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Credentials(
        private_key=private_key,
        certificate_chain=_pem(leaf) + _pem(root),
        root=_pem(root),
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _check_readable(path: Path) -> None:
    try:
        with path.open('rb') as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise UserError(
            f'{path}: cannot be read ({error.strerror}); give the path of a media file'
        ) from error
    if is_empty:
        raise UserError(f'{path}: the file is empty; give the path of a media file')


def _has_manifest_bytes(path: Path) -> bool:
    """Tells whether a file that C2PA cannot parse holds at least the remains of a manifest."""
    # `jumd` is the type of the description box that each manifest begins with.
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b'jumd') >= 0


def _printable(text: str) -> str:
    """Masks control characters: a manifest is a stranger's text, and terminals obey them."""
    return ''.join(character if character.isprintable() else '?' for character in text)


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
