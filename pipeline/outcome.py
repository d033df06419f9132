"""What became of a run: outcomes told as values, as JSON, as an exit status (pure).

The document that ``run`` prints is the one that the run's own bag keeps: cli.md's
contract, fields added and never renamed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.capture.assess import is_news
from pipeline.clock import stamp
from pipeline.errors import Exit, first_exit
from pipeline.holdings.merkle import Head, head_json
from pipeline.model import (
    Artefact,
    Bag,
    Capture,
    Change,
    Previous,
    Purpose,
    Run,
    Source,
    Verdict,
)
from pipeline.packaging.rendering import Json
from pipeline.packaging.story import artefact_json

PENDING = "pending"  # a seal that still lacks a token


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One visited source at home: its capture and where it was packed."""

    capture: Capture
    change: Change
    previous: Previous | None
    bag: Bag | None  # None where nothing changed
    seal: dict[str, Json] | None = None  # None where nobody seals


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
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
    strict: bool,
    custody: Head,
    artefacts: Sequence[Artefact] = (),
) -> Outcome:
    """Tell a run as cli.md's contract has it, sources in the manifest's order.

    ``custody`` is the head of the custody log as the run's own bag is packed, and
    ``artefacts`` are the files of that bag that came from elsewhere.
    """
    exits = exits_of(kept, strict=strict)
    visited = {one.capture.source.id: one for one in kept}
    in_order = [visited[s.id] for s in sources if s.id in visited]
    verdicts = [one.capture.verdict for one in kept]
    verdicts += [Verdict.SKIPPED for source in sources if source.skip]
    return Outcome(
        told={
            "job": run.job,
            "run": run.id,
            "started": stamp(run.started),
            "ended": stamp(ended),
            "bags": [bag_told(one) for one in in_order if one.bag is not None],
            "sources": [
                skipped_told(source) if source.skip else source_told(visited[source.id])
                for source in sources
            ],
            "counts": {str(v): verdicts.count(v) for v in Verdict if v in verdicts},
            "run_bag": str(run_bag),
            "custody": head_json(custody),
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


def together(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Tell several runs in one document; one run is told as it is."""
    if len(outcomes) == 1:
        return outcomes[0].told
    return {
        "runs": [outcome.told for outcome in outcomes],
        "exit": int(first_exit(outcome.exit for outcome in outcomes)),
    }


def exits_of(kept: Iterable[Kept], *, strict: bool) -> tuple[Exit, ...]:
    """List each exit status that a source gives cause for, once."""
    found: dict[Exit, None] = {}
    for one in kept:
        capture = one.capture
        if one.seal and one.seal["state"] == PENDING:
            found[Exit.RETRY] = None
        if "deferred" in capture.reasons:  # nothing is wrong yet
            found[Exit.RETRY] = None
            continue
        if not is_news(
            capture.verdict,
            capture.reasons,
            one.previous,
            capture.source.expect,
            strict=strict,
        ):
            continue
        found[Exit.NOT_CAPTURED] = None
        if any(quote.required and not quote.found for quote in capture.quotes):
            found[Exit.QUOTE_MISSING] = None
    return tuple(sorted(found))


def bag_told(one: Kept) -> Json:
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


def source_told(one: Kept) -> Json:
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
        "requisites": {"wanted": 0, "kept": 0, "missing": []},
        "bag": None,
    }
