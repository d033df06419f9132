"""Zip, read with no way to be misunderstood.

The directory at the end and the local heads must say the same of every member, and
every byte of the file must belong to exactly one thing; else it is a ``Fault``. Nothing
is unpacked; members come with a way to their bytes.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG

from msgspec import Struct

from pipeline.packaging.members import Damaged, Fault, Member, Pieces
from pipeline.packaging.walk import Entry, Kind
from pipeline.packaging.zipball import (
    CENTRAL,
    CENTRAL_HEAD,
    DEFLATED,
    DESCRIPTOR,
    END,
    END64,
    END64_HEAD,
    END_HEAD,
    EXTRA_HEAD,
    FULL16,
    FULL32,
    LOCAL,
    LOCAL_HEAD,
    LOCATOR,
    LOCATOR_HEAD,
    PIECE,
    STORED,
    STREAMED,
    UNICODE_PATH,
    UTF8,
    ZIP64,
)
from pipeline.warc import crc32

LARGEST_DIRECTORY = 1 << 28  # bytes


class _Listed(Struct, frozen=True, kw_only=True):
    """A member as the directory tells it, and where the next thing begins."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int
    is_dos_folder: bool


class _Directory(Struct, frozen=True, kw_only=True):
    """Where the directory stands and how many members it tells of."""

    count: int
    start: int
    size: int


def is_zip(data: bytes) -> bool:
    """Tell whether a file that begins so is a zip."""
    return data[:4] in (LOCAL, END)


def members(descriptor: int) -> Iterator[Member]:
    """Yield what a zip holds, in the order of its bytes.

    Raises Fault for what is not as it should be; a member's pieces raise Damaged.
    """
    where = _directory(descriptor)
    listed = sorted(_listed(descriptor, where), key=lambda one: one.offset)
    if not listed and where.start:
        raise Fault("bytes that belong to no member")
    if listed and listed[0].offset:
        raise Fault("something stands before the first member")
    starts = (*(one.offset for one in listed), where.start)
    for one, (_, after) in zip(listed, pairwise(starts), strict=True):
        yield Member(_entry(one), _Content(descriptor, one, after).pieces)


# -------------------------------------------------------------------- the directory


def _directory(descriptor: int) -> _Directory:
    """Find the directory from the one end of the file that can be meant."""
    size = os.fstat(descriptor).st_size
    tail = _read(
        descriptor, max(0, size - END_HEAD.size - FULL16), END_HEAD.size + FULL16
    )
    ends = [at for at in _found(END, tail) if _is_end(tail, at)]
    if len(ends) != 1:
        many = "more than one end: readers differ" if ends else "no end: cut short"
        raise Fault(f"the zip has {many}")
    at = size - len(tail) + ends[0]
    _, disk, first, here, count, length, start, _ = END_HEAD.unpack_from(tail, ends[0])
    found = _Directory(count=count, start=start, size=length)
    if disk or first or here != count:
        raise Fault("a part of a zip in several parts")
    found, stop = _widened(descriptor, found, at)
    if found.start + found.size != stop:
        raise Fault("the directory does not stand where the end says")
    if found.size > LARGEST_DIRECTORY:
        message = f"a directory of more than {LARGEST_DIRECTORY:,} bytes"
        raise Fault(f"{message}, a limit of this reader", code="limit")
    return found


def _found(mark: bytes, data: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


def _is_end(tail: bytes, at: int) -> bool:
    if len(tail) - at < END_HEAD.size:
        return False
    return at + END_HEAD.size + int(END_HEAD.unpack_from(tail, at)[7]) == len(tail)


def _widened(descriptor: int, found: _Directory, at: int) -> tuple[_Directory, int]:
    """Read the Zip64 end, which must say the same; tell where the directory stops."""
    locator = _read(descriptor, max(0, at - LOCATOR_HEAD.size), LOCATOR_HEAD.size)
    is_full = found.count == FULL16 or FULL32 in (found.start, found.size)
    if not locator.startswith(LOCATOR):
        if is_full:
            raise Fault("sizes in Zip64, and no Zip64 end")
        return found, at
    _, disk, place, disks = LOCATOR_HEAD.unpack(locator)
    block = _read(descriptor, place, END64_HEAD.size)
    is_whole = len(block) == END64_HEAD.size and block.startswith(END64)
    if disk or disks != 1 or not is_whole or place + len(block) != at - len(locator):
        raise Fault("a Zip64 end that is not where it should be")
    _, rest, _, _, disk, first, here, count, size, start = END64_HEAD.unpack(block)
    if rest != END64_HEAD.size - 12 or disk or first or here != count:
        raise Fault("a Zip64 end that is not as it should be")
    wide = _Directory(count=count, start=start, size=size)
    pairs = (
        (found.count, count, FULL16),
        (found.start, start, FULL32),
        (found.size, size, FULL32),
    )
    if any(narrow not in (told, full) for narrow, told, full in pairs):
        raise Fault("the end and the Zip64 end disagree: readers differ")
    return wide, place


def _listed(descriptor: int, where: _Directory) -> list[_Listed]:
    data = _read(descriptor, where.start, where.size)
    listed, at = [], 0
    while at < len(data):
        one, at = _line(data, at)
        listed.append(one)
    if len(listed) != where.count or len(data) != where.size:
        message = f"{len(listed)} members where the end says {where.count}"
        raise Fault(f"the directory tells of {message}")
    return listed


def _line(data: bytes, at: int) -> tuple[_Listed, int]:
    if len(data) - at < CENTRAL_HEAD.size or data[at : at + 4] != CENTRAL:
        raise Fault("the directory is damaged")
    fields = CENTRAL_HEAD.unpack_from(data, at)
    _, made, _, flags, method, _, _, crc, packed, size = fields[:10]
    name_size, extra_size, comment, disk, _, outer, offset = fields[10:]
    start = at + CENTRAL_HEAD.size
    name = data[start : start + name_size]
    extra = data[start + name_size : start + name_size + extra_size]
    stop = start + name_size + extra_size + comment
    if stop > len(data) or disk or len(extra) < extra_size:
        raise Fault("the directory is damaged", path=name)
    extras = _extras(extra, name)
    size, packed, offset = _wide(extras, name, size, packed, offset)
    _require_readable(name, flags, method, extras)
    return (
        _Listed(
            name=name,
            flags=flags,
            method=method,
            crc=crc,
            packed=packed,
            size=size,
            offset=offset,
            mode=outer >> 16 if made >> 8 in (3, 19) else 0,  # Unix and macOS
            is_dos_folder=bool(outer & 0x10),
        ),
        stop,
    )


def _extras(extra: bytes, name: bytes) -> dict[int, bytes]:
    """Read extra fields by their marks."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        if len(extra) - at < EXTRA_HEAD.size:
            raise Fault("an extra field is damaged", path=name)
        mark, size = EXTRA_HEAD.unpack_from(extra, at)
        at += EXTRA_HEAD.size
        if at + size > len(extra) or mark in found:
            raise Fault("an extra field is damaged, or there twice", path=name)
        found[mark] = extra[at : at + size]
        at += size
    return found


def _wide(extras: dict[int, bytes], name: bytes, *sizes: int) -> tuple[int, ...]:
    """Put the Zip64 sizes where the narrow ones say that they stand there."""
    full = sum(one == FULL32 for one in sizes)
    told = extras.get(ZIP64, b"")
    if len(told) != 8 * full:
        raise Fault("Zip64 sizes that do not fit its others", path=name)
    wide = iter(struct.unpack(f"<{full}Q", told))
    found = tuple(next(wide) if one == FULL32 else one for one in sizes)
    if any(one >> 63 for one in found):
        raise Fault("a size past what any disk holds", path=name)
    return found


_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13  # by password, strongly, its directory
_PATCH = 1 << 5


def _require_readable(
    name: bytes, flags: int, method: int, extras: dict[int, bytes]
) -> None:
    if flags & _ENCRYPTED:
        raise Fault("it is encrypted", path=name)
    if flags & _PATCH or method not in (STORED, DEFLATED):
        message = f"compressed by method {method}; stored or deflated is read"
        raise Fault(message, path=name)
    if b"\0" in name:
        raise Fault("a name with NUL in it", path=name)
    unicode_path = extras.get(UNICODE_PATH)
    if unicode_path is not None and unicode_path[5:] != name:
        raise Fault("an extra field renames it: readers differ", path=name)
    if not name.isascii() and not flags & UTF8 and unicode_path is None:
        raise Fault("a name in an encoding that is not told", path=name)


# ----------------------------------------------------------------------- the members


_KINDS = {S_IFREG: Kind.FILE, S_IFDIR: Kind.FOLDER, S_IFLNK: Kind.LINK}


def _entry(one: _Listed) -> Entry:
    """Tell what a member is, where its name, its mode and its DOS mark agree."""
    is_folder = one.name.endswith(b"/")
    by_name = Kind.FOLDER if is_folder else Kind.FILE
    sort = S_IFMT(one.mode)
    kind = _KINDS.get(sort, Kind.OTHER) if sort else by_name
    if kind in (Kind.FILE, Kind.FOLDER):
        if kind is not by_name or (one.is_dos_folder and not is_folder):
            raise Fault("a file to some readers, a folder to others", path=one.name)
        if is_folder and one.size:
            raise Fault("a folder that holds bytes", path=one.name)
    return Entry(one.name.removesuffix(b"/"), kind, one.size)


class _Content:
    """The local head of a member, checked, and its bytes."""

    def __init__(self, descriptor: int, one: _Listed, after: int) -> None:
        self._file = descriptor
        self._one = one
        self._start = self._checked_start()
        self._require_room(after - self._start - one.packed)

    def pieces(self) -> Pieces:
        """Yield the bytes as they were before they were packed. Raises Damaged."""
        one, crc, size = self._one, 0, 0
        packed = self._packed()
        for piece in _inflated(packed) if one.method == DEFLATED else packed:
            crc, size = crc32(piece, crc), size + len(piece)
            if size > one.size:
                raise Damaged("it unpacks to more bytes than the archive says")
            yield piece
        if size != one.size:
            raise Damaged(f"it unpacks to {size} bytes, the archive says {one.size}")
        if crc != one.crc:
            raise Damaged(f"its CRC-32 is {crc:08x}, the archive says {one.crc:08x}")

    def _packed(self) -> Pieces:
        at, left = self._start, self._one.packed
        while left:
            piece = _read(self._file, at, min(left, PIECE))
            if not piece:
                raise Damaged("the archive ends within it")
            at, left = at + len(piece), left - len(piece)
            yield piece

    def _checked_start(self) -> int:
        """Compare the local head with the directory; tell where the bytes begin."""
        one = self._one
        block = _read(self._file, one.offset, LOCAL_HEAD.size)
        if len(block) < LOCAL_HEAD.size or not block.startswith(LOCAL):
            raise Fault("no local head where the directory says", path=one.name)
        told = LOCAL_HEAD.unpack(block)
        name_size, extra_size = int(told[9]), int(told[10])
        start = one.offset + LOCAL_HEAD.size
        rest = _read(self._file, start, name_size + extra_size)
        extras = _extras(rest[name_size:], one.name)
        self._require_same("name", rest[:name_size], one.name)
        self._require_same("method", told[2:4], (one.flags, one.method))
        _require_readable(one.name, one.flags, one.method, extras)
        self._require_sizes(extras, *told[6:9])
        return start + name_size + extra_size

    def _require_sizes(
        self, extras: dict[int, bytes], crc: int, packed: int, size: int
    ) -> None:
        """Require the directory's sizes, or none where they follow the bytes."""
        one = self._one
        sizes: tuple[int, ...] = (size, packed)
        if FULL32 in sizes and sizes != (FULL32, FULL32):  # APPNOTE 4.5.3
            raise Fault("one size in Zip64 and one not", path=one.name)
        is_streamed = bool(one.flags & STREAMED)
        is_told_twice = extras.get(ZIP64) == struct.pack("<2Q", *sizes)  # as Bazel does
        if FULL32 in sizes or not (is_streamed or is_told_twice):
            sizes = _wide(extras, one.name, *sizes)
        if is_streamed and (crc, *sizes) == (0, 0, 0):
            return
        self._require_same("size", tuple(sizes), (one.size, one.packed))
        self._require_same("CRC", crc, one.crc)

    def _require_same(self, what: str, local: object, central: object) -> None:
        if local != central:
            message = f"the local head and the directory give it another {what}"
            raise Fault(f"{message}: readers differ", path=self._one.name)

    def _require_room(self, room: int) -> None:
        """Require that exactly a descriptor, or nothing, stands before the next."""
        one = self._one
        if room < 0:
            raise Fault("it overlaps what follows it", path=one.name)
        if one.method == STORED and one.packed != one.size:
            raise Fault("it is stored in another size than its own", path=one.name)
        if not one.flags & STREAMED:
            if room:
                raise Fault(f"{room} bytes after it belong to nothing", path=one.name)
            return
        found = _read(self._file, self._start + one.packed, min(room, 25))
        narrow = struct.pack("<3I", one.crc, one.packed & FULL32, one.size & FULL32)
        wide = struct.pack("<I2Q", one.crc, one.packed, one.size)
        allowed = (narrow, wide, DESCRIPTOR + narrow, DESCRIPTOR + wide)
        if found not in allowed:
            message = "what follows it is not the descriptor that the directory tells"
            raise Fault(message, path=one.name)


def _inflated(packed: Pieces) -> Pieces:
    """Inflate one stream that ends exactly where its bytes do. Raises Damaged."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in packed:
            waiting = piece
            while waiting and not inflate.eof:
                if out := inflate.decompress(waiting, PIECE):
                    yield out
                waiting = inflate.unconsumed_tail
            if inflate.unused_data or (inflate.eof and waiting):
                raise Damaged("bytes stand behind its deflate stream")
        if rest := inflate.flush():
            yield rest
    except zlib.error as error:
        raise Damaged(f"its deflate stream is damaged: {error}") from error
    if not inflate.eof:
        raise Damaged("its deflate stream is cut short")


def _read(descriptor: int, at: int, size: int) -> bytes:
    """Return so many bytes from a place, fewer where the file ends."""
    pieces = []
    while size > 0 and (piece := os.pread(descriptor, min(size, PIECE), at)):
        pieces.append(piece)
        at, size = at + len(piece), size - len(piece)
    return b"".join(pieces)
