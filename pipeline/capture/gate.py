"""The door on loopback by which a browser of ours comes in: who may, and what it asks.

A ``Gate`` listens on 127.0.0.1 and lets in whoever knows its token. Each connection has
a thread and an ``Attendant`` of its own, who is given one request after another, read
whole and strictly. What is answered, and from where, is the attendant's to decide: the
recording proxy asks the network, playback a WARC.
"""

import base64
import hmac
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, Self

from msgspec import Struct
from msgspec.structs import replace

from pipeline.capture.asking import (
    BAD,
    END_OF_HEAD,
    LONGEST_HEAD,
    TOO_LARGE,
    TOO_MANY_FIELDS,
    Asking,
    Place,
    RefusedError,
    Unchunked,
    asking,
    rechunked,
)
from pipeline.capture.authority import Authority
from pipeline.clock import Clock
from pipeline.errors import PipelineError

READ = 1 << 16
USER = "muniment"
SHAKE = b"\x16"  # how a TLS handshake begins, RFC 8446, 5.1
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSING = 5.0  # seconds that connections are given to end in
WORDS = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    407: "Proxy Authentication Required",
    413: "Content Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
OURS = "Muniment-Proxy"  # the field that marks an answer as none of the origin's


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where a browser finds the door, what it says there, and whom it must trust."""

    server: str  # http://127.0.0.1:PORT
    username: str
    password: str
    spki: str  # Base64 of the SHA-256 of the authority's public key
    authority: bytes  # the root, as PEM


class Manners(Struct, frozen=True, kw_only=True):
    """How many may come in at once, and how long and how large they may speak."""

    most: int = 256  # connections at once
    timeout: float = 30.0  # seconds for a head, a handshake, a body that stalls
    idle: float = 600.0  # seconds that a connection may say nothing
    largest: int = 32 * 2**20  # bytes of a request's body


class Attendant(Protocol):
    """Who answers the requests of one connection, one after another."""

    def attend(self, one: Asking, visitor: "Visitor") -> bool:
        """Answer a request; tell whether the connection may go on."""

    def cut(self) -> None:
        """End from another thread what is under way."""

    def leave(self) -> None:
        """Let go of everything: the connection has ended."""


def own_answer(status: int, why: str, *fields: str) -> bytes:
    """Write an answer of the proxy's own, short, plain and marked as such."""
    body = f"{why}\n".encode()
    lines = (
        f"HTTP/1.1 {status} {WORDS[status]}",
        f"{OURS}: {WORDS[status]}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        *fields,
    )
    return "\r\n".join((*lines, "", "")).encode() + body


LAST = "Connection: close"


class Visitor:
    """One connection of a browser: its requests in, the answers out."""

    def __init__(self, sock: socket.socket, manners: Manners, clock: Clock) -> None:
        self._socket = sock
        self._manners = manners
        self._clock = clock
        self._waiting = b""  # bytes that were read ahead
        self.within: Place | None = None  # the end of the tunnel
        self.is_gone = False

    def head(self) -> Asking | None:
        """Read the head of the next request; None where there is no other.

        Raises RefusedError for what is none, OSError where the connection fails.
        """
        if not self._waiting:
            self._socket.settimeout(self._manners.idle)
            self._waiting = self._socket.recv(READ)
        since = self._clock.monotonic()
        while (end := self._waiting.find(END_OF_HEAD)) < 0:
            if len(self._waiting) > LONGEST_HEAD:
                raise RefusedError(TOO_MANY_FIELDS, "the head of the request is large")
            if not (data := self._read(since)):
                return None
            self._waiting += data
        end += len(END_OF_HEAD)
        if end > LONGEST_HEAD:
            raise RefusedError(TOO_MANY_FIELDS, "the head of the request is large")
        head, self._waiting = self._waiting[:end], self._waiting[end:]
        return asking(head, self.within)

    def whole(self, one: Asking) -> Asking:
        """Read the body of a request. Raises what ``head`` does."""
        if one.length == 0:
            return one
        if (one.length or 0) > self._manners.largest:
            raise RefusedError(TOO_LARGE, f"a body of {one.length} bytes")
        if not self._waiting and one.value("expect").lower() == "100-continue":
            self.send(GO_ON)
        if one.length is None:
            content = self._chunked()
            return replace(one, content=content, body=rechunked(content))
        content = self._counted(one.length)
        return replace(one, content=content, body=content)

    def _counted(self, length: int) -> bytes:
        pieces, due = [], length
        while due:
            data = self._waiting or self._more()
            pieces.append(data[:due])
            self._waiting = data[due:]
            due -= len(pieces[-1])
        return b"".join(pieces)

    def _chunked(self) -> bytes:
        body = Unchunked(self._manners.largest)
        data, self._waiting = self._waiting or self._more(), b""
        while not body.feed(data):
            data = self._more()
        self._waiting = body.rest
        return body.content

    def _more(self) -> bytes:
        if not (data := self._read(self._clock.monotonic())):
            raise RefusedError(BAD, "the body of the request ended early")
        return data

    def _read(self, since: float) -> bytes:
        """Read what comes within one patience, counted from a moment."""
        left = since + self._manners.timeout - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket.recv(READ)

    def enter(self, end: Place, authority: Authority) -> None:
        """Open a tunnel: TLS in the name of its other end, or none if none is spoken.

        Raises RefusedError for what came too early, OSError where a handshake fails.
        """
        if self._waiting:
            raise RefusedError(BAD, "spoke before the tunnel was open")
        self.send(ESTABLISHED)
        self._socket.settimeout(self._manners.timeout)
        if self._socket.recv(1, socket.MSG_PEEK) != SHAKE:  # ws: asks for a tunnel, too
            self.within = replace(end, scheme="http")
            return
        side = authority.side(end.host)
        self._socket = side.wrap_socket(
            self._socket, server_side=True, do_handshake_on_connect=False
        )
        assert isinstance(self._socket, ssl.SSLSocket), "made by a context"
        self._socket.do_handshake()
        self.within = end

    def send(self, data: bytes) -> None:
        """Pass bytes on, to nobody where the other side has hung up."""
        if self.is_gone:
            return
        try:
            self._socket.settimeout(self._manners.timeout)
            self._socket.sendall(data)
        except OSError:
            self.is_gone = True
            self.cut()

    @property
    def connection(self) -> socket.socket:
        """Return the connection itself, for what is no HTTP."""
        return self._socket

    def cut(self) -> None:
        """End the connection, from any thread."""
        with suppress(OSError):  # SSLSocket's own would forget its keys in a read
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Gate:
    """A door on 127.0.0.1, open as long as its ``with`` block."""

    def __init__(
        self, clock: Clock, welcome: Callable[[], Attendant], manners: Manners
    ) -> None:
        self._clock = clock
        self._welcome = welcome
        self._manners = manners
        self._token = clock.nonce(24).hex()
        self._authority = Authority(clock)
        self._guard = threading.Lock()
        self._open: dict[threading.Thread, tuple[Visitor, Attendant]] = {}
        self._is_closed = False
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.turned_away = 0  # connections that came when there were too many
        self.failure: PipelineError | None = None  # the first that ended a connection
        port = self._listening.getsockname()[1]
        self.endpoint = Endpoint(
            server=f"http://127.0.0.1:{port}",
            username=USER,
            password=self._token,
            spki=self._authority.spki,
            authority=self._authority.pem,
        )
        told = base64.b64encode(f"{USER}:{self._token}".encode()).decode()
        self._expected = f"Basic {told}".encode()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="gate", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let nobody in, end every connection, and wait for them, not for long."""
        with self._guard:
            self._is_closed = True
            ending = dict(self._open)
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listening.close()
        for visitor, attendant in ending.values():
            attendant.cut()
            visitor.cut()
        until = self._clock.monotonic() + CLOSING
        for thread in ending:
            thread.join(max(0.0, until - self._clock.monotonic()))

    # ------------------------------------------------------------ the connections

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        visitor = Visitor(sock, self._manners, self._clock)
        with self._guard:
            is_full = len(self._open) >= self._manners.most
            if self._is_closed or is_full:
                self.turned_away += 1
            else:
                attendant = self._welcome()
                thread = threading.Thread(
                    target=self._serve,
                    args=(visitor, attendant),
                    name="tunnel",
                    daemon=True,
                )
                self._open[thread] = visitor, attendant
                thread.start()
                return
        visitor.send(own_answer(503, "too many connections at once", LAST))
        visitor.close()

    def _serve(self, visitor: Visitor, attendant: Attendant) -> None:
        try:
            self._converse(visitor, attendant)
        except RefusedError as error:
            visitor.send(own_answer(error.status, error.why, LAST))
        except OSError:
            pass  # it hung up, said nothing in time, or spoke no TLS
        except PipelineError as error:
            self.failure = self.failure or error
        finally:
            attendant.leave()
            visitor.close()
            with self._guard:
                del self._open[threading.current_thread()]

    def _converse(self, visitor: Visitor, attendant: Attendant) -> None:
        while (one := visitor.head()) is not None:
            if visitor.within is None and not self._is_known(one):
                if not self._challenge(one, visitor):
                    return
            elif one.is_connect:
                visitor.enter(one.place, self._authority)
            elif not attendant.attend(visitor.whole(one), visitor) or one.is_last:
                return

    def _is_known(self, one: Asking) -> bool:
        told = one.value("proxy-authorization").encode("latin-1")
        return hmac.compare_digest(told, self._expected)

    def _challenge(self, one: Asking, visitor: Visitor) -> bool:
        """Ask for the token; tell whether the connection may go on."""
        asked = 'Proxy-Authenticate: Basic realm="muniment"'
        is_over = one.length != 0  # the body of a stranger is not read
        fields = (asked, LAST) if is_over else (asked,)
        visitor.send(own_answer(407, "this proxy serves one visit alone", *fields))
        return not is_over
