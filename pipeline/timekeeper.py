"""A throw-away timestamping authority on loopback, for the demo alone.

It answers by ``openssl ts -reply`` under a root that was made a moment ago and is
forgotten with it: what it signs proves nothing to anybody, and its name says so.
"""

import shutil
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.sealing.token import Authority, roots_of

LARGEST = 1 << 16  # bytes of a query
PATIENCE = 20  # seconds for openssl
ROOT = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 "
    "-keyout root.key -out root.pem -config cnf -extensions root -subj"
)
KEY = (
    "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
    "-keyout tsa.key -out tsa.csr -config cnf -subj"
)
CERTIFY = (
    "x509 -req -in tsa.csr -CA root.pem -CAkey root.key -days 3649 -set_serial 2 "
    "-extfile cnf -extensions tsa -out tsa.pem"
)
CNF = """\
[req]
distinguished_name=dn
[dn]
[root]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
[tsa]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=critical,timeStamping
[ts]
default_tsa=t
[t]
serial=serial
signer_cert=tsa.pem
signer_key=tsa.key
signer_digest=sha256
default_policy=1.3.6.1.4.1.99999.1
digests=sha512
accuracy=secs:1
ess_cert_id_alg=sha256
"""


def has_openssl() -> bool:
    """Tell whether there is an openssl to answer with."""
    return shutil.which("openssl") is not None


class Timekeeper:
    """An authority while it is entered: ``authority`` is how to ask and whom to trust.

    Raises OSError and subprocess.CalledProcessError where openssl won't do.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._place = tempfile.TemporaryDirectory()
        self.folder = Path(self._place.name)
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        (self.folder / "cnf").write_text(CNF)
        (self.folder / "serial").write_text("01\n")
        for command, role in zip((ROOT, KEY), ("root", "authority"), strict=True):
            subject = f"/CN=Throw-away {role} {self._name}, proves nothing"
            self._openssl(*command.split(), subject)
        self._openssl(*CERTIFY.split())
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._place.cleanup()

    @property
    def authority(self) -> Authority:
        """How the authority is configured."""
        url = f"http://127.0.0.1:{self._server.server_port}/tsr"
        roots = roots_of(self._name, self.folder / "root.pem")
        return Authority(name=self._name, url=url, roots=roots)

    def answer(self, query: bytes) -> bytes:
        """Answer a timestamp query."""
        with self._guard:
            (self.folder / "query").write_bytes(query)
            return self._openssl(
                "ts", "-reply", "-config", "cnf", "-section", "t", "-queryfile", "query"
            )

    def _openssl(self, *words: str) -> bytes:
        made = subprocess.run(  # noqa: S603 - our own words, no shell
            ["openssl", *words],  # noqa: S607 - wherever the system keeps it
            cwd=self.folder,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        return made.stdout


def _handler(keeper: Timekeeper) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = min(int(self.headers.get("Content-Length", 0)), LARGEST)
            answer = keeper.answer(self.rfile.read(size))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
