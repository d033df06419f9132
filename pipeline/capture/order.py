"""What is asked of the network and what comes back, as values. Pure.

An ``Order`` names one request and how long to wait for it; a ``Reply`` is what came of
it, a ``Contact`` what is known of the connection it came over. URLs are absolute and
in their serialised form.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from pipeline.capture.tls import Handshake
from pipeline.capture.wire import Message
from pipeline.errors import UsageError

END_OF_PLACE = re.compile("[/?]")


class Patience(Struct, frozen=True, kw_only=True):
    """How long to wait and how much to take."""

    timeout: float = 30.0  # seconds to connect, to complete the head, of any silence
    ends_at: float = float("inf")  # the deadline, on the monotonic clock
    max_size: int = 2 * 2**30  # bytes of one response


class Order(Struct, frozen=True, kw_only=True):
    """One request to be made. The URL is absolute, in its serialised form."""

    url: str
    headers: Mapping[str, str]
    folder: Path  # where a large response is spooled
    method: str = "GET"
    patience: Patience = Patience()
    delay: float = 0.0  # seconds since the last exchange with the host
    secrets: tuple[bytes, ...] = ()  # masked in what is kept of the request
    body: bytes = b""  # of a POST
    takes_invalid: bool = False  # goes on where a certificate fails, and says so
    head: bytes = b""  # as a browser wrote it, to go out so; "" = made of the fields
    upgrades: bool = False  # a 101 ends what is HTTP of the connection


class Reply(Struct, frozen=True, kw_only=True):
    """What came of an order: a message, or the failure in its place."""

    url: str
    method: str = "GET"
    started: datetime
    seconds: float = 0.0
    message: Message | None = None  # None where no connection was made
    failure: str = ""  # a reason code of a failed verdict, where nothing came
    detail: str = ""
    contact: "Contact"


class Listener(Protocol):
    """Whoever hears a response while it is recorded, and how much more of it."""

    def hear(self, data: bytes) -> None:
        """Take bytes as they came over the wire."""

    @property
    def ends_at(self) -> float:
        """When nobody waits any longer, on the monotonic clock."""

    @property
    def room(self) -> int:
        """How many bytes more are wanted."""


class UnreachableError(Exception):
    """No connection was made: a reason code, why in words, and how far it came."""

    def __init__(self, reason: str, detail: str, contact: "Contact") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.contact = contact


class Contact(Struct, frozen=True, kw_only=True, eq=False):
    """What is known of one connection."""

    started: datetime | None = None
    host: str = ""  # as the URL names it
    connect_to: str = ""  # the operator's rule that led elsewhere
    asked: str = ""  # the name that was resolved; "" where it was a number
    dns: tuple[str, ...] = ()
    dns_seconds: float = 0.0
    ip: str = ""
    port: int = 0
    tls: str = ""  # as WARC-Protocol names it: tls/1.3
    cipher: str = ""
    tls_invalid: str = ""  # what is wrong with the certificate, in words
    handshake: Handshake | None = None


def unreached(
    order: Order, error: UnreachableError, started: datetime, seconds: float
) -> Reply:
    """Tell a connection that was not made as what came of an order."""
    return Reply(
        url=order.url,
        method=order.method,
        started=started,
        seconds=seconds,
        failure=error.reason,
        detail=error.detail,
        contact=error.contact,
    )


@lru_cache(maxsize=64)  # one exchange asks four times
def place_of(url: str) -> tuple[str, str, int]:
    """Take scheme, host and port from a serialised URL."""
    scheme, netloc, _ = _parts(url)
    return _place(scheme, netloc)


def _parts(url: str) -> tuple[str, str, str]:
    """Take a serialised URL apart: scheme, host and port, what is asked of them."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    netloc = END_OF_PLACE.split(rest, 1)[0]
    return scheme, netloc, rest[len(netloc) :]


@lru_cache(maxsize=1024)
def _place(scheme: str, netloc: str) -> tuple[str, str, int]:
    parts = urlsplit(f"{scheme}://{netloc}")
    port = parts.port or (443 if scheme == "https" else 80)
    return scheme, parts.hostname or "", port


def request_head(order: Order) -> bytes:
    """Write a request as it goes out (RFC 9112, 3)."""
    if order.head:
        return order.head
    _, netloc, target = _parts(order.url)
    fields = {"Host": netloc.rpartition("@")[2], **order.headers}
    lines = [f"{order.method} {target} HTTP/1.1"]
    if order.body:
        fields["Content-Length"] = str(len(order.body))
    lines += [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join([*lines, "", ""])
    breaks = (head.count("\r"), head.count("\n"), head.count("\0"))
    if breaks != (len(lines) + 1, len(lines) + 1, 0):
        raise UsageError(f"{order.url}: a header or the address holds a line break")
    return head.encode()
