"""What became of a run: outcomes told as values, as JSON, as an exit status (pure).

The document that ``run`` prints is the one that the run's own bag keeps: cli.md's
contract, fields added and never renamed.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pipeline.capture.assess import is_news
from pipeline.clock import stamp
from pipeline.errors import Exit, first_exit
from pipeline.handoff.deposit import Handed, handed_json, receipts_json
from pipeline.holdings.merkle import Head, head_json
from pipeline.model import (
    Artefact,
    Bag,
    Capture,
    Change,
    Digest,
    Previous,
    Purpose,
    Run,
    Source,
    Verdict,
)
from pipeline.packaging.rendering import Json
from pipeline.packaging.rendering import told as as_json
from pipeline.packaging.story import artefact_json

PENDING = "pending"  # a seal that still lacks a token


class Kept(Struct, frozen=True, kw_only=True):
    """One visited source at home, as far as the documents of its run tell of it.

    It is all that a journal has to keep of a source for the run to go on without it.
    """

    source: str
    verdict: Verdict
    told: dict[str, Any]  # its part of "sources"
    bag: dict[str, Any] | None  # its part of "bags"; None where nothing changed
    exits: tuple[Exit, ...] = ()
    clocks: tuple[tuple[str, float], ...] = ()  # seconds ahead of ours, by server

    def json(self) -> dict[str, Any]:
        """Tell it for a journal."""
        return {
            "source": self.source,
            "verdict": self.verdict.value,
            "told": self.told,
            "bag": self.bag,
            "exits": [int(one) for one in self.exits],
            "clocks": [list(one) for one in self.clocks],
        }

    @classmethod
    def parse(cls, told: Any) -> "Kept":
        """Read what ``json`` told. Raises KeyError, TypeError or ValueError."""
        return cls(
            source=told["source"],
            verdict=Verdict(told["verdict"]),
            told=told["told"],
            bag=told["bag"],
            exits=tuple(map(Exit, told["exits"])),
            clocks=tuple((server, ahead) for server, ahead in told["clocks"]),
        )

    def members(self) -> tuple[tuple[str, tuple[Digest, ...]], ...]:
        """Tell its bag, by id and digests; nothing where it has none."""
        if self.bag is None:
            return ()
        found = self.bag["tagmanifest"].items()
        digests = tuple(Digest(name, digits) for name, digits in found)
        return ((self.bag["id"], digests),)


class Visit(Struct, frozen=True, kw_only=True):
    """One visit as it came home, to be told."""

    capture: Capture
    change: Change
    previous: Previous | None
    bag: Bag | None = None  # None where nothing changed
    seal: dict[str, Json] | None = None  # None where nobody seals
    clocks: tuple[tuple[str, float], ...] = ()

    def kept(self, *, strict: bool) -> Kept:
        """Tell it in short."""
        exits = exits_of(self, strict=strict)
        return Kept(
            source=self.capture.source.id,
            verdict=self.capture.verdict,
            told={**source_told(self), "news": Exit.NOT_CAPTURED in exits},
            bag=None if self.bag is None else bag_told(self),
            exits=exits,
            clocks=self.clocks,
        )


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a run: the document that it prints, and how it exits."""

    told: dict[str, Any]  # as cli.md's contract has it
    exit: Exit
    run_bag: Path

    @property
    def bags(self) -> tuple[tuple[str, str], ...]:
        """Every bag of the run by its id and path, the run's own at the end."""
        told = ((bag["id"], bag["path"]) for bag in self.told["bags"])
        return (*told, (self.told["run"], self.told["run_bag"]))


def outcome_of(
    run: Run,
    sources: Sequence[Source],
    kept: Sequence[Kept],
    *,
    ended: datetime,
    run_bag: Path,
    custody: Head,
    resumed: Sequence[datetime] = (),
    artefacts: Sequence[Artefact] = (),
) -> Outcome:
    """Tell a run as cli.md's contract has it, sources in the manifest's order.

    ``custody`` is the head of the custody log as the run's own bag is packed, and
    ``artefacts`` are the files of that bag that came from elsewhere.
    """
    exits = tuple(sorted({code for one in kept for code in one.exits}))
    visited = {one.source: one for one in kept}
    in_order = [visited[s.id] for s in sources if s.id in visited]
    verdicts = [one.verdict for one in kept]
    verdicts += [Verdict.SKIPPED for source in sources if source.skip]
    return Outcome(
        told={
            "job": run.job,
            "run": run.id,
            "started": stamp(run.started),
            "resumed": [stamp(moment) for moment in resumed],
            "ended": stamp(ended),
            "bags": [one.bag for one in in_order if one.bag is not None],
            "sources": [
                skipped_told(source) if source.skip else visited[source.id].told
                for source in sources
            ],
            "counts": {str(v): verdicts.count(v) for v in Verdict if v in verdicts},
            "run_bag": str(run_bag),
            "custody": head_json(custody),
            "self_test": as_json(run.self_test),
            "artefacts": [artefact_json(one) for one in artefacts],
            "receipts": [],
            "exit": int(first_exit(exits)),
            "exits": [int(code) for code in exits],
        },
        exit=first_exit(exits),
        run_bag=run_bag,
    )


def sealed(outcome: Outcome, told: dict[str, Json]) -> Outcome:
    """Add the seal of the run's own bag, which that bag cannot tell of itself."""
    exits = {Exit(code) for code in outcome.told["exits"]}
    if told["state"] == PENDING:
        exits.add(Exit.RETRY)
    code = first_exit(exits)
    told_now = {
        **outcome.told,
        "run_seal": told,
        "exit": int(code),
        "exits": sorted(map(int, exits)),
    }
    return replace(outcome, told=told_now, exit=code)


def deposited(outcome: Outcome, handed: Sequence[Handed]) -> Outcome:
    """Add what became of the run's deposits, which its own bag cannot tell."""
    if not handed:
        return outcome
    exits = {Exit(code) for code in outcome.told["exits"]}
    exits |= {one.exit for one in handed} - {Exit.OK}
    code = first_exit(exits)
    told_now = {
        **outcome.told,
        "receipts": receipts_json(handed),
        "deposits": handed_json(handed),
        "exit": int(code),
        "exits": sorted(map(int, exits)),
    }
    return replace(outcome, told=told_now, exit=code)


def together(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Tell several runs in one document; one run is told as it is."""
    if len(outcomes) == 1:
        return outcomes[0].told
    return {
        "runs": [outcome.told for outcome in outcomes],
        "exit": int(first_exit(outcome.exit for outcome in outcomes)),
    }


def exits_of(one: Visit, *, strict: bool) -> tuple[Exit, ...]:
    """List each exit status that a source gives cause for."""
    capture = one.capture
    pending = (Exit.RETRY,) if one.seal and one.seal["state"] == PENDING else ()
    if "deferred" in capture.reasons:  # nothing is wrong yet
        return (Exit.RETRY,)
    if not is_news(
        capture.verdict,
        capture.reasons,
        one.previous,
        capture.source.expect,
        strict=strict,
    ):
        return pending
    lacks = any(quote.required and not quote.found for quote in capture.quotes)
    missing = (Exit.QUOTE_MISSING,) if lacks else ()
    return (*pending, Exit.NOT_CAPTURED, *missing)


def bag_told(one: Visit) -> dict[str, Any]:
    """Tell one bag in the outcome of its run."""
    capture, packed = one.capture, one.bag
    assert packed is not None, "an unchanged source has no bag"
    statuses = [e.status for e in capture.exchanges if e.purpose is Purpose.DOCUMENT]
    return {
        "id": packed.id,
        "path": str(packed.path),
        "source": capture.source.id,
        "url": capture.source.url,
        "verdict": str(capture.verdict),
        "reasons": list(capture.reasons),
        "detail": capture.detail,
        "tagmanifest": {d.algorithm: d.hex for d in packed.tagmanifests},
        "status": statuses[-1] if statuses else None,
        "exchanges": len(capture.exchanges),
        "bytes": sum(exchange.size for exchange in capture.exchanges),
        "quotes": [
            {"text": q.text, "found": q.found, "score": q.score} for q in capture.quotes
        ],
        **({"seal": one.seal} if one.seal else {}),
    }


def source_told(one: Visit) -> dict[str, Any]:
    """Tell what became of one source."""
    capture = one.capture
    return {
        "id": capture.source.id,
        "url": capture.source.url,
        "verdict": str(capture.verdict),
        "reasons": list(capture.reasons),
        "detail": capture.detail,
        "change": str(one.change),
        "requisites": {
            "wanted": capture.requisites.wanted,
            "kept": capture.requisites.kept,
            "missing": list(capture.requisites.missing),
        },
        "bag": one.bag.id if one.bag else None,
    }


def skipped_told(source: Source) -> Json:
    """Tell a source that is listed, not fetched."""
    return {
        "id": source.id,
        "url": source.url,
        "verdict": str(Verdict.SKIPPED),
        "reasons": [],
        "detail": source.skip,
        "change": None,
        "news": False,
        "requisites": {"wanted": 0, "kept": 0, "missing": []},
        "bag": None,
    }
