"""What a bag holds beside what it lists, in rows small enough for millions.

Every path is one row: its size where it stands on disk as a regular file, and for each
manifest whether and with what digest it is listed. Paths are bytes as Linux has them.
"""

import hashlib
import os
from array import array
from binascii import unhexlify
from collections.abc import Iterable
from enum import IntEnum

from pipeline.packaging.names import show
from pipeline.packaging.rules import WARNING, Verdicts
from pipeline.packaging.tagfiles import HASHES, ManifestName
from pipeline.packaging.walk import DEEPEST, Entry, Kind

ABSENT = -1  # the size of what is listed and not on disk
PAYLOAD = b"data/"


NOT, BARE, WHOLE = 0, 1, 2  # not listed; without a digest to check; with one


class Listing(IntEnum):
    """What came of noting an entry."""

    NEW = 0
    SAME = 1  # listed before, with the same digest
    OTHER = 2  # listed before, with another
    WIDTH = 3  # the digest has the wrong length


_WIDTHS = {name: hashlib.new(name).digest_size for name in HASHES.values()}


class Inventory:
    """The rows: one for each path that stands on disk or in a manifest."""

    def __init__(self) -> None:
        self.paths: list[bytes] = []
        self.sizes = array("q")
        self.folders: set[bytes] = set()
        self.special: dict[bytes, Entry] = {}
        self.renamed: set[int] = set()  # rows that are another row's Unicode twin
        self._rows: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def add(self, path: bytes, size: int = ABSENT) -> int:
        """Return the row of a path, new where it has none."""
        row = self._rows.setdefault(path, len(self.paths))
        if row == len(self.paths):
            self.paths.append(path)
            self.sizes.append(size)
        return row

    def row(self, path: bytes) -> int | None:
        """Return the row of a path, if it has one."""
        return self._rows.get(path)

    def is_present(self, path: bytes) -> bool:
        """Tell whether a path stands on disk, as a regular file."""
        row = self._rows.get(path)
        return row is not None and self.sizes[row] != ABSENT


class Column:
    """What one manifest says: for each row whether it is listed, and its digest.

    ``states`` has a byte for each row, NOT, BARE or WHOLE, as far as it was noted, and
    after ``settle`` for all of them. Without ``keep`` digests are only kept so far that
    a second one can be told from the first, in eight bytes.
    """

    def __init__(self, name: ManifestName, *, keep: bool) -> None:
        self.name = name
        self.hash = HASHES.get(name.algorithm, "")
        self.width = _WIDTHS.get(self.hash, 0)  # of a digest, in bytes
        self._keeps = keep
        self._kept = self.width if keep else min(self.width, 8)
        self.states = bytearray()
        self._digests = bytearray()

    def note(self, row: int, digest: bytes) -> Listing:
        """Note an entry with its hexadecimal digest; the first for a row stands."""
        fits = len(digest) == 2 * self.width
        self.settle(row + 1)
        if self.states[row] != NOT:
            is_same = not self.width or (fits and self._raw(digest) == self.digest(row))
            return Listing.SAME if is_same else Listing.OTHER
        if not fits:
            self.states[row] = BARE
            return Listing.WIDTH if self.width else Listing.NEW
        self.states[row] = WHOLE
        self._digests[row * self._kept : (row + 1) * self._kept] = self._raw(digest)
        return Listing.NEW

    def take(self, row: int, digest: bytes) -> bool:
        """Note an entry of the right width, if its row has nothing yet."""
        try:
            raw = self._raw(digest)
        except ValueError:  # no hexadecimal
            return False
        if row == len(self.states):
            self.states.append(WHOLE)
            self._digests += raw
            return True
        self.settle(row + 1)
        if self.states[row] != NOT:
            return False
        self.states[row] = WHOLE
        self._digests[row * self._kept : (row + 1) * self._kept] = raw
        return True

    def has(self, row: int, digest: bytes) -> bool:
        """Tell whether just this digest was noted for a row."""
        return self._digests.startswith(digest, row * self._kept)

    def digest(self, row: int) -> bytes:
        """Return the digest noted for a row."""
        return bytes(self._digests[row * self._kept : (row + 1) * self._kept])

    def move(self, old: int, new: int) -> None:
        """Give what was noted for one row to another that has nothing."""
        self.states[new], self.states[old] = self.states[old], NOT
        start, stop = new * self._kept, (new + 1) * self._kept
        self._digests[start:stop] = self.digest(old)

    def settle(self, rows: int) -> None:
        """Have a byte, and room for a digest, for so many rows."""
        more = rows - len(self.states)
        if more > 0:
            self.states.extend(bytes(more))
            self._digests.extend(bytes(more * self._kept))

    def _raw(self, digest: bytes) -> bytes:
        raw = unhexlify(digest)
        return raw if self._keeps else hash(raw).to_bytes(8, "big", signed=True)


def survey(entries: Iterable[Entry], verdicts: Verdicts) -> Inventory:
    """Take down what stands in a bag; what is no file is a finding."""
    inventory = Inventory()
    linked: dict[tuple[int, int], list[Entry]] = {}
    for entry in entries:
        if entry.kind is Kind.FILE:
            inventory.add(entry.path, entry.size)
            if entry.links > 1:
                linked.setdefault(entry.inode, []).append(entry)
        elif entry.kind is Kind.FOLDER:
            inventory.folders.add(entry.path)
        else:
            inventory.special[entry.path] = entry
            _say_special(entry, verdicts)
    for names in linked.values():
        _say_linked(names, verdicts)
    return inventory


def _say_special(entry: Entry, verdicts: Verdicts) -> None:
    path, code = show(entry.path), "special-file"
    match entry.kind:
        case Kind.UNREADABLE:
            code = _unreadable(entry.path)
            message = f"a folder that cannot be looked into: {entry.detail}"
        case Kind.TOO_DEEP:
            code = "limit"
            message = f"folders deeper than {DEEPEST} are not looked into"
        case Kind.LINK:
            where = show(os.fsencode(entry.detail))
            message = f"a symbolic link to '{where}', not followed"
        case _:
            message = f"a {entry.kind}, not opened"
    verdicts.add(code, path, message)


def _unreadable(path: bytes) -> str:
    if not path:
        return "not-a-bag"
    return "missing-file" if (path + b"/").startswith(PAYLOAD) else "tag-missing-file"


def _say_linked(entries: list[Entry], verdicts: Verdicts) -> None:
    """Warn of files that can be changed from outside the bag."""
    outside = entries[0].links - len(entries)
    for entry in entries if outside > 0 else ():
        message = f"hard-linked from {outside} place(s) outside the bag"
        verdicts.add("special-file", show(entry.path), message, severity=WARNING)
