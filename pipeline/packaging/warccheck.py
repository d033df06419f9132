"""What is wrong with a WARC of ours: every finding, with its clause, and never a crash.

The file is read once, in pieces: each gzip member must be canonical and hold exactly
one record, each record must be framed and named as WARC 1.1 has it, its digests must
come out again, its references must lead somewhere, and index.cdxj and capture.json must
tell of the same records, none missing, none more. After a torn member reading goes on
at the next one. Memory grows with the number of records alone, up to ``MOST_RECORDS``.
"""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Protocol

from pipeline.fixity import PIECE
from pipeline.model import Finding, Severity
from pipeline.packaging.expected import Index, Seen, Story, Whole, shown
from pipeline.packaging.gzipmembers import (
    Fault,
    Member,
    Stream,
    TornError,
    seek_member,
)
from pipeline.packaging.rules import finding
from pipeline.packaging.tree import Tree
from pipeline.packaging.walk import reason
from pipeline.packaging.warcrecord import ANSWERS, REFERENCE, Reading, digested

WARC_PATH = "data/objects/capture.warc.gz"
INDEX_PATH = "data/metadata/index.cdxj"
CAPTURE_PATH = "data/metadata/capture.json"
RUN_PATH = "data/metadata/run.json"

BROKEN = frozenset({"warc-damaged", "warc-truncated", "warc-block-digest"})
MOST_RECORDS = 500_000  # and so many references that wait for their record
LARGEST_TABLE = 1 << 24  # bytes of index.cdxj or capture.json


class Readable(Protocol):
    """What a WARC is read from: an open file, or what passes for one."""

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, none at the end."""


def check(
    warc: Readable,
    *,
    index: bytes | None,
    capture: dict[str, Any] | None,
    path: str = WARC_PATH,
) -> Iterator[Finding]:
    """Yield everything that is wrong with a WARC, and with what tells of it.

    ``index`` and ``capture`` are index.cdxj and capture.json, None where a bag has
    none. Raises OSError where the file can't be read.
    """
    pieces = iter(lambda: warc.read(PIECE), b"")
    for fault in _faults(pieces, index=index, capture=capture, path=path):
        yield finding(fault.code, path, fault.message)


def check_bag(tree: Tree) -> Iterator[Finding]:
    """Yield what is wrong with the WARC of a bag of ours.

    A bag that holds no WARC may tell of none either. What run.json says of the file as
    a whole is compared too; of single records it says nothing.
    """
    for one in _bag_faults(tree):
        yield finding(one.code, WARC_PATH, one.message)


def check_strangers(tree: Tree, path: str) -> Iterator[Finding]:
    """Yield what is broken in a WARC that is not ours, as warnings.

    Others frame and name their records in their own ways, which is theirs to answer
    for; that a file ends too early, or is not what its digests say, is told.
    """
    try:
        for one in _faults(tree.pieces(os.fsencode(path)), index=None, capture=None):
            if one.code in BROKEN:
                yield finding(one.code, path, one.message, severity=Severity.WARNING)
    except OSError as error:
        message = f"it cannot be read: {reason(error)}"
        yield finding("warc-damaged", path, message, severity=Severity.WARNING)


def _bag_faults(tree: Tree) -> Iterator[Fault]:
    index, odd = _table(tree, INDEX_PATH)
    capture, odder = _story(tree, CAPTURE_PATH)
    run, oddest = _story(tree, RUN_PATH)
    faults = [*odd, *odder, *oddest]
    if index is None and not odd:
        faults.append(Fault("warc-index", f"there is no {INDEX_PATH}"))
    if capture is None and run is None and not (odder or oddest):
        faults.append(Fault("warc-capture", f"there is no {CAPTURE_PATH} to read"))
    pieces = tree.pieces(WARC_PATH.encode())
    try:
        pieces = chain([next(pieces, b"")], pieces)  # it is there
        yield from faults
        yield from _faults(pieces, index=index, capture=capture, run=run)
    except FileNotFoundError:
        if index or odder or oddest or _is_told(capture) or _is_told(run):
            yield Fault("warc-truncated", "there is none, and yet it is told of")
    except OSError as error:
        yield Fault("warc-damaged", f"it cannot be read: {reason(error)}")


def _is_told(story: dict[str, Any] | None) -> bool:
    """Tell whether a bag's story speaks of a WARC."""
    if story is None:
        return False
    return bool(story.get("exchanges")) or Whole(story, path=WARC_PATH).is_told


def _table(tree: Tree, path: str) -> tuple[bytes | None, list[Fault]]:
    """Read index.cdxj, capture.json or run.json whole, if it is there, not endless."""
    try:
        data = b"".join(tree.pieces(path.encode(), most=LARGEST_TABLE + 1))
    except FileNotFoundError:
        return None, []
    except OSError as error:
        return None, [Fault("warc-limit", f"{path} was not read: {reason(error)}")]
    if len(data) > LARGEST_TABLE:
        why = f"{path} is larger than {LARGEST_TABLE:,} bytes and was not read"
        return None, [Fault("warc-limit", why)]
    return data, []


def _story(tree: Tree, path: str) -> tuple[dict[str, Any] | None, list[Fault]]:
    """Read capture.json or run.json, if it is there."""
    data, faults = _table(tree, path)
    if data is None:
        return None, faults
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value, faults
    return None, [Fault("warc-capture", f"{path} is no JSON object")]


# --------------------------------------------------------------------------- the file


def _faults(
    pieces: Iterable[bytes],
    *,
    index: bytes | None,
    capture: dict[str, Any] | None,
    run: dict[str, Any] | None = None,
    path: str = WARC_PATH,
) -> Iterator[Fault]:
    told = None if index is None else Index(index, file=path.rpartition("/")[2])
    story = None if capture is None else Story(capture)
    whole = _whole(capture, run, path)
    digest = whole.hash() if whole else None
    stream = Stream(digested(pieces, digest) if digest else pieces)
    book = _Book(told, story)
    for one in (told, story, whole):
        yield from one.faults if one else ()
    while stream.peek(1):
        if book.is_full:
            why = f"only the first {MOST_RECORDS:,} records were read"
            yield Fault("warc-limit", why)
            return
        yield from book.member(stream)
    yield from book.end()
    if whole:
        yield from whole.compare(stream.place, digest)


def _whole(
    capture: dict[str, Any] | None, run: dict[str, Any] | None, path: str
) -> Whole | None:
    """Choose what tells of the file as a whole; run.json may be an older one."""
    if capture is not None:
        return Whole(capture, path=path)
    if run is not None and "artefacts" in run:
        return Whole(run, path=path, file="run.json")
    return None


class _Book:
    """The records met so far, and whom they name."""

    def __init__(self, index: Index | None, story: Story | None) -> None:
        self._index = index
        self._story = story
        self._ids: dict[str, str] = {}  # and the type of each
        self._waiting: dict[tuple[str, str], int] = {}  # named, field: by whom
        self._lonely: dict[str, int] = {}  # answers whose request did not come yet
        self._torn: set[int] = set()

    @property
    def is_full(self) -> bool:
        """Tell whether nothing more will be taken down."""
        most = max(len(self._ids), len(self._waiting), len(self._torn))
        return most >= MOST_RECORDS

    def member(self, stream: Stream) -> Iterator[Fault]:
        """Read one member and enter its record."""
        member = Member(stream)
        method = self._story.method(member.start) if self._story else "GET"
        reading = Reading(member, method)
        try:
            seen = reading.read()
        except TornError as torn:
            self._torn.add(member.start)
            seek_member(stream)
            on = f"reading goes on at offset {stream.place}"
            yield from member.faults
            yield Fault(torn.fault.code, f"{torn.fault.message}; {on}")
            return
        yield from (*member.faults, *reading.faults)
        if seen is None:
            self._torn.add(member.start)
        else:
            yield from self._enter(seen, reading)

    def _enter(self, seen: Seen, reading: "Reading") -> Iterator[Fault]:
        if seen.offset == 0 and seen.type != "warcinfo":
            message = f"the first record is a {shown(seen.type)}, no warcinfo"
            yield Fault("warc-warcinfo", message)
        if seen.id in self._ids:
            message = f"{reading.name}: {shown(seen.id)} is another's name as well"
            yield Fault("warc-record-id", message)
        if REFERENCE.match(seen.id):
            self._ids.setdefault(seen.id, seen.type)
            if seen.type in ANSWERS:
                self._lonely[seen.id] = seen.offset
        self._note_references(seen, reading)
        for one in (self._index, self._story):
            yield from one.meet(seen) if one else ()

    def _note_references(self, seen: Seen, reading: "Reading") -> None:
        fields = ["warc-concurrent-to", "warc-warcinfo-id"]
        if seen.type != "revisit":  # which may name a record of another file
            fields.append("warc-refers-to")
        for field in fields:
            for named in reading.values(field):
                if seen.type == "request":
                    self._lonely.pop(named, None)
                is_one = REFERENCE.match(named)  # what is none is told as a field
                if is_one and not _leads(field, self._ids.get(named)):
                    self._waiting.setdefault((named, field), seen.offset)

    def end(self) -> Iterator[Fault]:
        """Tell what never came."""
        if not self._ids and not self._torn:
            yield Fault("warc-truncated", "it holds no record")
        for (named, field), offset in self._waiting.items():
            if not _leads(field, self._ids.get(named)):
                where = f"the record at offset {offset}"
                message = f"{where}: its {field} {shown(named)} leads to no record here"
                yield Fault("warc-reference", message)
        for offset in self._lonely.values():
            message = f"the answer at offset {offset} has no request beside it"
            yield Fault("warc-reference", message)
        for one in (self._index, self._story):
            yield from one.left(self._torn) if one else ()


def _leads(field: str, kind: str | None) -> bool:
    """Tell whether a reference leads to a record that it may lead to."""
    return kind == "warcinfo" if field == "warc-warcinfo-id" else kind is not None
