"""What an archive file holds, judged member by member before anything is unpacked.

The rules are the same for tar, zip and a plain folder: one top folder, plain relative
paths in UTF-8, files and folders and nothing else, no name twice, within bounds. Pure:
what is wrong becomes a finding, and one that makes the rest unreadable a ``Fault``.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from pipeline.errors import FixityError
from pipeline.model import Finding, Severity
from pipeline.packaging import names, rules
from pipeline.packaging.names import show
from pipeline.packaging.walk import Entry, Kind

SERIALIZATION = "serialization"  # the code for what only an archive file can have
MOST_TOLD = 100  # findings on one archive; it is rejected by the first
LONGEST_PATH = 4096 - 512  # bytes: what Linux opens at once, less where it is put
LONGEST_PART = 255  # bytes, on nearly every file system
DEEPEST = 200  # folders within folders
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

Pieces = Iterator[bytes]


class Limits(Struct, frozen=True, kw_only=True):
    """How much an archive file may hold before it is taken for an attack."""

    members: int = 1_000_000
    total: int = 1 << 40  # bytes, unpacked
    ratio: int = 200  # unpacked to packed
    ratio_from: int = 1 << 28  # bytes from which the ratio counts


class Member(NamedTuple):  # made by the million
    """What stands at one name, and a way to its bytes, good until the next is read."""

    entry: Entry
    pieces: Callable[[], Pieces]


class Fault(Exception):  # noqa: N818 - it is caught and becomes a finding
    """Something that makes an archive unreadable, or not worth reading on."""

    def __init__(
        self, message: str, *, path: bytes = b"", code: str = SERIALIZATION
    ) -> None:
        super().__init__(message)
        self.finding = finding(code, path, message)


class Damaged(OSError):  # noqa: N818 - an OSError, as a bad disk would raise
    """One member's bytes are not what the archive says; the others may be."""

    def __init__(self, message: str) -> None:
        super().__init__(0, message)


class RejectedError(FixityError):
    """An archive file that is not unpacked, for any of its findings."""

    code = "rejected"

    def __init__(self, file: Path, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        first = findings[0]
        where = f"{first.path}: " if first.path else ""
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(
            f"{file}: rejected whole, nothing was unpacked: {where}{first.message}"
            f"{more}; ask its sender for another"
        )

    def details(self) -> dict[str, object]:
        """Return every finding."""
        told = [
            {"code": one.code, "path": one.path, "message": one.message}
            for one in self.findings
        ]
        return {"findings": told}


def finding(code: str, path: bytes, message: str) -> Finding:
    """Make a finding on an archive file; whatever its code, it is an error."""
    return rules.finding(code, show(path), message, severity=Severity.ERROR)


class Judge:
    """Takes members in order and gathers what is wrong with them.

    ``packed`` is the size of the archive file, or 0 where nothing is packed. With
    ``twins``, names that differ in case or Unicode form alone are let through.
    """

    def __init__(self, limits: Limits, *, packed: int, twins: bool) -> None:
        self.findings: list[Finding] = []
        self.top = b""
        self._limits = limits
        self._packed = packed
        self._twins = twins
        self._count = 0
        self._total = 0
        self._paths: dict[bytes, Kind] = {}  # every member
        self._above: set[bytes] = set()  # every folder that a member stands in
        self._folded: dict[bytes, bytes] = {}

    def take(self, entry: Entry) -> Entry | None:
        """Return a member with its path made plain, or nothing where it is none.

        Raises Fault where a limit is reached.
        """
        self._measure(entry)
        if code_and_reason := _odd(entry):
            self._say(*code_and_reason, entry.path)
            return None
        path = _plain(entry.path)
        if not path and entry.kind is Kind.FOLDER:
            return None  # "./", which tar writes for the folder it started in
        if reason := self._clash(path, entry.kind):
            self._say(SERIALIZATION, reason, entry.path)
            return None
        return entry._replace(path=path)

    def finish(self) -> None:
        """Say what can only be said of the whole."""
        if not self._paths and not self.findings:
            self._say(SERIALIZATION, "it is empty", b"")

    def _measure(self, entry: Entry) -> None:
        self._count += 1
        self._total += max(entry.size, 0)
        limits = self._limits
        if self._count > limits.members:
            message = f"it holds more than {limits.members:,} members"
        elif self._total > limits.total:
            message = f"it unpacks to more than {limits.total:,} bytes"
        elif (
            self._packed
            and self._total > limits.ratio_from
            and self._total > limits.ratio * self._packed
        ):
            message = f"it unpacks to more than {limits.ratio} times its own size"
        else:
            return
        raise Fault(f"{message}, a limit of this reader", code="limit")

    def _say(self, code: str, message: str, path: bytes) -> None:
        if len(self.findings) < MOST_TOLD:
            self.findings.append(finding(code, path, message))

    def _clash(self, path: bytes, kind: Kind) -> str:
        """Say why a path cannot stand beside those before it, or note it."""
        self.top = self.top or path.partition(b"/")[0]
        above = names.folders(path)
        if reason := next(self._clashes(path, kind, above), ""):
            return reason
        self._paths[path] = kind
        self._above.update(above)
        return ""

    def _clashes(self, path: bytes, kind: Kind, above: list[bytes]) -> Iterator[str]:
        top, slash, _ = path.partition(b"/")
        if top != self.top:  # RFC 8493 4: one top folder, the bag
            yield f"it stands beside the top folder {show(self.top)!r}, not in it"
        if not slash and kind is not Kind.FOLDER:
            yield "a file where the bag's own folder is expected"
        if path in self._paths:
            yield "it is there twice"
        if path in self._above and kind is not Kind.FOLDER:
            yield "a file where there is a folder as well"
        if any(self._paths.get(one, Kind.FOLDER) is not Kind.FOLDER for one in above):
            yield "it stands in a file, as if that were a folder"
        if twin := self._twin(path, above):
            yield f"it differs from {show(twin)} in case or Unicode form alone"

    def _twin(self, path: bytes, above: Iterable[bytes]) -> bytes:
        if self._twins:
            return b""
        for one in (path, *(folder for folder in above if folder not in self._above)):
            other = self._folded.setdefault(names.folded(one), one)
            if other != one:
                return other
        return b""


def settled(entry: Entry) -> Entry:
    """Return a member that was judged before, with its path made plain."""
    return entry._replace(path=_plain(entry.path))


def _plain(path: bytes) -> bytes:
    plain = names.plain(path)
    return b"" if plain == b"." else plain


def _odd(entry: Entry) -> tuple[str, str] | None:
    """Say why one member, by itself, has no place in a bag, and by which code."""
    return next(_oddities(entry), None)


def _oddities(entry: Entry) -> Iterator[tuple[str, str]]:
    path, kind = entry.path, entry.kind
    if kind in (Kind.UNREADABLE, Kind.TOO_DEEP):
        yield SERIALIZATION, f"a folder that cannot be looked into: {kind}"
    if kind not in (Kind.FILE, Kind.FOLDER):
        to = f" to {entry.detail!r}" if entry.detail else ""
        yield "special-file", f"a {kind}{to}; a bag holds files and folders"
    if reason := names.unsafe(path):
        yield "unsafe-path", reason
    if b"\\" in path:
        yield "unsafe-path", "it holds a backslash, a folder's mark elsewhere"
    if not path or (not _plain(path) and kind is Kind.FILE):
        yield SERIALIZATION, "it has no name"
    yield from _unfit_names(path)


def _unfit_names(path: bytes) -> Iterator[tuple[str, str]]:
    top, parts = _plain(path).partition(b"/")[0], path.split(b"/")
    if _CONTROL.search(top) or b"\0" in path:
        yield SERIALIZATION, "its name holds a control character"
    if top.startswith(b"."):
        yield SERIALIZATION, "the bag's folder is hidden: its name begins with a dot"
    if not _is_utf8(path):
        yield SERIALIZATION, "its name is not UTF-8"
    if len(path) > LONGEST_PATH or max(map(len, parts)) > LONGEST_PART:
        bound = f"{LONGEST_PATH:,} bytes, {LONGEST_PART} in a part"
        yield "limit", f"its name is longer than {bound}"
    if len(parts) > DEEPEST:
        yield "limit", f"it stands deeper than {DEEPEST} folders"


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True
