"""A throw-away timestamping authority on loopback, with good and bad manners.

It answers by ``openssl ts -reply``; what it signs is worth nothing outside a test.
"""

import http.server
import itertools
import shutil
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.sealing.token import Authority, roots_of

OPENSSL = shutil.which("openssl")
SERIALS = itertools.count(1)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


class House:
    """A root and the certificates it gives out."""

    def __init__(
        self,
        name: str,
        start: float = -1,
        end: float = 9 * 365 * 24,
        *,
        is_wide: bool = False,
    ) -> None:
        self.name, self.span, self.is_wide = name, (start, end), is_wide
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = self.certified(f"{name} root", self.key, ca=True)

    def certified(
        self, subject, key, *, ca=False, purposes=(), critical=True, span=None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        start, end = (now + timedelta(hours=h) for h in span or self.span)
        usage = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(f"{self.name} root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage
                ),
                critical=True,
            )
        )
        if ca and self.is_wide:
            # openssl puts embedded certificates last, and DER wants the longest there.
            pad = [x509.DNSName(f"pad{n}.example") for n in range(20)]
            builder = builder.add_extension(
                x509.SubjectAlternativeName(pad), critical=False
            )
        if purposes:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage(purposes), critical=critical
            )
        return builder.sign(self.key, hashes.SHA256())


class Clockmaker:
    """The files that ``openssl ts`` needs to answer as an authority."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        house: House | None = None,
        span: tuple[float, float] | None = None,
        purposes=(ExtendedKeyUsageOID.TIME_STAMPING,),
        critical: bool = True,
        embed: bytes = b"",
    ) -> None:
        folder.mkdir(parents=True)
        self.folder, self.name = folder, name
        self.house = house or House(name)
        key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.house.certified(
            f"{name} TSA", key, purposes=purposes, critical=critical, span=span
        )
        (folder / "root.pem").write_bytes(pem(self.house.root))
        (folder / "tsa.pem").write_bytes(pem(self.certificate))
        (folder / "tsa.key").write_bytes(secret(key))
        (folder / "serial").write_text(f"{next(SERIALS):04X}\n")
        (folder / "embed.pem").write_bytes(embed)
        certs = f"certs={folder}/embed.pem\n" if embed else ""
        (folder / "cnf").write_text(
            f"[tsa]\ndefault_tsa=t\n[t]\nserial={folder}/serial\n"
            f"signer_cert={folder}/tsa.pem\nsigner_key={folder}/tsa.key\n{certs}"
            "signer_digest=sha256\ndefault_policy=1.3.6.1.4.1.99999.1\n"
            "digests=sha256,sha384,sha512\naccuracy=secs:1\ness_cert_id_alg=sha256\n"
        )

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    def answer(self, query: bytes) -> bytes:
        asked = self.folder / f"query-{threading.get_ident()}"
        asked.write_bytes(query)
        made = subprocess.run(
            [
                "openssl",
                "ts",
                "-reply",
                "-config",
                self.folder / "cnf",
                "-queryfile",
                asked,
            ],
            capture_output=True,
            timeout=20,
            check=True,
        )
        return made.stdout

    def authority(self, url: str = "http://127.0.0.1:9/") -> Authority:
        return Authority(name=self.name, url=url, roots=roots_of(self.name, self.root))


class Timekeeper(http.server.ThreadingHTTPServer):
    """A clockmaker on loopback. ``mode`` may be changed while it runs."""

    daemon_threads = True

    def __init__(self, maker: Clockmaker) -> None:
        self.maker, self.mode, self.asked = maker, "ok", 0
        self.go_on = threading.Event()  # ends a slow answer
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/tsr"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def authority(self) -> Authority:
        return self.maker.authority(self.url)

    def stop(self) -> None:
        self.go_on.set()
        self.shutdown()
        self.server_close()
        self._thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Timekeeper

    def do_POST(self) -> None:
        query = self.rfile.read(int(self.headers["Content-Length"]))
        mode, self.server.asked = self.server.mode, self.server.asked + 1
        if mode == "slow":
            self.server.go_on.wait(20)
        status = {"down": 503}.get(mode, 200)
        body = b"<html>" if mode in {"garbage", "down", "slow"} else b""
        if not body:
            body = self.server.maker.answer(query)
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # whoever asked went away
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass
