"""A capture told for people, archives and courts: all of a bag's ``data/metadata``.

Pure: values in, renderings out, the same values giving the same bytes. Three acts are
added to those of the visit: the taking of digests, the naming of formats and the making
of the package; what happens to a bag after that is told in the custody log, never here.
The index of the WARC is not made here, since it is read from the WARC.

A run's own bag is told more briefly: the outcome as the run printed it, the manifest
and the plan as they were, and what ran. It claims no capture of its own; what it holds
in ``data/objects`` is told as it is handed in.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from pipeline.fixity import ALGORITHMS, digest_of
from pipeline.model import Accession, Artefact, Event, EventType, Run
from pipeline.packaging.account import account_of, run_account
from pipeline.packaging.formats import WARC_RULE, formats_json
from pipeline.packaging.label import bag_info, run_bag_info
from pipeline.packaging.premis import premis_xml
from pipeline.packaging.prov import prov_json
from pipeline.packaging.readme import readme, run_readme
from pipeline.packaging.rendering import (
    Json,
    Rendering,
    json_file,
    jsonl_file,
    text_file,
)
from pipeline.packaging.story import (
    capture_json,
    crawl_log,
    environment_json,
    event_lines,
)
from pipeline.packaging.tables import (
    identifiers_json,
    metadata_csv,
    rights_csv,
    run_metadata_csv,
)

__all__ = [
    "Rendering",
    "bag_info",
    "capture_json",
    "describe",
    "readme",
    "run_bag_info",
    "run_describe",
    "run_readme",
]

METADATA = "data/metadata"
SUBMISSION = f"{METADATA}/submissionDocumentation"
PACKED = "packed as a BagIt 1.0 bag (RFC 8493)"


def describe(
    accession: Accession, *, plan: bytes, uuid: Callable[[], str]
) -> tuple[Rendering, ...]:
    """Render every file of data/metadata of one source's bag, but for the WARC index.

    ``plan`` is this bag's plan.json; ``uuid`` names the three events that are added.
    """
    capture = accession.capture
    account = account_of(accession, _packing(accession, uuid))
    return (
        json_file(f"{METADATA}/capture.json", capture_json(accession)),
        jsonl_file(f"{METADATA}/events.jsonl", event_lines(account.events)),
        premis_xml(f"{METADATA}/premis.xml", account),
        metadata_csv(accession),
        rights_csv(accession),
        json_file(f"{METADATA}/identifiers.json", identifiers_json(accession)),
        json_file(f"{METADATA}/prov.json", prov_json(account)),
        json_file(
            f"{METADATA}/formats.json",
            formats_json(capture.artefacts, capture.exchanges),
        ),
        text_file(f"{SUBMISSION}/entry.yaml", capture.source.entry, "application/yaml"),
        _plan(plan),
        json_file(f"{SUBMISSION}/environment.json", environment_json(accession.run)),
        text_file(f"{SUBMISSION}/crawl.log", crawl_log(capture.exchanges)),
    )


def run_describe(
    run: Run,
    *,
    outcome: Mapping[str, Json],
    plan: bytes,
    manifest: bytes,
    uuid: Callable[[], str],
    packed_at: datetime,
    artefacts: tuple[Artefact, ...] = (),
    events: tuple[Event, ...] = (),
) -> tuple[Rendering, ...]:
    """Render every file of data/metadata of a run's own bag.

    ``outcome`` is what the run prints, ``artefacts`` what stands in data/objects and
    ``events`` how it came there.
    """
    records = (
        json_file(f"{METADATA}/run.json", outcome),
        Rendering(
            path=f"{SUBMISSION}/manifest.yaml",
            data=manifest,
            media_type="application/yaml",
        ),
        _plan(plan),
        json_file(f"{SUBMISSION}/environment.json", environment_json(run)),
    )
    files = (*artefacts, *(_artefact(record) for record in records))
    packed = _done(uuid(), EventType.PACKAGE, packed_at, PACKED, files)
    account = run_account(run, files, (*events, packed))
    return (
        *records,
        jsonl_file(f"{METADATA}/events.jsonl", event_lines(account.events)),
        premis_xml(f"{METADATA}/premis.xml", account),
        run_metadata_csv(run, files),
    )


def _packing(accession: Accession, uuid: Callable[[], str]) -> tuple[Event, ...]:
    """Tell what was done to the files after the visit; they were digested during it."""
    capture, at = accession.capture, accession.packed_at
    names = ", ".join(
        dict.fromkeys(d.algorithm for file in capture.artefacts for d in file.digests)
    )
    digested = f"{names}, as the files were written" if names else ""
    acts = (
        (EventType.DIGEST, capture.ended, digested),
        (EventType.FORMAT, at, WARC_RULE),
        (EventType.PACKAGE, at, PACKED),
    )
    return tuple(
        _done(uuid(), kind, when, detail, capture.artefacts)
        for kind, when, detail in acts
        if detail
    )


def _done(
    event_id: str,
    kind: EventType,
    at: datetime,
    detail: str,
    files: tuple[Artefact, ...],
) -> Event:
    return Event(
        id=event_id,
        type=kind,
        at=at,
        outcome="success",
        detail=detail,
        objects=tuple(file.path for file in files),
    )


def _plan(plan: bytes) -> Rendering:
    return Rendering(
        path=f"{SUBMISSION}/plan.json", data=plan, media_type="application/json"
    )


def _artefact(record: Rendering) -> Artefact:
    return Artefact(
        path=record.path,
        size=len(record.data),
        digests=tuple(digest_of(record.data, name) for name in ALGORITHMS),
        media_type=record.media_type,
    )
