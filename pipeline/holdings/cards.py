"""The catalogue's cards: what it answers with, and how values lie in its rows.

Each value has a function that reads it from a row; what is put in by us has one that
makes the row. Reading raises ValueError where a row is not as it was written.
"""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from pipeline.clock import stamp, unstamp
from pipeline.holdings.checks import Checked
from pipeline.holdings.custody import Act, Entry, Logged
from pipeline.holdings.database import LARGEST, Row
from pipeline.holdings.description import Description, Kind
from pipeline.holdings.receipts import Stored
from pipeline.model import Bag, Change, Digest, Previous, RecordRef, Verdict


class Holding(Struct, frozen=True, kw_only=True):
    """A bag in the archive, as the catalogue knows it."""

    bag: Bag
    kind: Kind
    job: str
    run: str
    source: str
    at: datetime | None  # when the capture or the run began
    info: tuple[tuple[str, str], ...]
    is_received: bool = False  # made elsewhere, and no capture of this archive's


class Visit(Struct, frozen=True, kw_only=True):
    """One visit to a source and what it was worth; ``bag`` is empty if unchanged."""

    job: str
    run: str
    source: str
    url: str
    title: str
    verdict: Verdict
    reasons: tuple[str, ...]
    change: Change
    bag: str
    at: datetime | None
    payload: Digest | None


class Attendance(Struct, frozen=True, kw_only=True):
    """When one source was visited, as far as a clock can explain it."""

    source: str
    first: datetime | None  # None where each visit is dated too far ahead
    last: datetime | None
    latest: datetime  # whatever a clock says


class PastRun(Struct, frozen=True, kw_only=True):
    """A run as its bag tells it; without a bag (``bag`` empty) it was cut short."""

    id: str
    job: str
    bag: str
    started: datetime | None
    ended: datetime | None
    exit: int | None
    counts: tuple[tuple[str, int], ...]


class Kept(Struct, frozen=True, kw_only=True):
    """One response to one address, and where its record stands."""

    url: str
    bag: Path
    at: datetime | None
    status: int | None
    verdict: Verdict
    record: RecordRef


class Hit(Struct, frozen=True, kw_only=True):
    """A capture in which all the words stand, with the passage around them."""

    bag: str
    job: str
    source: str
    title: str
    url: str
    passage: str


class Acknowledged(Struct, frozen=True, kw_only=True):
    """A bag that a target has, as the receipt of its transfer says."""

    bag: str
    job: str
    target: str
    kind: str
    location: str
    at: datetime
    tagmanifests: tuple[Digest, ...]
    nonce: str
    files: int  # of the whole transfer, as are its bytes
    size: int
    is_verified: bool
    transforms: bool
    path: Path  # of the receipt


class Check(Struct, frozen=True, kw_only=True):
    """One fixity check of a bag, or of the copy that a target has of it."""

    at: datetime
    ok: bool
    line: int  # of the custody log, which names its record
    target: str = ""


class Sort(StrEnum):
    """What a name may stand for."""

    BAG = "bag"
    RUN = "run"
    SOURCE = "source"


class Found(Struct, frozen=True, kw_only=True):
    """What a name stands for, and its bags in order of time."""

    sort: Sort
    id: str  # of the bag or run; job/source
    bags: tuple[Holding, ...]


def bag_row(described: Description, root: Path) -> Row:
    """Lay out a bag; its path is kept relative to the archive."""
    bag = described.bag
    return {
        "bag": bag.id,
        "kind": described.kind.value,
        "job": described.job,
        "run": described.run,
        "source": described.source,
        "path": bag.path.relative_to(root).as_posix(),
        "at": described.at,
        "files": min(bag.files, LARGEST),
        "size": min(bag.size, LARGEST),
        "tagmanifests": _pack_digests(bag.tagmanifests),
        "info": json.dumps(described.info),
    }


def holding(row: sqlite3.Row, root: Path) -> Holding:
    """Read a bag; its path is told from the archive down."""
    return Holding(
        bag=Bag(
            id=row["bag"],
            path=root / row["path"],
            tagmanifests=_unpack_digests(row["tagmanifests"]),
            files=row["files"],
            size=row["size"],
        ),
        kind=Kind(row["kind"]),
        job=row["job"],
        run=row["run"],
        source=row["source"],
        at=_moment(row["at"]),
        info=tuple((label, value) for label, value in json.loads(row["info"])),
        is_received=bool(row["received"]),
    )


def visit(row: sqlite3.Row) -> Visit:
    """Read a visit."""
    return Visit(
        job=row["job"],
        run=row["run"],
        source=row["source"],
        url=row["url"],
        title=row["title"],
        verdict=Verdict(row["verdict"]),
        reasons=tuple(json.loads(row["reasons"])),
        change=Change(row["change"]),
        bag=row["bag"],
        at=_moment(row["at"]),
        payload=_digest(row["payload"]),
    )


def attendance(row: sqlite3.Row) -> Attendance:
    """Read when a source was visited."""
    return Attendance(
        source=row["source"],
        first=_moment(row["first"] or ""),
        last=_moment(row["last"] or ""),
        latest=unstamp(row["latest"]),
    )


def previous(row: sqlite3.Row) -> Previous:
    """Read a capture as the next visit needs to know it."""
    digests = _unpack_digests(row["tagmanifests"])
    sha512 = (one for one in digests if one.algorithm == "sha512")
    return Previous(
        bag=row["bag"],
        verdict=Verdict(row["verdict"]),
        reasons=tuple(json.loads(row["reasons"])),
        captured_at=unstamp(row["started"]),
        payload=_digest(row["payload"]),
        words=_sha256(row["words"]),
        record=row["record"],
        url=row["record_url"],
        tagmanifest=next(sha512, None),
    )


def past_run(row: sqlite3.Row) -> PastRun:
    """Read a run."""
    return PastRun(
        id=row["run"],
        job=row["job"],
        bag=row["bag"],
        started=_moment(row["started"]),
        ended=_moment(row["ended"]),
        exit=row["exit"],
        counts=tuple(sorted(json.loads(row["counts"]).items())),
    )


def kept(row: sqlite3.Row, root: Path) -> Kept:
    """Read a response."""
    record = RecordRef(id=row["record"], offset=row["offset"], length=row["length"])
    return Kept(
        url=row["url"],
        bag=root / row["path"],
        at=_moment(row["started"]),
        status=row["status"],
        verdict=Verdict(row["verdict"]),
        record=record,
    )


def receipt_rows(stored: Stored, root: Path) -> list[Row]:
    """Lay out a receipt, a row for each bag; paths are relative to the archive."""
    one = stored.receipt
    return [
        {
            "nonce": one.nonce,
            "bag": consigned.bag,
            "n": n,
            "job": stored.path.parents[1].name,
            "target": one.target,
            "kind": one.kind,
            "location": one.location,
            "at": stamp(one.at),
            "tagmanifests": _pack_digests(consigned.tagmanifests),
            "files": len(one.received),
            "size": sum(each.size for each in one.received),
            "verified": int(one.is_verified),
            "transforms": int(one.transforms),
            "path": stored.path.relative_to(root).as_posix(),
        }
        for n, consigned in enumerate(one.bags)
    ]


def acknowledged(row: sqlite3.Row, root: Path) -> Acknowledged:
    """Read what a receipt says of one bag."""
    return Acknowledged(
        bag=row["bag"],
        job=row["job"],
        target=row["target"],
        kind=row["kind"],
        location=row["location"],
        at=unstamp(row["at"]),
        tagmanifests=_unpack_digests(row["tagmanifests"]),
        nonce=row["nonce"],
        files=row["files"],
        size=row["size"],
        is_verified=bool(row["verified"]),
        transforms=bool(row["transforms"]),
        path=root / row["path"],
    )


def check_row(line: int, one: Checked) -> Row:
    """Lay out a fixity check, by the line of the log that has its record."""
    return {
        "bag": one.bag,
        "line": line,
        "target": one.target,
        "at": stamp(one.at),
        "ok": int(one.ok),
    }


def check(row: sqlite3.Row) -> Check:
    """Read a fixity check."""
    return Check(
        at=unstamp(row["at"]),
        ok=bool(row["ok"]),
        line=row["line"],
        target=row["target"],
    )


def act_row(logged: Logged) -> Row:
    """Lay out a line of the custody log."""
    entry = logged.entry
    return {
        "n": logged.n,
        "act": entry.act.value,
        "at": stamp(entry.at),
        "bag": entry.bag,
        "job": entry.job,
        "run": entry.run,
        "path": entry.path,
        "tagmanifests": _pack_digests(entry.tagmanifests),
        "outcome": entry.outcome,
        "software": entry.software,
        "detail": entry.detail,
    }


def act(row: sqlite3.Row) -> Entry:
    """Read what a line of the custody log said."""
    return Entry(
        act=Act(row["act"]),
        at=unstamp(row["at"]),
        bag=row["bag"],
        job=row["job"],
        run=row["run"],
        path=row["path"],
        tagmanifests=_unpack_digests(row["tagmanifests"]),
        outcome=row["outcome"],
        software=row["software"],
        detail=row["detail"],
    )


def _sha256(text: str | None) -> Digest | None:
    """Read the SHA-256 among the digests of a file of a bag."""
    found = json.loads(text or "{}").get("sha256", "")
    return _digest(f"sha256:{found}") if found else None


def _pack_digests(digests: Iterable[Digest]) -> str:
    return " ".join(sorted(str(one) for one in digests))


def digests(text: str) -> tuple[Digest, ...]:
    """Read the digests of tag manifests."""
    return _unpack_digests(text)


def _unpack_digests(text: str) -> tuple[Digest, ...]:
    return tuple(Digest.parse(one) for one in text.split())


def _digest(text: str) -> Digest | None:
    return Digest.parse(text) if text else None


def _moment(text: str) -> datetime | None:
    return unstamp(text) if text else None
