"""A time-stamp authority (RFC 3161) on this machine: OpenSSL's, behind a web server."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from apgan_jax.provenance.credentials import pem
from support.certificates import DAY, certificate, write_key

NAME = 'time authority'
_CONFIG = """
[tsa]
default_tsa = own
[own]
serial = {folder}/serial
signer_cert = {folder}/authority.pem
signer_key = {folder}/authority-key.pem
certs = {folder}/root.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


@contextmanager
def served(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """The address of a server that answers what is posted to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            reply = answer(self.rfile.read(int(self.headers['Content-Length'])))
            self.send_response(200)
            self.send_header('Content-Type', 'application/timestamp-reply')
            self.send_header('Content-Length', str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_port}/'
        finally:
            server.shutdown()
            thread.join()


def make_authority(folder: Path) -> Callable[[bytes], bytes]:
    """Writes keys and certificates of an authority; what answers requests for time stamps.

    Its root, by which others trust it, is `root.pem` in the folder.
    """
    openssl = shutil.which('openssl') or pytest.skip('needs openssl: apt-get install openssl')
    root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    root = certificate('time root', root_key, 'time root', root_key, is_ca=True)
    purposes = [ExtendedKeyUsageOID.TIME_STAMPING]
    own = certificate(NAME, key, 'time root', root_key, purposes=purposes, critical=True, end=DAY)
    (folder / 'root.pem').write_bytes(pem(root))
    (folder / 'authority.pem').write_bytes(pem(own))
    write_key(folder / 'authority-key.pem', key)
    (folder / 'serial').write_text('01')
    config, request = folder / 'openssl.cnf', folder / 'request.tsq'
    config.write_text(_CONFIG.format(folder=folder))

    def answer(asked: bytes) -> bytes:
        request.write_bytes(asked)
        command = [openssl, 'ts', '-reply', '-config', config, '-queryfile', request]
        return subprocess.run(command, check=True, capture_output=True).stdout

    return answer
