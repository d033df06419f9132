"""Bags for the tests of the holdings: sources' bags and runs' bags, small and true."""

import re
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import samples
from msgspec.structs import replace

from pipeline.clock import SystemClock, stamp
from pipeline.fixity import write_file
from pipeline.holdings.catalogue import Catalogue
from pipeline.holdings.description import CAPTURE, PAGE_TEXT, RUN
from pipeline.model import Accession, Bag, Change, Digest, Exchange, Verdict
from pipeline.packaging import bag as bags
from pipeline.packaging.rendering import Json, json_file
from pipeline.packaging.story import capture_json

WEEK = timedelta(days=7)
TEXT = "It was told that about 1,500 people were killed."


class TickingClock(SystemClock):
    """Moves on by one second whenever it is looked at."""

    def __init__(self, start: datetime = samples.NOON) -> None:
        self.moment = start

    def now(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


def payload(letter: str) -> Digest:
    return Digest("sha256", letter * 64)


def accession(
    source: str = "report",
    *,
    week: int = 0,
    job: str = "toll",
    verdict: Verdict = Verdict.CAPTURED,
    reasons: tuple[str, ...] = (),
    content: Digest | None = samples.PAGE.payload,
    change: Change = Change.FIRST,
    exchanges: tuple[Exchange, ...] = samples.CAPTURE.exchanges,
) -> Accession:
    """A capture of a source in the run of one week."""
    started = samples.at(1) + week * WEEK
    answered = tuple(
        replace(one, payload=content) if one.payload else one for one in exchanges
    )
    return replace(
        samples.ACCESSION,
        bag=f"{job}_{source}_{started:%Y%m%dt%H%M%Sz}",
        run=replace(samples.RUN, id=run_id(week, job), job=job),
        capture=replace(
            samples.CAPTURE,
            source=replace(samples.SOURCE, id=source),
            started=started,
            verdict=verdict,
            reasons=reasons,
            payload=content,
            exchanges=answered,
        ),
        change=change,
    )


def run_id(week: int, job: str = "toll") -> str:
    return f"{job}_run_{samples.NOON + week * WEEK:%Y%m%dt%H%M%Sz}"


def pack(folder: Path, told: Accession, *, text: str = TEXT) -> Bag:
    """Make a bag of a capture, in a folder that may exist."""
    return pack_json(folder, told.bag, CAPTURE, capture_json(told), text=text)


def outcome(source: str, verdict: str, change: str, bag: str | None = None) -> Json:
    """What run.json says of one source."""
    return {
        "id": source,
        "url": f"https://news.example/{source}",
        "verdict": verdict,
        "reasons": [],
        "change": change,
        "requisites": {"wanted": 0, "kept": 0, "missing": []},
        "bag": bag,
    }


def pack_run(
    folder: Path, week: int, sources: Sequence[Json], *, job: str = "toll"
) -> Bag:
    """Make the bag of a run that had these outcomes."""
    started = samples.NOON + week * WEEK
    told: Json = {
        "job": job,
        "run": run_id(week, job),
        "started": stamp(started),
        "ended": stamp(started + timedelta(minutes=1)),
        "bags": [],
        "sources": list(sources),
        "counts": {"captured": 1},
        "exit": 6,
        "exits": [6],
    }
    return pack_json(folder, run_id(week, job), RUN, told)


def pack_json(
    folder: Path, name: str, path: str, story: Json, *, text: str = ""
) -> Bag:
    """Make a bag that tells one JSON story, whatever it is."""
    return pack_bytes(folder, name, path, json_file(path, story).data, text=text)


def pack_bytes(
    folder: Path, name: str, path: str, story: bytes, *, text: str = ""
) -> Bag:
    """Make a bag with one file of metadata, and perhaps the text of a page."""
    payload = [write_file(folder, path, story)]
    if text:
        payload.append(write_file(folder, PAGE_TEXT, text.encode()))
    info = (("Bag-Group-Identifier", "group"), ("External-Identifier", name))
    return replace(bags.write(folder, payload=payload, info=info), id=name)


def content(path: Path) -> dict[str, list[str]]:
    """Everything a catalogue's tables hold, however it came there."""
    shadow = re.compile(r"words_\w+")
    with sqlite3.connect(path) as database:
        tables = [
            name
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            )
            if not shadow.fullmatch(name)
        ]
        told = {
            table: sorted(
                repr(row) for row in database.execute(f"SELECT * FROM {table}")
            )
            for table in tables
        }
    database.close()
    return told


def opened(root: Path) -> Catalogue:
    """A catalogue of a folder of bags, in its usual place."""
    (root / ".muniment").mkdir(exist_ok=True, parents=True)
    return Catalogue.open(root / ".muniment/catalogue.sqlite", root=root)
