"""What is told of a connection: names and answers, certificates, how they were checked.

Pure: a ``Contact`` in, a ``Connection`` and blocks of records out. What can't be
read in a stranger's certificate is left out, and its bytes are kept all the same.
cryptography is asked where there is a certificate, and not before.
"""

import base64
import textwrap
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice

from msgspec.structs import replace

from pipeline.capture.order import Contact
from pipeline.capture.tls import Handshake
from pipeline.fixity import digest_of
from pipeline.model import Certificate, Connection, LogTimestamp

PEM = "application/x-pem-file"  # RFC 8555's own type leaves no room for words
DNS = "text/dns"  # RFC 4027
VALID, INVALID = "valid", "invalid"
MOST_TOLD = 10  # certificates of a chain, SCTs; a stranger may send hundreds
LONGEST_NAME = 200  # characters, likewise


def connection_of(contact: Contact, *, number: int, seen: datetime) -> Connection:
    """Tell a connection as a value; ``seen`` is its first exchange's moment."""
    plain = Connection(
        number=number,
        started=contact.started or seen,
        host=contact.host,
        connect_to=contact.connect_to,
        asked=contact.asked,
        dns=contact.dns,
        dns_seconds=round(contact.dns_seconds, 6),
        ip=contact.ip,
        port=contact.port,
    )
    return plain if contact.handshake is None else _secured(plain, contact.handshake)


def _secured(plain: Connection, made: Handshake) -> Connection:
    return replace(
        plain,
        tls=made.version,
        cipher=made.cipher,
        alpn=made.alpn,
        verification=INVALID if made.error else VALID,
        error=made.error,
        detail=made.detail,
        root=certificate(made.root) if made.root else None,
        trusted_by=made.trusted_by,
        certificates=tuple(certificate(der) for der in made.chain[:MOST_TOLD]),
        is_leaf_only=made.is_leaf_only,
        scts=log_timestamps(made.chain[0]) if made.chain else (),
    )


@lru_cache(maxsize=256)
def certificate(der: bytes) -> Certificate:
    """Tell a certificate; of one that can't be read, the digest alone."""
    from cryptography import x509  # noqa: PLC0415 - plain HTTP never needs it

    bare = Certificate(digest=digest_of(der))
    try:
        read = x509.load_der_x509_certificate(der)
        return replace(
            bare,
            subject=_words(read.subject.rfc4514_string()),
            issuer=_words(read.issuer.rfc4514_string()),
            valid_from=read.not_valid_before_utc,
            valid_until=read.not_valid_after_utc,
        )
    except (ValueError, x509.InvalidVersion):
        return bare


@lru_cache(maxsize=256)
def log_timestamps(leaf: bytes) -> tuple[LogTimestamp, ...]:
    """Read the SCTs within a certificate (RFC 6962, 3.3); () where there are none.

    Those that come in the handshake or in an OCSP answer Python does not tell.
    """
    from cryptography import x509  # noqa: PLC0415 - plain HTTP never needs it

    try:
        read = x509.load_der_x509_certificate(leaf).extensions
        listed = read.get_extension_for_class(
            x509.PrecertificateSignedCertificateTimestamps
        )
        return tuple(
            LogTimestamp(log=sct.log_id.hex(), at=sct.timestamp.replace(tzinfo=UTC))
            for sct in islice(listed.value, MOST_TOLD)
        )
    except (
        ValueError,
        OverflowError,  # a moment that no calendar holds
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.UnsupportedGeneralNameType,
    ):
        return ()


# ------------------------------------------------------------------- for their records


def chain_block(told: Connection, chain: tuple[bytes, ...]) -> bytes:
    """Write a chain as PEM, and before it in words what came of checking it.

    RFC 7468, 2: parsers ignore what stands before a certificate.
    """
    lines = [
        "Certificates as the server sent them, the leaf first.",
        *(["Only the leaf was to be had."] if told.is_leaf_only else []),
        f"Verification: {told.verification}",
    ]
    if told.error:
        lines.append(f"Error: {told.error}, {told.detail}")
    if told.root is not None:
        lines.append(f"Root: {told.root.digest} {told.root.subject}")
        lines.append(f"Trusted by: {told.trusted_by}")
    for der in chain:
        each = certificate(der)
        lines += ["", f"Subject: {each.subject}", f"Issuer: {each.issuer}"]
        lines += _armoured(der)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _armoured(der: bytes) -> list[str]:
    """Write a certificate in the lines of RFC 7468, 3."""
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return ["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"]


def _words(name: str) -> str:
    """Make a stranger's name safe to stand on a line before a certificate."""
    line = "".join(char if char.isprintable() else " " for char in name)
    return line[:LONGEST_NAME].replace("-----", "- - -")


def lookup_block(told: Connection) -> bytes:
    """Write the answers to a name as a master file has them (RFC 1035, 5.1)."""
    lines = ["; as the system's resolver told them, which keeps the times to live"]
    name = told.asked.rstrip(".") + "."
    for answer in told.dns:
        kind = "AAAA" if ":" in answer else "A"
        lines.append(f"{name} IN {kind} {answer.partition('%')[0]}")
    return "".join(f"{line}\r\n" for line in lines).encode()
