"""Tar, read with no way to be misunderstood.

ustar, GNU and pax, as honest programs write them. A head that two readers could take
for two things is a ``Fault``, as is whatever follows the end. Nothing is unpacked;
members come with a way to their bytes.
"""

import os
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from pipeline.packaging.members import Fault, Member, Pieces
from pipeline.packaging.names import show
from pipeline.packaging.tarball import BLOCK, LARGEST_OCTAL, NAME
from pipeline.packaging.walk import Entry, Kind

PIECE = 1 << 20  # bytes read at a time
HOLD = 1 << 16  # bytes taken from a gzip stream at a time
LARGEST_EXTENSION = 1 << 20  # bytes of pax records or of a long name
LONGEST_TAIL = 1 << 20  # zeros after the end


class Stream(Protocol):
    """The bytes of a tar, from first to last."""

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only where there are no more."""

    def skip(self, size: int) -> bool:
        """Pass over so many bytes and tell whether they were there."""


class Plain:
    """A file that is a tar as it stands."""

    def __init__(self, descriptor: int) -> None:
        self._file = descriptor
        self._size = os.fstat(descriptor).st_size
        self._at = 0

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only where there are no more."""
        data = os.pread(self._file, size, self._at)
        self._at += len(data)
        return data

    def skip(self, size: int) -> bool:
        """Pass over so many bytes and tell whether they were there."""
        self._at += size
        return self._at <= self._size


class Gunzipped:
    """A file that is a tar within gzip, of one gzip member or several."""

    def __init__(self, descriptor: int) -> None:
        self._file = descriptor
        self._at = 0
        self._inflate = _inflate()
        self._packed = b""
        self._held = b""

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only where there are no more. Raises Fault."""
        while len(self._held) < size and (piece := self._some()):
            self._held += piece
        data, self._held = self._held[:size], self._held[size:]
        return data

    def skip(self, size: int) -> bool:
        """Pass over so many bytes and tell whether they were there. Raises Fault."""
        while size and (piece := self.read(min(size, PIECE))):
            size -= len(piece)
        return not size

    def _some(self) -> bytes:
        """Return what comes next, or nothing at the end of the last gzip member."""
        while True:
            if self._inflate.eof:
                self._packed = self._inflate.unused_data or self._more()
                if not self._packed:
                    return b""
                self._inflate = _inflate()
            self._packed = self._packed or self._more()
            was_packed = bool(self._packed)
            if piece := self._inflated():
                return piece
            if not was_packed and not self._inflate.eof:
                raise Fault("the gzip stream is cut short")

    def _inflated(self) -> bytes:
        try:
            piece = self._inflate.decompress(self._packed, HOLD)
        except zlib.error as error:
            message = "the gzip stream is damaged, or junk follows it"
            raise Fault(f"{message}: {error}") from error
        self._packed = self._inflate.unconsumed_tail
        return piece

    def _more(self) -> bytes:
        data = os.pread(self._file, HOLD, self._at)
        self._at += len(data)
        return data


def _inflate() -> "zlib._Decompress":
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def is_tar(data: bytes) -> bool:
    """Tell whether a file that begins so is a tar."""
    return len(data) >= BLOCK and _checksum(data[:BLOCK]) == _stated(data[:BLOCK])


def members(stream: Stream) -> Iterator[Member]:
    """Yield what a tar holds, in order, each to be read before the next is asked for.

    Raises Fault for what is not as it should be.
    """
    while (found := _next(stream)) is not None:
        content = _Content(stream, found.size)
        yield Member(found, content.pieces)
        content.pass_over(found.path)
    _require_end(stream)


class _Content:
    """The bytes of the member at which a stream stands."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = -size % BLOCK

    def pieces(self) -> Pieces:
        while self._left:
            piece = self._stream.read(min(self._left, PIECE))
            if not piece:
                return  # said by pass_over
            self._left -= len(piece)
            yield piece

    def pass_over(self, path: bytes) -> None:
        if not self._stream.skip(self._left + self._padding):
            raise Fault("the archive ends within it: cut short", path=path)


class _Head(Struct, frozen=True, kw_only=True):
    """One block as it stands, its fields read."""

    name: bytes
    kind: bytes
    size: int | None  # nothing where the octal digits do not hold it
    link: bytes


_KINDS = {
    b"1": Kind.OTHER,
    b"2": Kind.LINK,
    b"3": Kind.CHARACTER,
    b"4": Kind.BLOCK,
    b"6": Kind.FIFO,
}


def _next(stream: Stream) -> Entry | None:
    """Read heads up to the next member's, whatever extends it included."""
    block = _read_head(stream)
    if block and block.kind == b"g":
        _harmless(_pax(_extension(stream, block)), "a global pax record")
        block = _read_head(stream)
    records: dict[bytes, bytes] = {}
    if block and block.kind == b"x":
        records = _pax(_extension(stream, block))
        block = _followed(stream)
    elif block and block.kind == b"L":
        long = _extension(stream, block)
        records = {b"GNU.longname": long.removesuffix(b"\0")}
        block = _followed(stream)
    return _entry(block, records) if block else None


def _followed(stream: Stream) -> _Head:
    block = _read_head(stream)
    if block is None:
        raise Fault("an extended head stands before no member")
    return block


def _entry(block: _Head, records: dict[bytes, bytes]) -> Entry:
    path, size = _named(block, records), _sized(block, records)
    if block.kind in _KINDS:
        detail = show(block.link)
        if block.kind == b"1":
            return Entry(path, Kind.LINK, detail=f"{detail} (a hard link)")
        return Entry(path, _KINDS[block.kind], detail=detail if block.link else "")
    if block.kind == b"5":
        if size:
            raise Fault("a folder that holds bytes", path=path)
        return Entry(path.removesuffix(b"/"), Kind.FOLDER)
    if block.kind not in (b"0", b"\0"):
        kind = show(block.kind)
        raise Fault(
            f"a member of the kind {kind!r}, sparse, in parts or odd", path=path
        )
    if path.endswith(b"/"):
        raise Fault("a file with a folder's name: readers differ", path=path)
    if block.link:
        raise Fault("a file that says where it links to", path=path)
    return Entry(path, Kind.FILE, size)


def _named(block: _Head, records: dict[bytes, bytes]) -> bytes:
    """Return a member's name, longer or wider than its head holds or just as there."""
    longer = records.get(b"GNU.longname", records.get(b"path"))
    if longer is None:
        return block.name
    if b"\0" in longer:
        raise Fault("a long name with NUL in it", path=longer)
    if longer.isascii() and len(longer) < NAME and longer != block.name:
        message = f"an extended head renames {show(block.name)!r}"
        raise Fault(f"{message}: readers differ", path=longer)
    return longer


def _sized(block: _Head, records: dict[bytes, bytes]) -> int:
    stated = records.get(b"size")
    if stated is None:
        if block.size is None:
            raise Fault("a size that is no number", path=block.name)
        return block.size
    if not re.fullmatch(rb"[0-9]{1,18}", stated):
        raise Fault("a pax size that is no number", path=block.name)
    size = int(stated)
    if size != block.size and size <= LARGEST_OCTAL:
        message = f"two sizes, {block.size} and {size}: readers differ"
        raise Fault(message, path=block.name)
    return size


def _extension(stream: Stream, block: _Head) -> bytes:
    size = block.size
    if size is None or size > LARGEST_EXTENSION:
        message = f"an extended head of more than {LARGEST_EXTENSION:,} bytes"
        raise Fault(f"{message}, a limit of this reader", code="limit")
    data = stream.read(size)
    if len(data) < size or not stream.skip(-size % BLOCK):
        raise Fault("the archive ends within an extended head: cut short")
    return data


# ------------------------------------------------------------------------ pax records

_RECORD = re.compile(rb"([1-9][0-9]{0,7}) ([^=\0]+)=")
_MEANT = (b"path", b"size")
_HARMLESS = re.compile(
    rb"(?:[acm]time|[ug]id|[ug]name|comment|charset"
    rb"|(?:SCHILY|LIBARCHIVE|RHT|SUN|MSWINDOWS)\..*)",
    re.DOTALL,
)


def _pax(data: bytes) -> dict[bytes, bytes]:
    """Read pax records. Raises Fault for any that changes what a member is."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        match = _RECORD.match(data, at)
        stop = at + int(match[1]) if match else 0
        if not match or stop <= match.end() or data[stop - 1 : stop] != b"\n":
            raise Fault("a pax record that is none: 'length key=value' is expected")
        key = match[2]
        if key in records:
            raise Fault(f"the pax record {show(key)!r} stands twice: readers differ")
        records[key] = data[match.end() : stop - 1]
        at = stop
    others = {key: text for key, text in records.items() if key not in _MEANT}
    _harmless(others, "a pax record")
    return records


def _harmless(records: Iterable[bytes], what: str) -> None:
    for key in records:
        if not _HARMLESS.fullmatch(key) or key.startswith(b"SCHILY.realsize"):
            raise Fault(f"{what} {show(key)!r} that may change what a member is")


# ------------------------------------------------------------------------------ heads

_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_SUM = slice(148, 156)


def _read_head(stream: Stream) -> _Head | None:
    """Read one block, or nothing where the first of the two last ones stands."""
    block = stream.read(BLOCK)
    if len(block) < BLOCK:
        raise Fault("the archive does not end with two blocks of zeros: cut short")
    if not any(block):
        return None
    if _stated(block) != _checksum(block):
        raise Fault("a head whose checksum is wrong: damaged, or no tar")
    is_posix = block[257:265] == b"ustar\x0000"
    prefix = _text(block[345:500]) if is_posix else b""
    name = _text(block[:NAME])
    return _Head(
        name=prefix + b"/" + name if prefix else name,
        kind=block[156:157],
        size=_number(block[124:136]),
        link=_text(block[157:257]),
    )


def _checksum(block: bytes) -> int:
    return sum(block) - sum(block[_SUM]) + 8 * ord(" ")


def _stated(block: bytes) -> int:
    match = _OCTAL.fullmatch(block[_SUM])
    return int(match[1], 8) if match else -1


def _text(field: bytes) -> bytes:
    """Return a field up to its NUL; only NULs may follow."""
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise Fault("bytes are hidden after the end of a name", path=text)
    return text


def _number(field: bytes) -> int | None:
    """Read octal digits, or GNU's binary where the digits do not suffice."""
    if match := _OCTAL.fullmatch(field):
        return int(match[1], 8)
    if field[:1] == b"\x80":
        size = int.from_bytes(field[1:], "big")
        return size if LARGEST_OCTAL < size < 1 << 63 else None
    return None if field.strip(b"\0 ") else 0


def _require_end(stream: Stream) -> None:
    """Require a second block of zeros, and nothing but zeros after it."""
    if len(stream.read(BLOCK)) < BLOCK:
        raise Fault("the archive does not end with two blocks of zeros: cut short")
    tail = stream.read(LONGEST_TAIL + 1)
    if tail.strip(b"\0") or len(tail) > LONGEST_TAIL:
        raise Fault("something follows the archive's end, which readers pass over")
