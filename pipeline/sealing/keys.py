"""Signing identities: made, read, told by fingerprint.

An identity is one PEM file with a private key (ECDSA P-256) and its certificate, and
any certificates above that. Only its owner may read the file. A machine key, made where
nobody named another, says in its certificate that it is one: it stands for a machine
and names no person. The key never lies below the archive, which is copied about.
"""

import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from threading import get_ident

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from pipeline.errors import KeyFileError, StorageError
from pipeline.model import Digest

FILE_NAME = "signing.pem"
MACHINE = "Muniment machine key"  # the common name of a key that names no person
LASTS = timedelta(days=20 * 365)
LARGEST = 1 << 20
PRIVATE = re.compile(
    rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL
)
ENCRYPTED = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")
LONGEST_NAME = 64  # characters; X.520, ub-common-name


class Identity(Struct, frozen=True, kw_only=True):
    """A private key with the certificate that it signs under, and those above it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def fingerprint(self) -> Digest:
        """What names the identity: the SHA-256 of its certificate."""
        return fingerprint(self.certificate)


def fingerprint(certificate: x509.Certificate) -> Digest:
    """Digest a certificate, as ``openssl x509 -fingerprint -sha256`` does."""
    return Digest("sha256", certificate.fingerprint(hashes.SHA256()).hex())


def told(certificate: x509.Certificate) -> str:
    """Tell whose a certificate is, and what it is worth, in one line."""
    name = subject(certificate)
    if certificate.issuer != certificate.subject:
        issuer = certificate.issuer.rfc4514_string()
        return f"{name}, certified by {issuer}"
    if is_machine(certificate):
        return f"{name}, self-signed: a machine's, not a person's"
    return f"{name}, self-signed: nobody else vouches for the name"


def subject(certificate: x509.Certificate) -> str:
    """Tell the subject of a certificate on one line."""
    return certificate.subject.rfc4514_string() or "(no name)"


def is_machine(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate says that it is a machine's own."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(one.value == MACHINE for one in names)


def require_apart(path: Path, archive: Path) -> None:
    """Refuse a key below the archive, which is copied about. Raises KeyFileError."""
    if path.resolve().is_relative_to(archive.resolve()):
        raise KeyFileError(
            f"{path}: a signing key may not lie in the archive {archive}, which is "
            "copied about; move it to your configuration folder and set [seal] key"
        )


def read_or_make(path: Path, *, now: datetime, serial: bytes) -> tuple[Identity, bool]:
    """Read an identity; where there is no file, make a machine key, and say so.

    Raises KeyFileError for a file that is no key, StorageError where none can be made.
    """
    if not os.path.lexists(path):
        try:
            return make(path, now=now, serial=serial), True
        except KeyFileError:
            if not path.exists():
                raise
            # Another run made one since we looked, and both seal with the same.
    return read(path), False


def read(path: Path) -> Identity:
    """Read an identity from its file. Raises KeyFileError, which says what is wrong."""
    data = _content(path)
    if any(mark in data for mark in ENCRYPTED):
        raise _wrong(path, "it is encrypted", "decrypt it (openssl pkey), mode 0600")
    found = PRIVATE.findall(data)
    if len(found) != 1:
        raise _wrong(path, f"it holds {len(found)} private keys", "give it exactly one")
    try:
        key = serialization.load_pem_private_key(data, password=None)
        certificates = x509.load_pem_x509_certificates(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _wrong(path, f"not readable as PEM: {error}", "bring it back") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise _wrong(
            path, "it is no ECDSA key on P-256", "make one: muniment keys init"
        )
    own = [one for one in certificates if one.public_key() == key.public_key()]
    if not own:
        raise _wrong(path, "no certificate in it is of its key", "add the certificate")
    chain = tuple(one for one in certificates if one is not own[0])
    return Identity(key=key, certificate=own[0], chain=chain)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(LARGEST)
    except OSError as error:
        raise _wrong(path, f"{error.strerror}", "name a key file") from error
    if mode & 0o077:
        raise _wrong(path, f"others may read it (mode {mode & 0o777:04o})", "chmod 600")
    return data


def _wrong(path: Path, found: str, do: str) -> KeyFileError:
    return KeyFileError(
        f"{path}: expected a signing key with its certificate, found: {found}; {do}"
    )


def make(
    path: Path,
    *,
    now: datetime,
    serial: bytes,
    name: str = MACHINE,
    organisation: str = "",
) -> Identity:
    """Make an identity and write it, for its owner's eyes alone; replace none.

    ``serial`` is 16 random bytes. Raises KeyFileError where a file stands there or the
    name can't be certified, StorageError where it can't be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        certificate = _certified(key, _name(name, organisation), now, serial)
    except ValueError as error:
        raise KeyFileError(
            f"{name}: cannot be a certificate's name: {error}"
        ) from error
    pem, der = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(pem, der, serialization.NoEncryption())
    _write_secret(path, secret + certificate.public_bytes(pem))
    return Identity(key=key, certificate=certificate)


def _name(name: str, organisation: str) -> x509.Name:
    given = {NameOID.COMMON_NAME: name, NameOID.ORGANIZATION_NAME: organisation}
    return x509.Name(
        [
            x509.NameAttribute(oid, text[:LONGEST_NAME])
            for oid, text in given.items()
            if text
        ]
    )


def _certified(
    key: ec.EllipticCurvePrivateKey, name: x509.Name, now: datetime, serial: bytes
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(serial, "big") >> 1 or 1)  # RFC 5280 4.1.2.2
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LASTS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _write_secret(path: Path, data: bytes) -> None:
    """Write a file that nobody else may read, whole and on disk, or not at all."""
    waiting = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.at(path.parent, error) from error
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(waiting, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(waiting, path)  # refused where something stands there
        finally:
            waiting.unlink()
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} stands already, and a key is never replaced; name another file"
        ) from error
    except OSError as error:
        raise StorageError.at(path, error) from error
