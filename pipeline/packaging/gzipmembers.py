"""gzip members one by one, as strictly as we write them (RFC 1952, RFC 1951).

Ours are canonical: a head that tells nothing, deflate whose idle bits are zero, a CRC
and a size that are right, no byte between two members. What is otherwise is a fault.
Bytes are taken in pieces, so memory stays small whatever a member inflates to.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from pipeline.fixity import PIECE
from pipeline.warc import GZIP_HEAD, crc32

MAGIC = GZIP_HEAD[:2]
TRAILER = 8  # CRC and ISIZE, RFC 1952 2.3.1
STORED_HEAD = 5  # with LEN and NLEN, RFC 1951 3.2.4
WINDOW = 1 << 15  # how far back deflate may point
FIRST_LOOK = 1 << 14  # most members are small: showing more would be copied for nothing
LARGEST_LOOK = 1 << 18
SCANNED = 1 << 16
GLIMPSE = 512  # bytes enough to tell whether a member holds a record


class Fault(NamedTuple):
    """Something wrong, before it is known in which file: a code and words."""

    code: str
    message: str


class TornError(Exception):
    """A member that cannot be followed to its end."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(code, message)


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes | memoryview, most: int, /) -> bytes: ...


def _fast_inflate() -> tuple[Callable[[], _Inflater], tuple[type[Exception], ...]]:
    """Choose isal where it is installed; both raise errors of their own."""
    try:
        from isal import isal_zlib  # noqa: PLC0415 - optional
    except ImportError:
        return (lambda: zlib.decompressobj(-15)), (zlib.error,)
    error: type[Exception] = isal_zlib.error  # type: ignore[assignment] # its stub errs
    return (lambda: isal_zlib.decompressobj(-15)), (zlib.error, error)


new_inflater, INFLATE_ERRORS = _fast_inflate()


class Stream:
    """Bytes that come in pieces, looked at before they are taken."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = iter(pieces)
        self._held: bytes | memoryview = b""
        self._at = 0
        self.place = 0  # how many bytes were taken

    def look(self, most: int) -> memoryview:
        """Show the next bytes, as many as are at hand; none at the end."""
        if self._at == len(self._held):
            self._more()
        return memoryview(self._held)[self._at : self._at + most]

    def peek(self, size: int) -> bytes:
        """Show so many bytes, fewer only at the end."""
        while len(self._held) - self._at < size and self._more():
            pass
        return bytes(self._held[self._at : self._at + size])

    def skip(self, size: int) -> None:
        """Take what was looked at."""
        self._at += size
        self.place += size

    def take(self, size: int) -> bytes:
        """Take so many bytes, fewer only at the end."""
        data = self.peek(size)
        self.skip(len(data))
        return data

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Take so many bytes, fewer only at the end, as they are at hand."""
        while size and (piece := self.look(size)):
            self.skip(len(piece))
            size -= len(piece)
            yield piece

    def until(self, mark: bytes, most: int) -> bytes:
        """Take bytes up to a mark and with it; none where it does not come soon."""
        size = 1 << 12
        while True:
            data = self.peek(size)
            end = data.find(mark) + len(mark)
            if end >= len(mark):
                self.skip(end)
                return data[:end]
            if len(data) < size or size >= most:
                return b""
            size *= 4

    def _more(self) -> bool:
        piece = next((one for one in self._pieces if len(one)), b"")
        rest = self._held[self._at :]
        self._held = b"".join((rest, piece)) if len(rest) else piece
        self._at = 0
        return len(piece) > 0


class Member:
    """One gzip member, from its head to its CRC; ``faults`` grow as it is read."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._crc = 0
        self._size = 0
        self._is_odd = False
        self.start = stream.place
        self.faults: list[Fault] = []

    @property
    def length(self) -> int:
        """Count the bytes taken so far."""
        return self._stream.place - self.start

    def pieces(self) -> Iterator[bytes]:
        """Yield what the member holds. Raises TornError."""
        self._read_head()
        for piece in self._deflated():
            self._crc = crc32(piece, self._crc)
            self._size += len(piece)
            yield piece
        self._read_trailer()

    def _read_head(self) -> None:
        head = self._stream.peek(len(GZIP_HEAD))
        if not head.startswith(MAGIC[: len(head)]):
            where = f"no gzip member starts at offset {self.start}"
            raise TornError("warc-junk", f"{where}: found {head.hex(' ')}")
        if len(head) < len(GZIP_HEAD):
            raise self._cut()
        if head != GZIP_HEAD:
            self._say("warc-gzip", f"its head is {head.hex()}, not {GZIP_HEAD.hex()}")
        self._stream.skip(len(head))

    def _deflated(self) -> Iterator[bytes]:
        """Yield what deflate holds: stored blocks by hand, for all their bits."""
        gathered: list[bytes] = []
        size, window, is_last = 0, b"", False
        while not is_last:
            is_last, block = self._stored_block()
            if block is None:
                yield b"".join(gathered)
                yield from self._squeezed(window)
                return
            gathered.append(block)
            window = (block if len(block) >= WINDOW else window + block)[-WINDOW:]
            size += len(block)
            if size >= PIECE:
                yield b"".join(gathered)
                gathered, size = [], 0
        yield b"".join(gathered)

    def _stored_block(self) -> tuple[bool, bytes | None]:
        """Take a stored block; tell whether it is the last, None if it is no such."""
        head = self._stream.peek(STORED_HEAD)
        if head and head[0] & 0b110:
            return False, None
        if len(head) < STORED_HEAD:
            raise self._cut()
        size = int.from_bytes(head[1:3], "little")
        if size ^ 0xFFFF != int.from_bytes(head[3:], "little"):
            raise self._damaged("the length of a stored block is garbled")
        if head[0] > 1 and not self._is_odd:  # RFC 1951 3.2.4: ignored by readers
            self._is_odd = True
            self._say("warc-gzip", "idle bits before a stored block are not zero")
        self._stream.skip(STORED_HEAD)
        block = self._stream.take(size)
        if len(block) < size:
            raise self._cut()
        return bool(head[0] & 1), block

    def _squeezed(self, window: bytes) -> Iterator[bytes]:
        inflater: _Inflater = new_inflater()
        if window:
            inflater = zlib.decompressobj(-15, zdict=window)
        look = FIRST_LOOK
        while not inflater.eof:
            given = self._stream.look(look)
            try:
                piece = inflater.decompress(given, PIECE)
            except INFLATE_ERRORS as error:
                raise self._damaged(f"it cannot be inflated ({error})") from error
            left = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            self._stream.skip(len(given) - len(left))
            if not (piece or inflater.eof or len(left) < len(given)):
                raise self._cut()
            yield piece
            look = min(look * 4, LARGEST_LOOK)

    def _read_trailer(self) -> None:
        trailer = self._stream.take(TRAILER)
        if len(trailer) < TRAILER:
            raise self._cut()
        crc = int.from_bytes(trailer[:4], "little")
        size = int.from_bytes(trailer[4:], "little")
        if crc != self._crc:
            self._say("warc-damaged", f"its CRC is {crc:08x}, found {self._crc:08x}")
        if size != self._size & 0xFFFFFFFF:
            self._say("warc-damaged", f"it tells {size} bytes, found {self._size}")

    # ------------------------------------------------------------------- words

    def _say(self, code: str, message: str) -> None:
        where = f"the member at offset {self.start}"
        self.faults.append(Fault(code, f"{where}: {message}"))

    def _cut(self) -> TornError:
        where = f"the member at offset {self.start}"
        return TornError("warc-truncated", f"the file ends within {where}")

    def _damaged(self, message: str) -> TornError:
        where = f"the member at offset {self.start}"
        return TornError("warc-damaged", f"{where}: {message}")


def seek_member(stream: Stream) -> None:
    """Take bytes up to the next member that holds a record, or to the end."""
    while held := stream.peek(SCANNED):
        at = held.find(GZIP_HEAD)
        if at < 0:
            is_end = len(held) < SCANNED
            stream.skip(len(held) if is_end else len(held) - len(GZIP_HEAD) + 1)
            continue
        stream.skip(at)
        if _holds_record(stream.peek(GLIMPSE)):
            return
        stream.skip(1)


def _holds_record(member: bytes) -> bool:
    """Tell from its first bytes: a page may hold gzip members as well."""
    try:
        start = zlib.decompressobj(-15).decompress(member[len(GZIP_HEAD) :], 5)
    except zlib.error:
        return False
    return start == b"WARC/"
