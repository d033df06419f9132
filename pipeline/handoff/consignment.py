"""What is sent: bags as items, each with its digest, readable from any byte on.

A bag travels as the files it is made of (``tree``), or as one tar (``tar``), whose
bytes are the same each time and so need not be stored to be gone on with. The bags are
only ever read.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path

from msgspec import Struct

from pipeline.errors import StorageError, UsageError
from pipeline.fixity import PIECE, Digester
from pipeline.model import Bag, Consigned, Digest
from pipeline.packaging import tarball
from pipeline.packaging.serial import carried
from pipeline.packaging.walk import Entry, Kind, closed, file_beneath, opened

MOST_FILES = 50_000  # of a tree; each stands in the receipt by name and digest

Reader = Callable[[int], Iterator[bytes]]


class Layout(StrEnum):
    """How a bag stands at a target."""

    TREE = "tree"
    TAR = "tar"


class Item(Struct, frozen=True, kw_only=True):
    """Bytes with a name, a size and a digest. ``read`` yields them from an offset on.

    ``read`` raises StorageError where they can't be read any more.
    """

    path: str  # with slashes; one at the end is an empty folder
    size: int
    digest: Digest  # sha256
    read: Reader

    @property
    def is_folder(self) -> bool:
        """Tell whether it is an empty folder, without any bytes."""
        return self.path.endswith("/")


class Consignment(Struct, frozen=True, kw_only=True):
    """Bags handed over together, the one that they are named by first."""

    nonce: str
    bags: tuple[Bag, ...]
    accepted: str = ""  # what was noted in earlier attempts, line by line
    note: Callable[[str], None] = lambda _: None  # keeps a line for a later one

    def consigned(self) -> tuple[Consigned, ...]:
        """Name the bags by their tag manifests."""
        return tuple(
            Consigned(bag=one.id, tagmanifests=one.tagmanifests) for one in self.bags
        )

    def items(self, layout: Layout) -> Iterator[Item]:
        """Yield what is to be sent, each item digested when it is reached.

        Raises UsageError for a bag that can't travel so, StorageError.
        """
        for bag in self.bags:
            yield from items_of(bag.path, layout)

    def names(self, layout: Layout) -> tuple[str, ...]:
        """List the names that the bags have at the target."""
        return tuple(name_of(one.id, layout) for one in self.bags)


def name_of(bag: str, layout: Layout) -> str:
    """Name a bag at a target."""
    return f"{bag}.tar" if layout is Layout.TAR else bag


def items_of(bag: Path, layout: Layout) -> Iterator[Item]:
    """Yield the items that one bag is sent as."""
    entries = _entries(bag)
    if layout is Layout.TAR:
        size, read = _tar(bag, entries)
        yield item(name_of(bag.name, layout), size, read)
        return
    files = [one for one in entries if one.kind is Kind.FILE]
    if len(files) > MOST_FILES:
        raise UsageError(
            f"{bag}: it has {len(files):,} files, and a receipt lists each file of a"
            f" tree, at most {MOST_FILES:,}; deposit it with layout: tar"
        )
    for one in files:
        yield item(os.fsdecode(one.path), one.size, _file(bag, one))
    if not any(one.path.startswith(os.fsencode(f"{bag.name}/data/")) for one in files):
        # RFC 8493 2.1.2: a payload folder, even where there is no payload
        yield item(f"{bag.name}/data/", 0, lambda _: iter(()))


def item(path: str, size: int, read: Reader) -> Item:
    """Make an item of bytes, hashing them now."""
    digester = Digester(("sha256",))
    for piece in read(0):
        digester.update(piece)
    return Item(path=path, size=size, digest=digester.digests()[0], read=read)


def of_file(path: str, file: Path) -> Item:
    """Make an item of a file that nobody changes."""
    entry = Entry(os.fsencode(f"x/{file.name}"), Kind.FILE, file.stat().st_size)
    return item(path, entry.size, _file(file.parent, entry))


def _entries(bag: Path) -> list[Entry]:
    try:
        with opened(bag) as root:
            return [one.entry for one in carried(bag, root)]
    except OSError as error:
        raise StorageError.at(error.filename or bag, error) from error


def _file(bag: Path, entry: Entry) -> Reader:
    """Read a file of a bag, which must be as long as it was when it was listed."""
    return partial(_stretch, bag, entry.path.partition(b"/")[2], entry.size)


def _stretch(bag: Path, path: bytes, size: int, offset: int) -> Iterator[bytes]:
    left = size - offset
    where = bag / os.fsdecode(path)
    try:
        with opened(bag) as root, file_beneath(root, path) as file:
            os.lseek(file, offset, os.SEEK_SET)
            while left and (piece := os.read(file, min(left, PIECE))):
                left -= len(piece)
                yield piece
            if left or os.read(file, 1):
                raise StorageError(
                    f"{where}: expected {size:,} bytes, found another number; it"
                    " changed while it was sent. Verify the bag"
                )
    except OSError as error:
        raise StorageError.at(where, error) from error


def _tar(bag: Path, entries: list[Entry]) -> tuple[int, Reader]:
    """Lay a bag out as the tar that ``serial`` writes, without writing it."""
    parts: list[tuple[int, Reader]] = []
    for one in entries:
        is_folder = one.kind is Kind.FOLDER
        size = 0 if is_folder else one.size
        parts.append(at_hand(tarball.head(one.path, size, is_folder=is_folder)))
        if size:
            parts += [(size, _file(bag, one)), at_hand(tarball.padding(size))]
    parts.append(at_hand(tarball.end(sum(size for size, _ in parts))))
    return laid(parts)


def laid(parts: list[tuple[int, Reader]]) -> tuple[int, Reader]:
    """Lay pieces of known sizes end to end, readable from any byte on."""
    starts = [0]
    for size, _ in parts:
        starts.append(starts[-1] + size)

    def read(offset: int) -> Iterator[bytes]:
        first = max(bisect_right(starts, offset) - 1, 0)
        for start, (size, part) in zip(starts[first:], parts[first:], strict=False):
            if start + size > offset:
                yield from part(max(offset - start, 0))

    return starts[-1], read


def at_hand(data: bytes) -> tuple[int, Reader]:
    """Make a piece of bytes that are at hand."""
    return len(data), lambda offset: iter((data[offset:],))


def hashed(pieces: Iterator[bytes]) -> tuple[int, Digest]:
    """Measure and digest what comes back from somewhere."""
    digester, size = Digester(("sha256",)), 0
    for piece in pieces:
        digester.update(piece)
        size += len(piece)
    return size, digester.digests()[0]


def regular(descriptor: int) -> Iterator[bytes]:
    """Yield an open file and close it."""
    with closed(descriptor):
        while piece := os.read(descriptor, PIECE):
            yield piece
