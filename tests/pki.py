"""A throw-away authority with an intermediate, and servers that show its certificates."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SCT_OID = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
NOW = datetime.now(UTC).replace(microsecond=0)


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def sct(log: bytes, milliseconds: int) -> bytes:
    """RFC 6962, 3.2: version, log, moment, no extensions, a signature."""
    signed = b"\x04\x03\x00\x04\xde\xad\xbe\xef"
    return b"\0" + log + milliseconds.to_bytes(8, "big") + b"\0\0" + signed


def sct_list(*scts: bytes) -> x509.UnrecognizedExtension:
    """RFC 6962, 3.3: a list with lengths, in an OCTET STRING."""
    inner = b"".join(len(one).to_bytes(2, "big") + one for one in scts)
    whole = len(inner).to_bytes(2, "big") + inner
    size = len(whole)
    if size < 0x80:  # X.690, 10.1: as short as may be
        told = bytes((size,))
    else:
        octets = (size.bit_length() + 7) // 8
        told = bytes((0x80 | octets,)) + size.to_bytes(octets, "big")
    return x509.UnrecognizedExtension(SCT_OID, b"\x04" + told + whole)


@dataclass
class Pki:
    """A root, an intermediate it vouches for, and leaves of the intermediate."""

    folder: Path

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = self.made("Test root", "Test root", is_ca=True)
        self.intermediate = self.made("Test intermediate", "Test root", is_ca=True)
        self.roots = self.folder / "pki-roots.pem"
        self.roots.write_bytes(self.root.public_bytes(PEM))

    def made(
        self, subject, issuer, *, is_ca=False, host="", days=(-10, 10), extra=()
    ) -> x509.Certificate:
        start, end = (NOW + timedelta(days=each) for each in days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        )
        if host:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        for extension in extra:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def leaf(self, host="localhost", **options) -> x509.Certificate:
        return self.made(host, "Test intermediate", host=host, **options)

    def self_signed(self, host="localhost") -> x509.Certificate:
        return self.made(host, host, host=host)

    def server(self, *chain: x509.Certificate) -> ssl.SSLContext:
        """A server that sends these certificates in this order."""
        file = self.folder / f"{chain[0].serial_number:x}.pem"
        secret = self.key.private_bytes(
            PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write_bytes(secret + b"".join(one.public_bytes(PEM) for one in chain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["http/1.1"])
        return context
