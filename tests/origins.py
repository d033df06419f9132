"""Servers for tests: small, on loopback, and honest about what they sent.

``Origin`` answers each path with bytes or with a function that speaks on the socket
itself, and remembers every connection, request and byte.
"""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Self

from pipeline.capture.address import Policy
from pipeline.capture.net import Network
from pipeline.capture.tls import tls_context

LOOPBACK = ipaddress.ip_network("127.0.0.1/32")
Answer = bytes | Callable[[socket.socket], None]


def answer(body: bytes, kind: str = "text/html", status: str = "200 OK", **fields: str) -> bytes:  # fmt: skip
    """Write a whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]  # fmt: skip
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", status=status, Location=location)


class Origin:
    """A server on 127.0.0.1 that lives as long as its ``with`` block."""

    def __init__(
        self,
        pages: Mapping[str, Answer] | Callable[[str], Answer],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.pages = pages
        self._tls = tls
        self.requests: list[str] = []
        self.heads: list[bytes] = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def shut(self) -> None:
        """Listen no more, if ever it did: nobody is there."""
        self._listening.close()

    def __exit__(self, *_: object) -> None:
        # shutdown wakes accept(); close alone would leave it waiting
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(
                target=self._serve, args=(connection,), daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(20)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            while head := self._head(connection):
                path = head.split(b" ", 2)[1].decode()
                self.heads.append(head)
                self.requests.append(path)
                found = self._page(path)
                if callable(found):
                    found(connection)
                    return
                connection.sendall(found)
        except OSError:
            pass
        finally:
            connection.close()

    def _page(self, path: str) -> Answer:
        if callable(self.pages):
            return self.pages(path)
        return self.pages.get(path) or answer(b"not here", status="404 Not Found")

    @staticmethod
    def _head(connection: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := connection.recv(65536)):
                return b""
            head += data
        return head


class FixedClock:
    """A clock for tests: time moves when someone sleeps, ids count upwards."""

    def __init__(self) -> None:
        self.at = datetime(2026, 9, 24, 3, 17, tzinfo=UTC)
        self.seconds = 0.0
        self.slept: list[float] = []
        self._ids = 0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self.at + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float, until: threading.Event | None = None) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def uuid(self) -> str:
        with self._lock:
            self._ids += 1
            return f"{self._ids:08x}-0000-4000-8000-000000000000"

    def nonce(self, size: int) -> bytes:
        return b"\x07" * size

    def jitter(self) -> float:
        return 0.5


trust = cache(tls_context)  # to read a hundred roots takes longer than most tests


def network(
    clock: object = None,
    *,
    allow: tuple = (LOOPBACK,),
    cacert: Path | None = None,
    policy: Policy | None = None,
    **options: object,
) -> Network:
    """Open the door to loopback, and to nothing else; the caller closes it."""
    return Network(
        clock=clock or FixedClock(),
        policy=policy or Policy(allow=allow),
        tls=trust(cacert),
        **options,
    )
