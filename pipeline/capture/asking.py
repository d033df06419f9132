"""What a browser or a program asks of a proxy: one request, read strictly. Pure.

A request that two readers could read in two ways (RFC 9112, 11.2) is refused: two
lengths, a length beside chunks, a bare line feed, a folded line. What goes on to the
origin are the lines as they were written, in their order and spelling, without those
that were meant for the proxy.
"""

import re

from msgspec import Struct

from pipeline.capture.client import LONGEST_URL
from pipeline.capture.wire import Chunks

LONGEST_HEAD = 128 * 1024
MOST_FIELDS = 300
BAD, TOO_LONG, TOO_LARGE, TOO_MANY_FIELDS, NO_SUCH_WAY = 400, 414, 413, 431, 501
END_OF_HEAD = b"\r\n\r\n"
ABSOLUTE = re.compile(r"(http)://([^/?#]+)([/?][^#]*)?", re.ASCII)
REQUEST_LINE = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]+) HTTP/(1\.[01])", re.ASCII
)
FIELD = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0-\x08\x0a-\x1f\x7f]*)", re.ASCII
)
PLACE = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?")
LENGTH = re.compile(r"\d{1,18}", re.ASCII)
LARGEST_PORT = 65535
FOR_THE_PROXY = ("proxy-authorization", "proxy-connection")


class RefusedError(Exception):
    """A request that is not carried out: a status, and why in words."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Place(Struct, frozen=True, kw_only=True):
    """A scheme, a host and a port."""

    scheme: str
    host: str  # without brackets, in lower case
    port: int

    @property
    def origin(self) -> str:
        """Write it as the beginning of a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return f"{self.scheme}://{host}{'' if usual else f':{self.port}'}"


class Asking(Struct, frozen=True, kw_only=True):
    """One request: what is asked, and how it goes on to whom it is asked of."""

    method: str
    place: Place
    url: str  # absolute; of a CONNECT the origin alone
    version: str
    fields: tuple[tuple[str, str], ...]  # as written
    head: bytes  # as it goes on
    length: int | None = None  # of the body; None where it comes in chunks
    body: bytes = b""  # as it goes on, its framing included
    content: bytes = b""  # the body itself

    def value(self, name: str) -> str:
        """Return a field's first value, or ""."""
        return next((v for n, v in self.fields if n.lower() == name), "")

    def options(self, name: str) -> frozenset[str]:
        """Return the items of a field that is a list, in lower case."""
        values = ",".join(v for n, v in self.fields if n.lower() == name)
        return frozenset(part.strip().lower() for part in values.split(","))

    @property
    def is_connect(self) -> bool:
        """Tell whether a tunnel is asked for."""
        return self.method == "CONNECT"

    @property
    def upgrades(self) -> bool:
        """Tell whether another protocol is asked for, such as WebSocket."""
        return bool(self.value("upgrade")) and "upgrade" in self.options("connection")

    @property
    def is_last(self) -> bool:
        """Tell whether its connection is to end with it."""
        if "close" in self.options("connection"):
            return True
        return self.version == "1.0" and "keep-alive" not in self.options("connection")


def asking(head: bytes, within: Place | None) -> Asking:
    """Read the head of a request, within a tunnel or for a proxy.

    Raises RefusedError for what is malformed or may be read in two ways.
    """
    lines = head.removesuffix(END_OF_HEAD).decode("latin-1").split("\r\n")
    line = REQUEST_LINE.fullmatch(lines[0])
    if line is None:
        raise RefusedError(BAD, "this is no request line of HTTP/1.1")
    if len(lines) - 1 > MOST_FIELDS:
        raise RefusedError(TOO_MANY_FIELDS, f"more than {MOST_FIELDS} header fields")
    fields = tuple(map(_field, lines[1:]))
    method, told, version = line[1], line[2], line[3]
    place, target = _aim(method, told, within)
    url = place.origin if method == "CONNECT" else place.origin + target
    if len(url) > LONGEST_URL:
        raise RefusedError(TOO_LONG, f"an address of {len(url)} characters")
    _agree(fields, place)
    kept = [
        text
        for text, (name, _) in zip(lines[1:], fields, strict=True)
        if name.lower() not in FOR_THE_PROXY
    ]
    first = f"{method} {target} HTTP/{version}"
    return Asking(
        method=method,
        place=place,
        url=url,
        version=version,
        fields=fields,
        head="\r\n".join([first, *kept, "", ""]).encode("latin-1"),
        length=_length(fields),
    )


def place(scheme: str, told: str, port: int | None = None) -> Place:
    """Read a host and a port. Raises RefusedError for anything else."""
    found = PLACE.fullmatch(told)
    usual = port or (443 if scheme == "https" else 80)
    number = int(found[2]) if found and found[2] else usual
    if found is None or not 0 < number <= LARGEST_PORT:
        raise RefusedError(BAD, "this is no host and port")
    host = found[1].strip("[]").lower()
    return Place(scheme=scheme, host=host, port=number)


def _field(line: str) -> tuple[str, str]:
    found = FIELD.fullmatch(line)  # a folded line or a space before the colon is none
    if found is None:
        raise RefusedError(BAD, "this is no header field")
    return found[1], found[2].rstrip(" \t")


def _aim(method: str, told: str, within: Place | None) -> tuple[Place, str]:
    """Say whom a request is for, and what is asked of them."""
    if method == "CONNECT":
        if within is not None:
            raise RefusedError(BAD, "a tunnel within a tunnel")
        return place("https", told), told
    if within is not None:
        if not told.startswith("/"):
            raise RefusedError(BAD, "within a tunnel a path is asked for")
        return within, told
    found = ABSOLUTE.fullmatch(told)
    if found is None:
        raise RefusedError(BAD, "of a proxy an absolute http: address is asked")
    path = found[3] or "/"
    return place("http", found[2]), path if path.startswith("/") else f"/{path}"


def _agree(fields: tuple[tuple[str, str], ...], aim: Place) -> None:
    """Let a Host name that host alone to which the request goes."""
    hosts = [value for name, value in fields if name.lower() == "host"]
    if len(hosts) != 1:
        raise RefusedError(BAD, f"one Host is due, found {len(hosts)}")
    named = place(aim.scheme, hosts[0])
    if named.host != aim.host or (":" in hosts[0] and named.port != aim.port):
        raise RefusedError(BAD, "Host names another host than the request is sent to")


def _length(fields: tuple[tuple[str, str], ...]) -> int | None:
    """Say how long a body is, None where chunks tell (RFC 9112, 6.3)."""
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    codings = [value for name, value in fields if name.lower() == "transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise RefusedError(BAD, "the length of the body is told twice")
    if codings:
        if codings[0].lower() != "chunked":
            raise RefusedError(NO_SUCH_WAY, "no transfer coding but chunked is read")
        return None
    if not lengths:
        return 0
    if not LENGTH.fullmatch(lengths[0]):
        raise RefusedError(BAD, "Content-Length is no length")
    return int(lengths[0])


class Unchunked:
    """The body of a request that comes in chunks, as it comes."""

    def __init__(self, most: int) -> None:
        self._chunks = Chunks()
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self.rest = b""  # what came behind it

    def feed(self, data: bytes) -> bool:
        """Take bytes; tell whether the body is whole.

        Raises RefusedError where they are no chunks, or too many.
        """
        for piece in self._chunks.feed(data):
            self._size += len(piece)
            if self._size > self._most:
                raise RefusedError(TOO_LARGE, f"a body of over {self._most} bytes")
            self._pieces.append(bytes(piece))
        if self._chunks.is_broken or self._chunks.flood:
            raise RefusedError(BAD, "the chunks of the body are broken")
        if self._chunks.excess:
            self.rest = data[-self._chunks.excess :]
        return self._chunks.is_done

    @property
    def content(self) -> bytes:
        """Return what the chunks hold."""
        return b"".join(self._pieces)


def rechunked(content: bytes) -> bytes:
    """Write a body as one chunk: one reading, whoever reads it (RFC 9112, 7.1)."""
    chunk = b"%x\r\n%s\r\n" % (len(content), content) if content else b""
    return chunk + b"0\r\n\r\n"
