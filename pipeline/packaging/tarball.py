"""Tar, written in one certain way: heads that tell a name, a size, and no more.

POSIX ustar, with pax records only where a name or a size does not fit; nothing of who
or when. The same members give the same bytes.
"""

import zlib
from collections.abc import Callable

from pipeline.packaging.members import Pieces
from pipeline.warc import GZIP_HEAD

BLOCK = 512
RECORD = 20 * BLOCK  # POSIX: an archive is a whole number of these
TIME = 315532800  # 1980-01-01, the first day zip knows; tar warns of days before
LARGEST_OCTAL = 8**11 - 1
NAME, PREFIX = 100, 155  # bytes that the fields of a name hold

_Write = Callable[[bytes], object]


def head(path: bytes, size: int = 0, *, is_folder: bool = False) -> bytes:
    """Write what stands before a member's bytes."""
    path += b"/" if is_folder else b""
    records = {}
    split = _split(path)
    if split is None:
        records[b"path"] = path
        split = (b"", _stand_in(path))
    if size > LARGEST_OCTAL:
        records[b"size"] = b"%d" % size
    extension = b"".join(_record(name, text) for name, text in records.items())
    kind, mode = (b"5", 0o755) if is_folder else (b"0", 0o644)
    told = 0 if b"size" in records else size
    return _extended(extension) + _block(split, kind, mode, told)


def padding(size: int) -> bytes:
    """Return the zeros that fill a member's last block."""
    return bytes(-size % BLOCK)


def end(size: int) -> bytes:
    """Return what ends an archive of so many bytes."""
    return bytes(2 * BLOCK + -(size + 2 * BLOCK) % RECORD)


def _split(path: bytes) -> tuple[bytes, bytes] | None:
    """Part a name in prefix and name, where ustar can tell it."""
    if not path.isascii():
        return None
    if len(path) <= NAME:
        return b"", path
    at = path.rfind(b"/", 0, min(len(path) - 1, PREFIX + 1))
    if at <= 0 or len(path) - at - 1 > NAME:
        return None
    return path[:at], path[at + 1 :]


def _stand_in(path: bytes) -> bytes:
    """Return the name that a reader finds who knows no pax."""
    ascii_only = bytes(c if c < 128 else 95 for c in path)  # noqa: PLR2004 - ASCII, _
    return ascii_only[:NAME].rstrip(b"/")


def _record(name: bytes, text: bytes) -> bytes:
    """Write a pax record; its length counts its own digits."""
    rest = len(name) + len(text) + 3
    length = rest + len(b"%d" % rest)
    length = rest + len(b"%d" % length)
    return b"%d %s=%s\n" % (length, name, text)


def _extended(records: bytes) -> bytes:
    if not records:
        return b""
    block = _block((b"", b"PaxHeader"), b"x", 0o644, len(records))
    return block + records + padding(len(records))


def _block(split: tuple[bytes, bytes], kind: bytes, mode: int, size: int) -> bytes:
    prefix, name = split
    fields = (
        name.ljust(NAME, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % 0,  # user
        b"%07o\0" % 0,  # group
        b"%011o\0" % size,
        b"%011o\0" % TIME,
        b" " * 8,
        kind,
        bytes(100),
        b"ustar\x0000",
        bytes(64),  # names of user and group
        b"%07o\0" % 0 * 2,  # device
        prefix.ljust(PREFIX, b"\0"),
        bytes(12),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


class Tar:
    """Writes members one after the other to whatever takes bytes."""

    def __init__(self, write: _Write) -> None:
        self._to = write
        self._size = 0

    def folder(self, path: bytes) -> None:
        """Write a folder."""
        self._write(head(path, is_folder=True))

    def file(self, path: bytes, size: int, pieces: Callable[[], Pieces]) -> None:
        """Write a file; its pieces must be as long as told."""
        self._write(head(path, size))
        for piece in pieces():
            self._write(piece)
        self._write(padding(size))

    def finish(self) -> None:
        """Write the end."""
        self._write(end(self._size))

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        self._to(data)


class GzipTar:
    """Writes members as Tar does, through gzip with a head that tells nothing.

    zlib at level 6: the same bytes wherever zlib is the same.
    """

    def __init__(self, write: _Write) -> None:
        self._to = write
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc, self._size = 0, 0
        self._tar = Tar(self._write)
        self._to(GZIP_HEAD)
        self.folder = self._tar.folder
        self.file = self._tar.file

    def finish(self) -> None:
        """Write the end of both."""
        self._tar.finish()
        size = (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        self._to(self._deflate.flush() + self._crc.to_bytes(4, "little") + size)

    def _write(self, data: bytes) -> None:
        self._crc, self._size = zlib.crc32(data, self._crc), self._size + len(data)
        self._to(self._deflate.compress(data))
