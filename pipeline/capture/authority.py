"""A throw-away certificate authority, for one visit through the recording proxy.

Its key lives and dies with the process; nothing of it is written to a disk. It vouches
to a browser of ours for the proxy, in the name of each host that is asked for, and
never to anybody else: what servers showed is checked and kept by ``line``.
"""

import base64
import hashlib
import ipaddress
import os
import ssl
import threading
from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.capture.tls import ALPN
from pipeline.clock import Clock

PEM = serialization.Encoding.PEM
AGE = timedelta(days=2)  # before now and after: clocks differ, runs last a day at most
MOST_LEAVES = 1000  # how many hosts there are is a page's choice


class Authority:
    """The authority of one proxy: its root, and a server's side for each host."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(f"Muniment, recording {clock.nonce(8).hex()}")
        self._serial = 1
        self._root = self._signed(
            self._subject,
            self._key.public_key(),
            lambda builder: _as_root(builder, self._key.public_key()),
        )
        self._sides: dict[str, ssl.SSLContext] = {}
        self._guard = threading.Lock()

    @property
    def pem(self) -> bytes:
        """Return the root, for whoever is to trust it."""
        return self._root.public_bytes(PEM)

    @property
    def spki(self) -> str:
        """Return the SHA-256 of the root's public key, in Base64, as Chromium asks."""
        key = self._key.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        return base64.b64encode(hashlib.sha256(key).digest()).decode()

    def side(self, host: str) -> ssl.SSLContext:
        """Return the server's side of a handshake in the name of a host."""
        with self._guard:
            if (side := self._sides.pop(host, None)) is None:
                side = self._made(host)
            self._sides[host] = side  # the last asked for stands last
            if len(self._sides) > MOST_LEAVES:
                del self._sides[next(iter(self._sides))]
        return side

    def _made(self, host: str) -> ssl.SSLContext:
        leaf = self._signed(
            _name("Muniment, recording"),
            self._leaf_key.public_key(),
            lambda builder: _as_leaf(builder, host, self._key.public_key()),
        )
        secret = self._leaf_key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(ALPN)
        _load(context, secret + leaf.public_bytes(PEM) + self.pem)
        return context

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        extended: Callable[[x509.CertificateBuilder], x509.CertificateBuilder],
    ) -> x509.Certificate:
        now, serial = self._clock.now(), self._serial
        self._serial += 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(serial)
            .not_valid_before(now - AGE)
            .not_valid_after(now + AGE)
        )
        return extended(builder).sign(self._key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _as_root(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    own = x509.SubjectKeyIdentifier.from_public_key(key)
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    return (
        builder.add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(own, critical=False)
    )


def _as_leaf(
    builder: x509.CertificateBuilder, host: str, issuer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    issued = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    return (
        builder.add_extension(constraints, critical=True)
        .add_extension(
            x509.SubjectAlternativeName([_alternative(host)]), critical=False
        )
        .add_extension(server, critical=False)
        .add_extension(issued, critical=False)
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Hand a certificate over by a file of the memory: Python takes nothing else."""
    file = os.memfd_create("certificate")
    try:
        os.write(file, pem)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
