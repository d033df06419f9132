"""A bag in one file, judged as a whole and read without unpacking it.

A stranger's folder is read the same way, so that what takes in bags has one road for
all. The file is judged first, every member of it; what may be misunderstood, leads
outside or is too much rejects it whole. Only then are members handed out, and again
only as they were judged.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from pipeline.errors import StorageError, UsageError
from pipeline.fixity import Digester
from pipeline.model import Digest
from pipeline.packaging import tarreader, zipreader
from pipeline.packaging.hashing import Failure, Job, Outcome
from pipeline.packaging.members import (
    Damaged,
    Fault,
    Judge,
    Limits,
    Member,
    Pieces,
    RejectedError,
    settled,
)
from pipeline.packaging.names import folders
from pipeline.packaging.tarball import BLOCK
from pipeline.packaging.walk import (
    Entry,
    Kind,
    chunks,
    closed,
    file_beneath,
    reason,
    walk,
)

KEPT_IN_MEMORY = 1 << 23  # bytes of tag files; what is beyond is read again at need


Copy = Callable[[Member], Pieces]
Keeps = Callable[[bytes], bool]  # asked of a path from the bag's folder down


class Form(StrEnum):
    """The forms a bag is serialised in."""

    TAR = "tar"
    TAR_GZ = "tar.gz"
    ZIP = "zip"


class Contents(Struct, frozen=True, kw_only=True):
    """What an archive file, or a folder, was found to hold: nothing odd."""

    file: Path
    form: Form | None  # nothing for a folder
    top: bytes  # the bag's own folder
    entries: tuple[Entry, ...]  # in order, with plain paths

    @property
    def size(self) -> int:
        """Return the bytes of all its files."""
        return sum(one.size for one in self.entries)


class Parcel:
    """A bag that was judged and is open to be read. Made by ``looked_into``.

    Where ``copy`` is set it is handed every member once, in order, while digests are
    taken, and yields the bytes to digest: what is checked is what was copied.
    """

    def __init__(
        self,
        descriptor: int,
        contents: Contents,
        members: Callable[[], Iterator[Member]],
        kept: dict[bytes, bytes],
    ) -> None:
        self.contents = contents
        self.copy: Copy | None = None
        self.damaged: list[tuple[bytes, str]] = []  # beside what outcomes tell
        self._file = descriptor
        self._members = members
        self._kept = kept

    def inside(self, path: bytes) -> bytes:
        """Tell a member's path from the bag's own folder down."""
        return path[len(self.contents.top) + 1 :]

    def members(self) -> Iterator[Member]:
        """Yield every member, in order. Raises RejectedError where one has changed."""
        wanted = iter(self.contents.entries)
        with told(self.contents.file):
            for one in self._members():
                entry = settled(one.entry)
                if not entry.path:
                    continue
                if _outline(entry) != _outline(next(wanted, None)):
                    raise Fault("it changed while it was read", path=entry.path)
                yield Member(entry, one.pieces)
            if next(wanted, None):
                raise Fault("it changed while it was read")

    def digest(self) -> Digest | None:
        """Return the sha256 of the archive file as it came; a folder has none."""
        if self.contents.form is None:
            return None
        digester = Digester(("sha256",))
        with told(self.contents.file):
            os.lseek(self._file, 0, os.SEEK_SET)
            for piece in chunks(self._file):
                digester.update(piece)
        return digester.digests()[0]

    # ------------------------------------------------------ a Tree, to be validated

    def entries(self) -> Iterator[Entry]:
        """Yield what stands in the bag, the folders that paths lead through too."""
        above: set[bytes] = set()
        for one in self.contents.entries:
            path = self.inside(one.path)
            for folder in folders(path):
                if folder not in above:
                    above.add(folder)
                    yield Entry(folder, Kind.FOLDER)
            if path:
                yield one._replace(path=path)

    def pieces(self, path: bytes, *, most: int | None = None) -> Pieces:
        """Yield the bytes of a file, at most so many. Raises OSError."""
        return _first(self._whole(path), sys.maxsize if most is None else most)

    def digests(self, large: Iterable[Job], small: Iterable[Job]) -> Iterator[Outcome]:
        """Digest files in one reading, in their order; a failure is an outcome.

        What is not to be digested but damaged is noted in ``damaged``.
        """
        jobs = {job.path: job for some in (large, small) for job in some}
        reads_all = self.copy is not None or self.contents.form is Form.ZIP
        for one in self.members():
            path = self.inside(one.entry.path)
            job = jobs.get(path)
            if job is None and not reads_all:
                continue
            outcome = self._digested(one, job or Job(-1, path, one.entry.size, ()))
            if job is not None:
                yield outcome
            elif outcome.failure:
                self.damaged.append((path, outcome.reason))

    def _digested(self, one: Member, job: Job) -> Outcome:
        """Digest a member, and hand its bytes to whoever copies."""
        digester = Digester(job.hashes)
        size = 0
        try:
            for piece in self.copy(one) if self.copy else _bytes_of(one):
                digester.update(piece)
                size += len(piece)
        except OSError as error:
            return Outcome(job.row, failure=Failure.UNREADABLE, reason=reason(error))
        digests = tuple(bytes.fromhex(digest.hex) for digest in digester.digests())
        return Outcome(job.row, size, digests)

    def _whole(self, path: bytes) -> Pieces:
        if path in self._kept:
            yield self._kept[path]
            return
        for one in self.members():
            if self.inside(one.entry.path) == path:
                yield from one.pieces()
                return
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _bytes_of(one: Member) -> Pieces:
    return one.pieces() if one.entry.kind is Kind.FILE else iter(())


def _first(pieces: Pieces, most: int) -> Pieces:
    for piece in pieces:
        yield piece[:most]
        most -= len(piece)
        if most <= 0:
            return


def _outline(entry: Entry | None) -> tuple[bytes, Kind, int] | None:
    return (entry.path, entry.kind, entry.size) if entry else None


@contextmanager
def looked_into(
    path: Path,
    *,
    limits: Limits | None = None,
    twins: bool = True,
    deep: bool = False,
    keeps: Keeps = lambda _: False,
) -> Iterator[Parcel]:
    """Judge an archive file, or a folder, as a whole and open it to be read.

    Small files that ``keeps`` names are kept in memory, as tag files are, so that they
    need no reading of their own. With ``deep`` one damaged member rejects the whole.
    Without ``twins``, names that are one name on other systems do. Raises
    RejectedError, and UsageError or StorageError where the path cannot be read at all.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: expected a bag, found nothing; name one") from error
    except OSError as error:
        raise StorageError.at(path, error) from error
    with closed(descriptor):
        with told(path):
            form, members = _opened(path, descriptor)
            packed = os.fstat(descriptor).st_size if form else 0
            judge = Judge(limits or Limits(), packed=packed, twins=twins)
            reading = _Reading(judge, deep=deep and form is Form.ZIP, keeps=keeps)
            reading.read(members())
        if judge.findings:
            raise RejectedError(path, tuple(judge.findings))
        entries = tuple(reading.entries)
        contents = Contents(file=path, form=form, top=judge.top, entries=entries)
        yield Parcel(descriptor, contents, members, reading.kept)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell a fault as the rejection that it is, and a bad disk as one."""
    try:
        yield
    except Fault as fault:
        raise RejectedError(path, (fault.finding,)) from fault
    except OSError as error:
        raise StorageError.at(error.filename or path, error) from error


class _Reading:
    """The first reading of a parcel: every member judged, small tag files kept."""

    def __init__(self, judge: Judge, *, deep: bool, keeps: Keeps) -> None:
        self.entries: list[Entry] = []
        self.kept: dict[bytes, bytes] = {}
        self._judge = judge
        self._keeps = keeps
        self._deep = deep  # only zip has members that can be damaged one by one
        self._room = KEPT_IN_MEMORY

    def read(self, members: Iterator[Member]) -> None:
        for one in members:
            entry = self._judge.take(one.entry)
            if entry is None or self._judge.findings:
                continue
            self.entries.append(entry)
            if entry.kind is Kind.FILE:
                self._take(entry, one)
        self._judge.finish()

    def _take(self, entry: Entry, one: Member) -> None:
        path = entry.path.partition(b"/")[2]
        try:
            is_small = entry.size <= self._room
            if is_small and (not path.startswith(b"data/") or self._keeps(path)):
                self.kept[path] = b"".join(one.pieces())
                self._room -= entry.size
            elif self._deep:
                for _ in one.pieces():
                    pass
        except Damaged as error:
            if self._deep:
                raise Fault(error.strerror or "damaged", path=entry.path) from error


def _opened(
    path: Path, descriptor: int
) -> tuple[Form | None, Callable[[], Iterator[Member]]]:
    """Tell a file's form by its first bytes, whatever its name, and how it is read."""
    try:
        start = os.pread(descriptor, BLOCK, 0)
    except IsADirectoryError:
        top = os.fsencode(path.absolute().name)
        return None, lambda: folder_members(descriptor, top)
    except OSError as error:  # a fifo, a device
        message = (
            f"{path}: expected a bag's folder or file, found another kind of thing"
        )
        raise UsageError(message) from error
    if zipreader.is_zip(start):
        return Form.ZIP, lambda: zipreader.members(descriptor)
    if start.startswith(b"\x1f\x8b"):
        return Form.TAR_GZ, lambda: tarreader.members(tarreader.Gunzipped(descriptor))
    if tarreader.is_tar(start):
        return Form.TAR, lambda: tarreader.members(tarreader.Plain(descriptor))
    raise Fault("it is neither tar, tar.gz nor zip, the forms that are read")


def folder_members(root: int, top: bytes) -> Iterator[Member]:
    """Yield an open folder as if it were an archive file, sorted, itself first."""
    prefix = top + b"/"
    found = [Entry(top, Kind.FOLDER)]
    for one in walk(root):
        size = one.size if one.kind is Kind.FILE else 0
        found.append(one._replace(path=prefix + one.path, size=size))
    for one in sorted(found, key=lambda entry: entry.path):
        yield Member(one, _reader(root, one.path.removeprefix(prefix)))


def _reader(root: int, path: bytes) -> Callable[[], Pieces]:
    def pieces() -> Pieces:
        with file_beneath(root, path) as descriptor:
            yield from chunks(descriptor)

    return pieces
