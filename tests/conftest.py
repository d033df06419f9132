"""What several tests stand on."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import origins
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import settings

settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")


@dataclass
class Authority:
    """A throw-away certificate authority and the servers it vouches for."""

    path: Path
    folder: Path
    key: ec.EllipticCurvePrivateKey

    def server(self, name: str, *, expired: bool = False) -> ssl.SSLContext:
        file = self.folder / f"{name}-{expired}.pem"
        leaf = self.certificate(name, x509.DNSName(name), expired=expired)
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


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    made = Authority(
        folder / "roots.pem", folder, ec.generate_private_key(ec.SECP256R1())
    )
    root = made.certificate("")
    made.path.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    return made


@pytest.fixture
def network():
    """Make networks that reach loopback alone, and hang up at the end."""
    made = []

    def make(*arguments, **options):
        made.append(origins.network(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Third-party recordings and suites, which stand beside the checkout."""
    import os

    place = Path(
        os.environ.get("MUNIMENT_SHARED", Path(__file__).parents[2] / "shared")
    )
    if not place.is_dir():
        pytest.skip(f"third-party data is not at {place}; set MUNIMENT_SHARED")
    return place
