"""One HTTP/1.1 exchange, kept byte for byte as it crosses the wire.

Sans I/O: a ``Recording`` is fed the bytes sent and the bytes received before any parser
sees them, follows the framing itself, digests as bytes pass, and ends as a ``Message``.
It never raises on a malformed message; it says what was wrong. No byte is lost or
changed, what came too much included. RFC 9112 throughout.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import IO

from msgspec import Struct, field

from pipeline.errors import StorageError
from pipeline.fixity import PIECE, WORTH_A_THREAD, alongside
from pipeline.model import Digest

IN_MEMORY = 1 << 20  # a block beyond this many bytes is spooled to disk
HEAD_LIMIT = 256 * 1024
LINE_LIMIT = 1000
INTERIM_LIMIT = 20
SWITCHING = 101  # the one 1xx that no other response follows
SIZE_LINE_LIMIT = 16 * 1024  # of a chunk-size line with its extensions

END_OF_HEAD = re.compile(rb"\n\r?\n")
STATUS_LINE = re.compile(r"HTTP/(\d\.\d)[ \t]+(\d{3})(?:[ \t][^\r\n]*)?\r?$", re.ASCII)
DIGITS = re.compile(r"\d{1,19}$", re.ASCII)
CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?$", re.DOTALL)


class Truncation(StrEnum):
    """Why a message ends early, in the words of WARC-Truncated (WARC 1.1, 5.15)."""

    LENGTH = "length"
    TIME = "time"
    DISCONNECT = "disconnect"


class Framing(StrEnum):
    """How the end of a payload is told (RFC 9112, 6.3)."""

    NONE = "no body"
    LENGTH = "content-length"
    CHUNKED = "chunked"
    CLOSE = "until close"


class Head(Struct, frozen=True, kw_only=True):
    """The head of a response, parsed for what it says, never for what is kept."""

    raw: bytes
    version: str = ""
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()  # names in lower case, values Latin-1
    first: Mapping[str, str] = field(default_factory=dict)  # of each name
    media_type: str = ""  # as named, without its parameters

    @property
    def is_interim(self) -> bool:
        """Tell whether the response proper is still to come (RFC 9110, 15.2)."""
        status = self.status
        return status in range(100, 200) and status != SWITCHING

    def values(self, name: str) -> tuple[str, ...]:
        """Return every value of a header, in order."""
        if name not in self.first:
            return ()
        return tuple(value for key, value in self.headers if key == name)

    def value(self, name: str) -> str:
        """Return a header's first value, or ""."""
        return self.first.get(name, "")


class Block:
    """Bytes in the order they came: in memory while few, on disk beyond 1 MiB."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chunks: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    def add(self, data: bytes) -> None:
        """Append. Raises StorageError where the spool can't be written."""
        self.size += len(data)
        if self._file is None:
            self._chunks.append(data)
            if self.size <= IN_MEMORY:
                return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - see close
                data, self._chunks = b"".join(self._chunks), []
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise StorageError.at(self._folder, error) from error

    def __iter__(self) -> Iterator[bytes]:
        if self._file is None:
            yield from self._chunks
            return
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def close(self) -> None:
        """Let go of the bytes."""
        self._chunks = []
        if self._file is not None:
            self._file.close()


class Chunks:
    """The chunked transfer coding taken off, piece by piece (RFC 9112, 7.1)."""

    def __init__(self) -> None:
        self._line = b""
        self._left = 0  # of this chunk's data; -1 while its closing line end is due
        self._in_trailer = False
        self._trailer = 0  # bytes of it
        self._fields = 0  # lines of it
        self.is_done = False
        self.is_broken = False
        self.flood = ""  # the anomaly, where more comes than any sender needs
        self.excess = 0  # bytes that came behind the end

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """Take bytes of the message body; yield the payload bytes among them."""
        view, at = memoryview(data), 0
        while at < len(data) and not self.is_broken and not self.flood:
            if self.is_done:
                self.excess += len(data) - at
                return
            if self._left > 0:
                piece = view[at : at + self._left]
                self._left = (self._left - len(piece)) or -1
                at += len(piece)
                yield piece
            else:
                at = self._read_line(data, at)

    def _read_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        stop = len(data) if end < 0 else end + 1
        self._line += data[at:stop]
        self._judge_length(stop - at, is_whole=end >= 0)
        if end >= 0 and not self.flood:
            line, self._line = self._line.rstrip(b"\r\n"), b""
            self._take_line(line)
        return stop

    def _judge_length(self, more: int, *, is_whole: bool) -> None:
        """Hold trailers to the limits of a head, and a chunk's line to its own."""
        if self._in_trailer:
            self._trailer, self._fields = self._trailer + more, self._fields + is_whole
            if self._trailer > HEAD_LIMIT or self._fields > LINE_LIMIT + 1:
                self.flood = "trailer-too-large"
        elif len(self._line) > SIZE_LINE_LIMIT:
            self.flood = "chunk-line-too-large"

    def _take_line(self, line: bytes) -> None:
        if self._in_trailer:
            self.is_done = not line
        elif self._left < 0:
            self._left, self.is_broken = 0, bool(line)
        elif size := CHUNK_SIZE.match(line):
            self._left = int(size[1], 16)
            self._in_trailer = self._left == 0
        else:
            self.is_broken = True


class Message(Struct, frozen=True, kw_only=True):
    """One exchange at rest: both blocks, their digests, what was noticed."""

    sent: bytes
    block: Block
    block_digest: Digest
    head: Head
    interim: tuple[bytes, ...]
    framing: Framing
    payload_digest: Digest
    payload_size: int
    truncated: str
    anomalies: tuple[str, ...]
    may_keep_alive: bool

    def payload(self) -> Iterator[bytes | memoryview]:
        """Yield the payload: transfer coding taken off, content coding left on."""
        due, chunks = self.payload_size, Chunks()
        for piece in _behind(self.block, len(self.head.raw)):
            parts: Iterable[bytes | memoryview]
            parts = chunks.feed(piece) if self.framing is Framing.CHUNKED else (piece,)
            for part in parts:
                if due > 0:
                    yield part[:due]
                due -= len(part)


def _behind(pieces: Iterable[bytes], skip: int) -> Iterator[bytes]:
    for piece in pieces:
        if skip < len(piece):
            yield piece[skip:]
        skip = max(0, skip - len(piece))


class Recording:
    """What is being sent and received in one exchange; ends as a ``Message``.

    ``secrets`` are masked at equal length in what is kept of the request. Where an
    upgrade was asked for and granted, what follows the head of the 101 is no HTTP, and
    none of the message.
    """

    def __init__(
        self,
        *,
        folder: Path,
        method: str = "GET",
        secrets: Iterable[bytes] = (),
        upgrades: bool = False,
    ) -> None:
        self._method = method
        self._upgrades = upgrades
        self._secrets = tuple(secrets)
        self._sent = b""
        self._waiting = b""  # bytes of a head that is not whole yet
        self._interim: list[bytes] = []
        self._head: Head | None = None
        self._block = Block(folder)
        self._block_hash = hashlib.sha256()
        self._payload_hash = hashlib.sha256()
        self._payload_size = 0
        self._framing = Framing.CLOSE
        self._due = 0
        self._chunks = Chunks()
        self._anomalies: dict[str, None] = {}  # a set that keeps its order
        self._truncated = ""
        self.is_complete = False

    @property
    def size(self) -> int:
        """Count the bytes received so far, interim heads included."""
        interim = sum(map(len, self._interim))
        return self._block.size + len(self._waiting) + interim

    @property
    def has_head(self) -> bool:
        """Tell whether the head of the response is whole."""
        return self._head is not None

    def sent(self, data: bytes) -> None:
        """Note bytes that went out."""
        self._sent += data

    def received(self, data: bytes) -> None:
        """Note bytes that came in."""
        if self._head is not None:
            self._body(data)
            return
        self._waiting += data
        while self._head is None and self._waiting and self._next_head():
            pass

    def closed(self) -> None:
        """Note an orderly close, which ends a body that nothing else ends."""
        if self._head is not None and self._framing is Framing.CLOSE:
            self.is_complete = True
        if self._framing is Framing.CHUNKED and not self._chunks.is_done:
            self._note("missing-last-chunk")
        self.end(Truncation.DISCONNECT)

    def end(self, why: Truncation) -> None:
        """Note that nothing more comes: a reset, a limit, or patience at its end."""
        if self._head is None:
            self._stop(why)
            self._take_head(self._parsed(self._waiting), b"")
        elif not self.is_complete:
            self._stop(why)

    def message(self) -> Message:
        """Close the recording and return it as a value."""
        assert self._head is not None, "end() comes first"
        sent = self._sent
        for secret in self._secrets:
            sent = sent.replace(secret, b"*" * len(secret))
        return Message(
            sent=sent,
            block=self._block,
            block_digest=Digest("sha256", self._block_hash.hexdigest()),
            head=self._head,
            interim=tuple(self._interim),
            framing=self._framing,
            payload_digest=Digest("sha256", self._payload_hash.hexdigest()),
            payload_size=self._payload_size,
            truncated=self._truncated,
            anomalies=tuple(self._anomalies),
            may_keep_alive=self._may_keep_alive(),
        )

    # ------------------------------------------------------------------ the head

    def _next_head(self) -> bool:
        """Take one head off the waiting bytes; tell whether another may follow."""
        waiting = self._waiting
        if not waiting.startswith(b"HTTP/"[: len(waiting)]):  # HTTP/0.9, or noise
            self._note("no-status-line")
            self._take_head(Head(raw=b""), waiting)
            return False
        end = END_OF_HEAD.search(waiting)
        if end is None or end.end() > HEAD_LIMIT:
            if len(waiting) > HEAD_LIMIT:
                self._note("header-too-large")
                self.end(Truncation.LENGTH)
            return False
        head = self._parsed(waiting[: end.end()])
        self._waiting = waiting[end.end() :]
        if head.is_interim:
            return self._take_interim(head)
        self._take_head(head, self._waiting)
        return False

    def _take_interim(self, head: Head) -> bool:
        self._interim.append(head.raw)
        if len(self._interim) > INTERIM_LIMIT:
            self._note("interim-flood")
            self._stop(Truncation.LENGTH)
            self._take_head(Head(raw=b""), self._waiting)
        return self._head is None

    def _take_head(self, head: Head, rest: bytes) -> None:
        self._head, self._waiting = head, b""
        self._block.add(head.raw)
        self._block_hash.update(head.raw)
        if head.raw.count(b"\n") > LINE_LIMIT + 2:
            self._note("too-many-headers")
            self._stop(Truncation.LENGTH)
        elif not self.is_complete:
            self._framing = self._framed_by(head)
            self.is_complete = self._framing is Framing.NONE or (
                self._framing is Framing.LENGTH and not self._due
            )
        if rest and not (self._upgrades and head.status == SWITCHING):
            self._body(rest)

    def _parsed(self, raw: bytes) -> Head:
        lines = raw.decode("latin-1").split("\n")
        if raw.count(b"\r\n") != len(lines) - 1:
            self._note("bare-lf")
        if b"\0" in raw:
            self._note("nul")
        status = STATUS_LINE.match(lines[0])
        if raw and not status:
            self._note("no-status-line")
        headers = self._headers(lines[1:])
        first = dict(reversed(headers))
        named = first.get("content-type", "").partition(";")[0]
        return Head(
            raw=raw,
            version=status[1] if status else "",
            status=int(status[2]) if status else None,
            headers=headers,
            first=first,
            media_type=named.strip().lower(),
        )

    def _headers(self, lines: list[str]) -> tuple[tuple[str, str], ...]:
        headers: list[tuple[str, str]] = []
        for line in lines:
            text = line.rstrip("\r")
            if not text:
                break
            name, colon, value = text.partition(":")
            bare = name.strip()
            if name[:1] in (" ", "\t") and headers:  # obs-fold, RFC 9112 5.2
                self._note("obs-fold")
                name, value = headers.pop()
                headers.append((name, f"{value} {text.strip()}"))
                continue
            if not colon or name != bare:
                self._note("header-junk")
            headers.append((bare.lower(), value.strip(" \t")))
        return tuple(headers)

    def _framed_by(self, head: Head) -> Framing:
        """Apply RFC 9112, 6.3, in its order."""
        if self._method == "HEAD" or head.status in (SWITCHING, 204, 304):
            return Framing.NONE
        codings = [c.strip().lower() for c in _listed(head, "transfer-encoding")]
        lengths = {text.strip() for text in _listed(head, "content-length")}
        if codings:
            if lengths:
                self._note("length-and-chunked")
            return Framing.CHUNKED if codings[-1] == "chunked" else Framing.CLOSE
        if not lengths:
            return Framing.CLOSE
        if len(lengths) > 1:
            self._note("two-lengths")
            return Framing.CLOSE
        text = lengths.pop()
        if not DIGITS.match(text):
            self._note("bad-length")
            return Framing.CLOSE
        self._due = int(text)
        return Framing.LENGTH

    # ------------------------------------------------------------------ the body

    def _body(self, data: bytes) -> None:
        self._block.add(data)
        if len(data) < WORTH_A_THREAD:
            self._block_hash.update(data)
            self._take_payload(data)
            return
        with alongside(self._block_hash, data):
            self._take_payload(data)

    def _take_payload(self, data: bytes) -> None:
        for piece in self._payload_in(data):
            self._payload_size += len(piece)
            self._payload_hash.update(piece)

    def _payload_in(self, data: bytes) -> Iterator[bytes | memoryview]:
        """Yield the payload among these bytes of a body, and notice its end."""
        if self._framing is Framing.CHUNKED:
            yield from self._chunks.feed(data)
            self.is_complete = self.is_complete or self._chunks.is_done
            if self._chunks.is_broken:
                self._note("bad-chunk")
            if self._chunks.flood:
                self._note(self._chunks.flood)
                self._stop(Truncation.LENGTH)
            if self._chunks.excess:
                self._note("overlong")
        elif self._framing is Framing.CLOSE:
            yield data
        else:
            mine = data if len(data) <= self._due else data[: self._due]
            self._due -= len(mine)
            self.is_complete = not self._due
            if len(mine) < len(data):
                self._note("overlong")
            yield mine

    def _note(self, anomaly: str) -> None:
        self._anomalies[anomaly] = None

    def _stop(self, why: Truncation) -> None:
        self._truncated = why
        self.is_complete = True

    def _may_keep_alive(self) -> bool:
        head = self._head
        if head is None or self._truncated or self._anomalies:
            return False
        if self._framing is Framing.CLOSE:
            return False
        options = {option.strip().lower() for option in _listed(head, "connection")}
        return "close" not in options and (
            head.version == "1.1" or "keep-alive" in options
        )


def _listed(head: Head, name: str) -> list[str]:
    """Return a header's values, comma-separated lists taken apart."""
    return [part for value in head.values(name) for part in value.split(",")]
