"""The custody log: one line for every act done to the holdings, never rewritten.

A line is one JSON object in canonical form: keys sorted, no spaces, ASCII with escapes,
empty fields left out, ended by a line feed. ``n`` counts from 0 without a gap. A line
is final, byte for byte: hash trees and checkpoints are taken over the file as it
stands. ``append`` returns once the line is on disk; ``read`` stops at the first line
that is torn, miscounted or not canonical. That one process writes is for ``store``.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct

from pipeline.clock import stamp, unstamp
from pipeline.disk import DISK, Disk, sync_folder
from pipeline.errors import FixityError, StorageError
from pipeline.fixity import digest_of, write_file
from pipeline.holdings.merkle import Frontier, Head, leaf_of
from pipeline.model import Digest

LIMIT = 1 << 20  # bytes of a line; nothing we write comes near
STILL_KEPT = "still-kept"  # outcome: what was set aside is not the bag in its place
FIRST_LOOK = 1 << 12  # bytes read from the end to find the last line


class Act(StrEnum):
    """What can be done to the holdings; the words of the log."""

    ACCESSION = "accession"
    FIXITY_CHECK = "fixity-check"
    SEAL = "seal"
    RENEWAL = "renewal"
    ACCESS = "access"
    EXPORT = "export"
    DEPOSIT = "deposit"
    RECEIPT = "receipt"
    RECEIVE = "receive"
    QUARANTINE = "quarantine"
    RECOVERY = "recovery"


class Entry(Struct, frozen=True, kw_only=True):
    """One act and what it was done to. ``path`` is relative to the archive."""

    act: Act
    at: datetime
    bag: str = ""
    job: str = ""
    run: str = ""
    path: str = ""
    tagmanifests: tuple[Digest, ...] = ()
    outcome: str = ""
    software: str = ""
    detail: str = ""


class Logged(Struct, frozen=True, kw_only=True):
    """A line of the log: its number, its bytes with the line feed, and what it says."""

    n: int
    line: bytes
    entry: Entry


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(fields: dict[str, Any]) -> bytes:
    """Write an object in the one form that a line of the log may have."""
    return _ENCODER.encode(fields).encode() + b"\n"


def line_of(n: int, entry: Entry) -> bytes:
    """Write an entry as line ``n``: the bytes that are final once appended."""
    told: dict[str, object] = {
        "act": entry.act.value,
        "at": stamp(entry.at),
        "bag": entry.bag,
        "detail": entry.detail,
        "job": entry.job,
        "outcome": entry.outcome,
        "path": entry.path,
        "run": entry.run,
        "software": entry.software,
        "tagmanifest": {one.algorithm: one.hex for one in entry.tagmanifests},
    }
    return canonical({"n": n} | {key: value for key, value in told.items() if value})


def parse_line(line: bytes) -> Logged:
    """Read a line of the log; fields of a later version stay in ``Logged.line``.

    Raises ValueError with the reason for a line that is not canonical or not whole.
    """
    if not line.endswith(b"\n"):
        raise ValueError("the line is cut short or too long")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("the line is not JSON") from error
    if not isinstance(fields, dict) or canonical(fields) != line:
        raise ValueError("the line is not in canonical form")
    n = fields.get("n")
    if type(n) is not int:
        raise ValueError("the line has no number")
    return Logged(n=n, line=line, entry=_entry(fields))


def _entry(fields: dict[str, Any]) -> Entry:
    def text(name: str) -> str:
        value = fields.get(name, "")
        if not isinstance(value, str):
            raise ValueError(f"{name} is not text")  # noqa: TRY004 - one kind to catch
        return value

    digests = fields.get("tagmanifest", {})
    if not isinstance(digests, dict):
        raise ValueError("tagmanifest is not an object")  # noqa: TRY004 - likewise
    return Entry(
        act=Act(text("act")),
        at=unstamp(text("at")),
        bag=text("bag"),
        job=text("job"),
        run=text("run"),
        path=text("path"),
        tagmanifests=tuple(Digest.parse(f"{k}:{v}") for k, v in digests.items()),
        outcome=text("outcome"),
        software=text("software"),
        detail=text("detail"),
    )


class Log:
    """The custody log of one archive, at rest in one file.

    What the file system refuses is a StorageError; a line that is not as it was
    written is a FixityError.
    """

    def __init__(self, path: Path, *, disk: Disk = DISK) -> None:
        self.path = path
        self._disk = disk
        self._is_sound = True
        self._frontier = Frontier()
        self._hashed = 0  # bytes of the log that the frontier has taken in

    def size(self) -> int:
        """Return the bytes of the log; a log that does not exist has none."""
        with _told(self.path):
            try:
                return self.path.stat().st_size
            except FileNotFoundError:
                return 0

    def append(self, entry: Entry) -> int:
        """Add one line, in one write, and return its number once it is on disk.

        Never writes behind a torn line, nor after a write or sync that failed: Linux
        forgets what it could not write. Raises FixityError, and StorageError.
        """
        is_new, n = not self.size(), self.count()
        line = line_of(n, entry)
        assert len(line) <= LIMIT, "no act takes this much telling"
        if not self._is_sound:
            raise StorageError(
                f"{self.path}: a line could not be written before; nothing is written "
                "behind it. Mend the disk and run again: the next run mends the log"
            )
        self._is_sound = False
        with _told(self.path), self._opened(os.O_APPEND | os.O_CREAT) as file:
            before = os.fstat(file).st_size
            self._disk.write(file, line)
            written = os.fstat(file).st_size - before  # its word is not enough
            if written != len(line):  # no second write: half a line is a torn tail
                raise StorageError(
                    f"{self.path}: {written} of {len(line)} bytes of line {n + 1} were "
                    "taken, is the disk full? Make room: the next run mends the log"
                )
            self._disk.sync(file)
            if is_new:
                sync_folder(self.path.parent, self._disk)
        self._is_sound = True
        return n

    def count(self) -> int:
        """Return how many lines there are, as the last one says; quick.

        Raises FixityError where the last line is torn or not as it was written.
        """
        whole, tail = self._tail()
        if tail:
            raise FixityError(
                f"{self.path}: the last line is torn, from byte {whole} on; nothing is "
                "written behind it. The next run sets it aside"
            )
        last = self._end(whole)
        if not last:
            return 0
        line = last[last.rfind(b"\n", 0, -1) + 1 :]
        try:
            return parse_line(line).n + 1
        except ValueError as error:
            raise FixityError(
                f"{self.path}: the last line is not as it was written: {error}. "
                "Bring the log back from a copy"
            ) from error

    def read(self) -> Iterator[Logged]:
        """Read every line, first to last; a log that does not exist has none.

        Raises FixityError at the first line that is torn, not canonical or miscounted.
        """
        if not self.size():
            return
        with _told(self.path), self.path.open("rb") as file:
            for n, line in enumerate(iter(lambda: file.readline(LIMIT), b"")):
                yield self._checked(n, line)

    def head(self) -> Head:
        """Tell how many whole lines there are, and the root of their tree.

        The first call reads the log once, a later one what was added since. What is
        remembered is for making checkpoints; ``ledger`` reads all of it each time.
        """
        size = self.size()
        if size < self._hashed:  # a torn tail was cut
            self._frontier, self._hashed = Frontier(), 0
        if size > self._hashed:
            with _told(self.path), self.path.open("rb") as file:
                file.seek(self._hashed)
                for line in iter(lambda: file.readline(LIMIT), b""):
                    if not line.endswith(b"\n"):
                        break
                    self._frontier.add(leaf_of(line))
                    self._hashed += len(line)
        return self._frontier.head()

    def sync(self) -> None:
        """Bring to disk what a process that died had written and not yet synced."""
        if not self.size():
            return
        with _told(self.path), self._opened(0) as file:
            self._disk.sync(file)
            sync_folder(self.path.parent, self._disk)

    def cut_torn_tail(self, quarantine: Path) -> Path | None:
        """Cut a line that a crash left half written; its bytes go to quarantine first.

        Returns the file in quarantine, or None where the log ends as it should.
        """
        whole, tail = self._tail()
        if not tail:
            return None
        with _told(self.path):
            kept = self._set_aside(quarantine, whole, tail)
            with self._opened(0) as file:
                os.ftruncate(file, whole)
                self._disk.sync(file)
        return kept

    def _set_aside(self, quarantine: Path, whole: int, tail: bytes) -> Path:
        """Keep the torn bytes durably, beside what an earlier attempt may have left."""
        stem, number = f"custody-torn-{whole}-{digest_of(tail).hex[:8]}", 1
        while (quarantine / f"{stem}-{number}").exists():
            number += 1
        kept = quarantine / f"{stem}-{number}"
        write_file(quarantine, kept.name, tail)
        with kept.open("rb") as file:
            self._disk.sync(file.fileno())
        sync_folder(quarantine, self._disk)
        return kept

    def _checked(self, n: int, line: bytes) -> Logged:
        where = f"{self.path}: line {n + 1}"  # as people and editors count
        try:
            logged = parse_line(line)
        except ValueError as error:
            raise FixityError(
                f"{where} is not as it was written: {error}. A torn last line is "
                "mended by the next run; for any other, bring the log back from a copy"
            ) from error
        if logged.n != n:
            raise FixityError(
                f"{where} is numbered {logged.n}, expected {n}: a line was taken out "
                "or put in. Bring the log back from a copy"
            )
        return logged

    def _tail(self) -> tuple[int, bytes]:
        """Part the file in whole lines, told by their length, and a torn rest."""
        size = self.size()
        end = self._end(size)
        whole = end.rfind(b"\n") + 1
        # A power cut can leave zeros where a block never reached the disk; a line has
        # none, and every line but the last was synced before the next was written.
        last = end.rfind(b"\n", 0, max(whole - 1, 0)) + 1
        if b"\0" in end[last:whole]:
            whole = last
        if len(end) - whole >= LIMIT:
            raise FixityError(
                f"{self.path}: no line ends in its last {LIMIT} bytes. "
                "Bring the log back from a copy"
            )
        return size - len(end) + whole, end[whole:]

    def _end(self, size: int) -> bytes:
        """Read the end of the first ``size`` bytes: the last line and any torn rest."""
        if not size:
            return b""
        look = FIRST_LOOK
        with _told(self.path), self.path.open("rb") as file:
            while True:
                file.seek(max(size - look, 0))
                end = file.read(min(look, size))
                if look >= size or look > 2 * LIMIT or end.count(b"\n") > 1:
                    return end
                look *= 4

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        flags |= os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o644)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell what the file system refuses as a StorageError that names the path."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}; the custody log could not be kept. "
            "Mend it and run again"
        ) from error
