"""One more list of digests, for the day when SHA-2 is doubted (after RFC 4998 5.3).

``seal-0002.blake2b.txt`` lists every file of the bag and of the seals before it by its
BLAKE2b, for ``b2sum -c``. It is a part of its seal: the statement covers it, and later
seals do. The bag's own manifests stay as they were signed.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import FixityError
from pipeline.packaging.hashing import Job
from pipeline.packaging.tree import Folder, Tree
from pipeline.packaging.walk import Entry, Kind, opened, reason
from pipeline.sealing.shelf import NAME

ALGORITHM = "blake2b"
LISTING = f"{ALGORITHM}.txt"  # behind the number of its seal


def listing(bag: Path, number: int) -> bytes:
    """List a bag as it stands, but for the seal of this number and later ones.

    Raises FixityError for what can't be read, or has a name that a list can't hold.
    """
    try:
        with opened(bag) as root:
            return _listing(bag, Folder(root), number)
    except OSError as error:
        raise FixityError(f"{bag}: {reason(error)}; verify the bag") from error


def _listing(bag: Path, tree: Tree, number: int) -> bytes:
    entries = sorted(one for one in tree.entries() if _is_listed(one, number))
    jobs = [
        Job(row=row, path=one.path, size=one.size, hashes=(ALGORITHM,))
        for row, one in enumerate(entries)
    ]
    done = {one.row: one for one in tree.digests(jobs, ())}
    lines = []
    for row, one in enumerate(entries):
        if done[row].failure or b"\n" in one.path:
            why = done[row].reason or "its name has a line break"
            place = f"{bag}: {os.fsdecode(one.path)!r}"
            raise FixityError(f"{place} cannot be listed: {why}; verify the bag")
        lines.append(done[row].digests[0].hex().encode() + b"  " + one.path + b"\n")
    return b"".join(lines)


def _is_listed(one: Entry, number: int) -> bool:
    if one.kind is Kind.FOLDER:
        return False
    found = NAME.fullmatch(os.fsdecode(one.path))
    return found is None or int(found[1]) < number


def differences(
    bag: Path, tree: Tree, number: int, listed: bytes
) -> Iterator[tuple[str, str]]:
    """Yield each path where a bag that is open is not what its list says, and how.

    Raises FixityError for what can't be read.
    """
    try:
        old, new = _lines(listed), _lines(_listing(bag, tree, number))
    except OSError as error:
        raise FixityError(f"{bag}: {reason(error)}; verify the bag") from error
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            yield os.fsdecode(path), "is listed and gone"
        elif path not in old:
            yield os.fsdecode(path), "is not listed, and stands in the bag"
        elif old[path] != new[path]:
            yield os.fsdecode(path), "is listed with another digest than it has"


def _lines(listed: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b"  ") for line in listed.split(b"\n") if line)
    return {path: digest for digest, _, path in pairs}
