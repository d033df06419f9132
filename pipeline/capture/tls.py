"""The handshake: whom a run trusts, what a server sent, what came of checking it.

The chain is kept as the server sent it, certificate by certificate. A check that fails
is told by its name; whether the connection is used all the same is ``net``'s to decide.
Opens no connection: it speaks over one that ``net`` opened.
"""

import socket
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import certifi
from msgspec import Struct

from pipeline.errors import UsageError

ALPN = ["http/1.1"]  # HTTP/2 frames have no WARC form
PUBLIC = f"certifi {certifi.__version__}"
CACERT = "--cacert"
ANOTHER = "met again, the server showed another chain, which is the one kept"

Chain = tuple[bytes, ...]  # DER, the leaf first

# OpenSSL's names for what may be wrong with a chain (x509_vfy.h, X509_V_ERR_...).
ERRORS = {
    2: "UNABLE_TO_GET_ISSUER_CERT",
    7: "CERT_SIGNATURE_FAILURE",
    9: "CERT_NOT_YET_VALID",
    10: "CERT_HAS_EXPIRED",
    18: "DEPTH_ZERO_SELF_SIGNED_CERT",
    19: "SELF_SIGNED_CERT_IN_CHAIN",
    20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    22: "CERT_CHAIN_TOO_LONG",
    23: "CERT_REVOKED",
    24: "NO_ISSUER_PUBLIC_KEY",
    25: "PATH_LENGTH_EXCEEDED",
    26: "INVALID_PURPOSE",
    27: "CERT_UNTRUSTED",
    28: "CERT_REJECTED",
    34: "UNHANDLED_CRITICAL_EXTENSION",
    47: "PERMITTED_VIOLATION",
    48: "EXCLUDED_VIOLATION",
    62: "HOSTNAME_MISMATCH",
    64: "IP_ADDRESS_MISMATCH",
    66: "EE_KEY_TOO_SMALL",
    67: "CA_KEY_TOO_SMALL",
    68: "CA_MD_TOO_WEAK",
    79: "INVALID_CA",
    85: "MISSING_AUTHORITY_KEY_IDENTIFIER",
    86: "MISSING_SUBJECT_KEY_IDENTIFIER",
}


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Whom a run trusts: certifi's roots, and those in a file beside them.

    Read when the first server needs it, which takes as long as fifty requests.
    """

    cacert: Path | None = None

    @cached_property
    def verifying(self) -> ssl.SSLContext:
        """Check certificates. Raises UsageError where the file holds none."""
        context = ssl.create_default_context(cafile=certifi.where())
        # Python 3.13 became stricter than servers are; one certificate, one result
        context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST
        context.set_alpn_protocols(ALPN)
        try:
            if self.cacert is not None:
                context.load_verify_locations(cafile=self.cacert)
        except OSError as error:  # ssl.SSLError is one
            reason = error.strerror or error
            raise UsageError(
                f"--cacert {self.cacert}: expected PEM certificates, found {reason}"
            ) from error
        return context

    @cached_property
    def recording(self) -> ssl.SSLContext:
        """Take any certificate; for ``tls: record`` alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(ALPN)
        return context

    @cached_property
    def _public(self) -> frozenset[bytes]:
        certificates = ssl.create_default_context(cafile=certifi.where())
        return frozenset(certificates.get_ca_certs(binary_form=True))

    def origin(self, root: bytes) -> str:
        """Say where a root that was trusted comes from."""
        return PUBLIC if self.cacert is None or root in self._public else CACERT


class Handshake(Struct, frozen=True, kw_only=True):
    """What a handshake told of the other end."""

    version: str  # as WARC-Protocol names it: tls/1.3
    cipher: str
    alpn: str  # "" where the server chose none
    chain: Chain  # as sent
    is_leaf_only: bool = False  # no more was to be had of this Python
    root: bytes = b""  # DER, where the chain was verified and Python tells
    trusted_by: str = ""
    error: str = ""  # OpenSSL's name for why it is not valid
    detail: str = ""  # the same in words


def tls_context(cacert: Path | None = None) -> Trust:
    """Trust certifi's roots, and those in a file beside them.

    Raises UsageError where the file holds no certificate, before anything is asked.
    """
    trust = Trust(cacert=cacert)
    if cacert is not None:
        assert trust.verifying
    return trust


class InvalidError(Exception):
    """A certificate failed its check: OpenSSL's word on it, and the chain it was."""

    def __init__(self, error: ssl.SSLCertVerificationError, chain: Chain) -> None:
        super().__init__(error.verify_message)
        self.code = error.verify_code
        self.detail = error.verify_message
        self.chain = chain


def shake_hands(
    plain: socket.socket, context: ssl.SSLContext, host: str
) -> ssl.SSLSocket:
    """Shake hands over a connection, which is closed where that fails.

    Raises InvalidError where the certificate fails, OSError or ValueError for the rest.
    """
    sock = context.wrap_socket(
        plain, server_hostname=host, do_handshake_on_connect=False
    )
    try:
        sock.do_handshake()
    except ssl.SSLCertVerificationError as error:
        with sock:  # which still knows what it was shown
            raise InvalidError(error, _chain(sock, "get_unverified_chain")) from error
    except (OSError, ValueError):
        sock.close()
        raise
    return sock


def told(sock: ssl.SSLSocket, trust: Trust, failed: InvalidError | None) -> Handshake:
    """Tell a handshake that was made, and why an earlier one with a check was not."""
    version, cipher = sock.version() or "", sock.cipher()
    chain = _chain(sock, "get_unverified_chain")
    leaf = sock.getpeercert(binary_form=True) or b""
    verified = () if failed else _chain(sock, "get_verified_chain")
    root = verified[-1] if verified else b""
    return Handshake(
        version=version.lower().replace("tlsv", "tls/"),
        cipher=cipher[0] if cipher else "",
        alpn=sock.selected_alpn_protocol() or "",
        chain=chain or ((leaf,) if leaf else ()),
        is_leaf_only=not chain,
        root=root,
        trusted_by=trust.origin(root) if root else "",
        error=error_name(failed.code) if failed else "",
        detail=_detail(failed, chain) if failed else "",
    )


def _detail(failed: InvalidError, chain: Chain) -> str:
    """Say what failed, and whether it is what the content came with."""
    is_same = failed.chain == chain
    return failed.detail if is_same else f"{failed.detail}; {ANOTHER}"


def error_name(code: int) -> str:
    """Name a verification error as OpenSSL does."""
    return ERRORS.get(code, f"X509_V_ERR {code}")


def _chain(sock: socket.socket, method: str) -> Chain:
    """Ask for a chain, DER, the leaf first; () where this Python has no way to.

    Public since Python 3.13 alone; since 3.10 the object beneath the socket knows it,
    and without it no certificate but the leaf could be kept.
    """
    ask: Any = getattr(sock, method, None)
    if ask is None:
        ask = getattr(getattr(sock, "_sslobj", None), method, None)
    found = (ask() if ask is not None else None) or ()
    return tuple(one if isinstance(one, bytes) else _der(one) for one in found)


def _der(certificate: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.public_bytes())  # PEM is its default
