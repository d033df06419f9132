"""Zip, written in one certain way: the format's heads, and a writer of members.

Local heads are whole before their bytes, the date is fixed, Zip64 stands where a number
needs it and nowhere else. What is small and will shrink is deflated; the rest is stored
as it is. Numbers and names are those of PKWARE's APPNOTE 6.3.
"""

import os
import re
import struct
import zlib
from collections.abc import Callable
from stat import S_IFDIR, S_IFREG

from msgspec import Struct

from pipeline.packaging.members import Damaged, Pieces
from pipeline.warc import crc32

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END64, LOCATOR, DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
LOCAL_HEAD = struct.Struct("<4s5H3I2H")
CENTRAL_HEAD = struct.Struct("<4s6H3I5H2I")
END_HEAD = struct.Struct("<4s4H2IH")
END64_HEAD = struct.Struct("<4sQ2H2I4Q")
LOCATOR_HEAD = struct.Struct("<4sIQI")
EXTRA_HEAD = struct.Struct("<2H")

STORED, DEFLATED = 0, 8
UTF8 = 1 << 11  # flag: the name is UTF-8
STREAMED = 1 << 3  # flag: sizes follow the bytes
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF  # "see Zip64"
ZIP64, UNICODE_PATH = 0x0001, 0x7075  # extra fields
DATE = 1 << 5 | 1  # 1980-01-01, the first day zip knows, at 00:00
UNIX = 3 << 8
PIECE = 1 << 20
SMALL = 1 << 22  # bytes of a file that is held in memory to be deflated
PACKED = re.compile(  # what is compressed already and will not shrink
    rb"\.(?:gz|tgz|bz2|xz|zst|br|zip|wacz|7z|jpe?g|png|gif|webp|avif|heic"
    rb"|mp[34]|m4[av]|mkv|webm|mov|ogg|opus|flac|woff2?|docx|xlsx|pptx|od[tsp]|epub)",
    re.IGNORECASE,
)

# ---------------------------------------------------------------------------- writing


class Placed(Struct, frozen=True, kw_only=True):
    """A member as the directory tells it."""

    name: bytes
    is_folder: bool
    method: int = STORED
    crc: int = 0
    packed: int = 0
    size: int = 0
    offset: int = 0

    def local(self) -> bytes:
        """Write the head before its bytes."""
        is_large = max(self.size, self.packed) >= FULL32
        extra = _zip64(self.size, self.packed) if is_large else b""
        packed, size = (FULL32, FULL32) if is_large else (self.packed, self.size)
        told = (*self._told(is_large), self.crc, packed, size)
        head = LOCAL_HEAD.pack(LOCAL, *told, len(self.name), len(extra))
        return head + self.name + extra

    def central(self) -> bytes:
        """Write its line in the directory."""
        sizes = (self.size, self.packed, self.offset)
        extra = _zip64(*(one for one in sizes if one >= FULL32))
        size, packed, offset = (min(one, FULL32) for one in sizes)
        told = self._told(bool(extra))
        mode = (S_IFREG | 0o644) << 16  # Unix modes, the same for all
        if self.is_folder:
            mode = (S_IFDIR | 0o755) << 16 | 0x10  # and DOS's mark of a folder
        lengths = (len(self.name), len(extra), 0, 0, 0)
        head = CENTRAL_HEAD.pack(
            CENTRAL,
            UNIX | told[0],
            *told,
            self.crc,
            packed,
            size,
            *lengths,
            mode,
            offset,
        )
        return head + self.name + extra

    def _told(self, is_large: bool) -> tuple[int, ...]:  # noqa: FBT001 - of two
        version = 45 if is_large else 20
        flags = 0 if self.name.isascii() else UTF8
        return version, flags, self.method, 0, DATE


def _zip64(*sizes: int) -> bytes:
    if not sizes:
        return b""
    return EXTRA_HEAD.pack(ZIP64, 8 * len(sizes)) + struct.pack(
        f"<{len(sizes)}Q", *sizes
    )


class Zip:
    """Writes members one after the other to whatever takes bytes."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._to = write
        self._size = 0
        self._placed: list[Placed] = []

    def folder(self, path: bytes) -> None:
        """Write a folder."""
        self._add(Placed(name=path + b"/", is_folder=True, offset=self._size))

    def file(self, path: bytes, size: int, pieces: Callable[[], Pieces]) -> None:
        """Write a file; its pieces are asked for twice where they are many."""
        if size > SMALL:
            self._large(path, size, pieces)
        else:
            self._small(path, b"".join(pieces()))

    def finish(self) -> None:
        """Write the directory and the end."""
        start = self._size
        for one in self._placed:
            self._write(one.central())
        self._write(ending(len(self._placed), start, self._size - start))

    def _small(self, path: bytes, data: bytes) -> None:
        method, packed = STORED, data
        if not PACKED.fullmatch(os.path.splitext(path)[1]):  # noqa: PTH122 - bytes
            deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
            shrunk = deflate.compress(data) + deflate.flush()
            if len(shrunk) < len(data):
                method, packed = DEFLATED, shrunk
        placed = Placed(
            name=path,
            is_folder=False,
            method=method,
            crc=crc32(data),
            packed=len(packed),
            size=len(data),
            offset=self._size,
        )
        self._add(placed)
        self._write(packed)

    def _large(self, path: bytes, size: int, pieces: Callable[[], Pieces]) -> None:
        """Store a file; its CRC stands before its bytes, so they are read twice."""
        crc = 0
        for piece in pieces():
            crc = crc32(piece, crc)
        placed = Placed(
            name=path,
            is_folder=False,
            crc=crc,
            packed=size,
            size=size,
            offset=self._size,
        )
        self._add(placed)
        again = 0
        for piece in pieces():
            again = crc32(piece, again)
            self._write(piece)
        if again != crc:
            raise Damaged("it changed while it was read")

    def _add(self, placed: Placed) -> None:
        self._placed.append(placed)
        self._write(placed.local())

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        self._to(data)


def ending(count: int, start: int, size: int) -> bytes:
    """Write what ends an archive, in Zip64 as well where a number needs it."""
    end64 = b""
    if count >= FULL16 or start >= FULL32 or size >= FULL32:
        rest = END64_HEAD.size - 12
        end64 = END64_HEAD.pack(
            END64, rest, UNIX | 45, 45, 0, 0, count, count, size, start
        ) + LOCATOR_HEAD.pack(LOCATOR, 0, start + size, 1)
    few = min(count, FULL16)
    told = (0, 0, few, few, min(size, FULL32), min(start, FULL32), 0)
    return end64 + END_HEAD.pack(END, *told)
