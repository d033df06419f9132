"""RFC 3161: queries, and what their answers are worth (pure).

``judge`` believes an answer only when everything holds: it was granted, it answers
this query (nonce), over these bytes, its one signer bound by digest, with a certificate
that is for timestamping, critically and for nothing else, under a root that was pinned
beforehand. Certificates that come with a token are links of a chain, never its end.
rfc3161-client checks signature and chain at the token's own time; before 1.0.9 it could
be led to believe what a token brings along, and a test of ours holds it to that.
"""

import base64
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from pipeline.clock import stamp
from pipeline.errors import UsageError
from pipeline.fixity import digest_of
from pipeline.model import Digest
from pipeline.sealing import der, signature
from pipeline.sealing.keys import fingerprint, subject

NONCE_BYTES = 16
TST_INFO = "1.2.840.113549.1.9.16.1.4"
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END", re.DOTALL)
CHAIN = "verifying certificates"  # in rfc3161-client's words


class Authority(Struct, frozen=True, kw_only=True):
    """A timestamping authority, and the roots that are pinned for it."""

    name: str
    url: str
    roots: tuple[x509.Certificate, ...]


class Token(Struct, frozen=True, kw_only=True):
    """What a timestamp proves: that some bytes existed at a time, by whose word."""

    authority: str
    at: datetime
    signer: str  # the subject of the certificate that signed
    fingerprint: Digest  # of that certificate
    expires: datetime  # when that certificate does


class Proof(Struct, frozen=True, kw_only=True):
    """A time that was accepted, and on which basis."""

    token: Token
    basis: str

    def told(self) -> dict[str, str]:
        """Tell the proof as JSON."""
        return {
            "authority": self.token.authority,
            "at": stamp(self.token.at),
            "by": self.token.signer,
            "certificate": str(self.token.fingerprint),
            "expires": stamp(self.token.expires),
            "basis": self.basis,
        }


def roots_of(name: str, told: Path | Digest) -> tuple[x509.Certificate, ...]:
    """Load an authority's pinned roots: of a PEM file, or one of certifi's bundle.

    Raises UsageError where there is none.
    """
    if isinstance(told, Digest):
        return (_in_bundle(name, told),)
    wanted = f"expected the roots of the timestamping authority {name} as PEM"
    try:
        return tuple(x509.load_pem_x509_certificates(told.read_bytes()))
    except OSError as error:
        raise UsageError(f"{told}: {error.strerror}; {wanted}") from error
    except ValueError as error:
        raise UsageError(f"{told}: {wanted} certificates, found: {error}") from error


def _in_bundle(name: str, wanted: Digest) -> x509.Certificate:
    import certifi  # noqa: PLC0415 - only where a root is named by its digest

    for block in PEM.findall(Path(certifi.where()).read_bytes()):
        data = base64.b64decode(block)
        if digest_of(data) == wanted:  # others of the bundle may not even parse
            return x509.load_der_x509_certificate(data)
    raise UsageError(
        f"seal.authority {name}: no root of the installed certifi bundle has the "
        f"digest {wanted}; name a file of PEM certificates instead"
    )


def query(data: bytes, nonce: bytes) -> bytes:
    """Write a timestamp query over bytes: SHA-512, a nonce, certificates wanted."""
    imprint = der.sequence(
        der.sequence(der.oid(signature.DIGESTS["sha512"]), der.tlv(der.NULL)),
        der.tlv(der.OCTETS, hashlib.sha512(data).digest()),
    )
    return der.sequence(
        der.integer(1),
        imprint,
        der.integer(int.from_bytes(nonce, "big")),
        der.tlv(der.BOOLEAN, b"\xff"),
    )


def nonce_of(asked: bytes, data: bytes) -> int:
    """Take the nonce of a query of ours over these bytes. Raises ValueError."""
    parts = der.read(asked).parts(der.SEQUENCE)
    if len(parts) != 4:  # noqa: PLR2004 - version, imprint, nonce, certReq
        raise ValueError("it is no query that Muniment makes")
    nonce = parts[2].number()
    if query(data, nonce.to_bytes(NONCE_BYTES + 1, "big")) != asked:
        raise ValueError("it asks about other bytes than these")
    return nonce


def judge(answer: bytes, data: bytes, *, asked: bytes, authority: Authority) -> Token:
    """Say what an answer proves of the bytes. Raises ValueError with what is wrong."""
    from rfc3161_client import (  # noqa: PLC0415 - only where there is a token
        VerificationError,
        VerifierBuilder,
        decode_timestamp_response,
    )

    nonce = nonce_of(asked, data)
    try:
        response = decode_timestamp_response(answer)
    except ValueError as error:
        raise ValueError("the answer is no timestamp response") from error
    if response.status != 0:  # a rejection decodes, and has no token
        words = "; ".join(response.status_string) or "no reason given"
        raise ValueError(f"refused with status {response.status} ({words})")
    # RFC 3161 2.4.2: the answer as it came, nothing behind it.
    signed = signature.read(_token_in(answer))
    signature.require_bound(signed)
    require_timestamping(signed.certificate)
    # Lists of their own: the builder's lists would otherwise be shared.
    verifier = VerifierBuilder(nonce=nonce, roots=list(authority.roots)).build()
    try:
        verifier.verify_message(response, data)
    except (VerificationError, ValueError) as error:
        why = str(error)
        if CHAIN in why:  # what follows is OpenSSL's own stack
            why = (
                f"no chain to a root pinned for {authority.name}, or no sound signature"
            )
        raise ValueError(f"not to be trusted: {why}") from error
    return Token(
        authority=authority.name,
        at=response.tst_info.gen_time.astimezone(UTC),
        signer=subject(signed.certificate),
        fingerprint=fingerprint(signed.certificate),
        expires=signed.certificate.not_valid_after_utc,
    )


def chain_of(answer: bytes) -> bytes:
    """Tell the certificates that came with a token as PEM, its signer's first.

    They help others to verify, as ``-untrusted``. Raises ValueError.
    """
    signed = signature.read(_token_in(answer))
    first = signed.certificate.public_bytes(serialization.Encoding.DER)
    others = (one for one in signed.certificates if one != first)
    return b"".join(map(_pem, (first, *others)))


def _pem(certificate: bytes) -> bytes:
    text = base64.b64encode(certificate).decode()
    lines = (text[at : at + 64] for at in range(0, len(text), 64))
    body = "\n".join(lines)
    head, tail = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return f"{head}\n{body}\n{tail}\n".encode()


def certificate_of(answer: bytes) -> x509.Certificate:
    """Take the certificate that a token says it was signed under, believed by nobody.

    Raises ValueError.
    """
    return signature.read(_token_in(answer)).certificate


def peek(answer: bytes) -> tuple[datetime, str]:
    """Tell the time and the signer that a token claims, believed by nobody.

    Raises ValueError.
    """
    from rfc3161_client import decode_timestamp_response  # noqa: PLC0415 - as above

    at = decode_timestamp_response(answer).tst_info.gen_time.astimezone(UTC)
    return at, subject(certificate_of(answer))


def _token_in(answer: bytes) -> bytes:
    parts = der.read(answer).parts(der.SEQUENCE)
    if len(parts) != 2:  # noqa: PLR2004 - status and token
        raise ValueError("the answer holds no token")
    return parts[1].raw


def require_timestamping(certificate: x509.Certificate) -> None:
    """Require a certificate for timestamping alone, critically (RFC 3161 2.3).

    Raises ValueError.
    """
    found = signature.extension_of(certificate, x509.ExtendedKeyUsage)
    if found is None or not found.critical:
        raise ValueError("its certificate does not say, critically, that it timestamps")
    if list(found.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise ValueError("its certificate is not for timestamping alone")
