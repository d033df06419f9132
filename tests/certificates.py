"""A throw-away certificate authority, for servers on loopback."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Authority:
    """A throw-away certificate authority and the servers it vouches for."""

    path: Path
    folder: Path
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def made(cls, folder: Path) -> Self:
        """Make one, and the file with its root."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = cls(folder / "roots.pem", folder, key)
        root = made.certificate("")
        made.path.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        return made

    def stranger(self) -> Self:
        """Return another that nobody was told to trust, here under the same name."""
        folder = self.folder / "stranger"
        folder.mkdir(exist_ok=True)
        return type(self).made(folder)

    def server(
        self, name: str, *, expired: bool = False, alone: bool = False
    ) -> ssl.SSLContext:
        file = self.folder / f"{name}-{expired}-{alone}.pem"
        alternative = None if alone else x509.DNSName(name)  # the root itself
        leaf = self.certificate(name, alternative, expired=expired)
        secret = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write_bytes(secret + leaf.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def certificate(self, name, alternative=None, *, expired=False) -> x509.Certificate:
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        subject = issuer if alternative is None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])  # fmt: skip
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=-1 if expired else 10))
            .add_extension(
                x509.BasicConstraints(alternative is None, None), critical=True
            )
        )
        if alternative is not None:
            names = x509.SubjectAlternativeName([alternative])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())
