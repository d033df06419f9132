"""The whole story of one source in one file, and the plain records beside it.

``capture.json`` names the source, the document that cites it, the verdict and its
reasons, every exchange, the quotes that were looked for and every file with its
digests. A request header is told as the manifest has it, so that a secret appears as
the name of the place it was read from, never as itself. The manifest's own entry
stands beside it, as its author wrote it.
"""

from urllib.parse import quote

from msgspec.structs import fields

from pipeline.clock import stamp
from pipeline.model import (
    Accession,
    Artefact,
    Capture,
    Difference,
    Event,
    Exchange,
    Previous,
    Purpose,
    QuoteSighting,
    Run,
    Source,
)
from pipeline.packaging.rendering import Json, one_line, readable, told, told_pairs

CRAWL_LOG_HEAD = """\
# Every exchange of this visit, one a line, in the order they were made.
# A dash stands for nothing. The fields, one space between them:
# started status method purpose attempt url bytes type seconds server payload remarks
"""


def capture_json(accession: Accession) -> dict[str, Json]:
    """Tell one source's capture as capture.json has it."""
    capture, run = accession.capture, accession.run
    return {
        "format": "muniment-capture/1",
        "bag": accession.bag,
        "job": run.job,
        "run": run.id,
        "source": _source(capture.source),
        "document": told(run.document),
        "started": stamp(capture.started),
        "ended": stamp(capture.ended),
        "verdict": capture.verdict.value,
        "reasons": told(capture.reasons),
        "detail": readable(capture.detail),
        "change": accession.change.value,
        "engine": capture.engine.value,
        "user_agent": readable(capture.user_agent),
        "final_url": readable(capture.final_url),
        "page_title": readable(capture.page_title),
        "payload": told(capture.payload),
        "redirects": _redirects(capture),
        "exchanges": [_exchange(exchange) for exchange in capture.exchanges],
        "connections": told(capture.connections),
        "requisites": told(capture.requisites),
        "quotes": [_quote(sighting) for sighting in capture.quotes],
        "artefacts": [artefact_json(artefact) for artefact in capture.artefacts],
        "previous": _previous(accession.previous),
        "text_diff": _difference(accession.difference),
        "notes": told(capture.notes),
        "operator": told(run.operator),
        "software": readable(run.software),
        "plan": str(run.plan),
        "settings": told_pairs(run.settings),
        "environment": told_pairs(run.environment),
        "self_test": told(run.self_test),
    }


def environment_json(run: Run) -> dict[str, Json]:
    """Tell what ran, in which versions, and with which settings of the command line."""
    return {
        "software": readable(run.software),
        "environment": told_pairs(run.environment),
        "settings": told_pairs(run.settings),
    }


def event_lines(events: tuple[Event, ...]) -> tuple[Json, ...]:
    """Tell each event as one line of events.jsonl has it."""
    return tuple(told(event) for event in events)


def crawl_log(exchanges: tuple[Exchange, ...]) -> str:
    """Tell every exchange in one line that a person can read."""
    return CRAWL_LOG_HEAD + "".join(_line(exchange) + "\n" for exchange in exchanges)


def _source(source: Source) -> Json:
    described = [field.name for field in fields(source) if field.name != "entry"]
    every = {name: told(getattr(source, name)) for name in described}
    return {**every, "headers": told_pairs(source.headers)}


def _redirects(capture: Capture) -> Json:
    return [
        {
            "url": readable(exchange.url),
            "status": exchange.status,
            "location": readable(exchange.location),
        }
        for exchange in capture.exchanges
        if exchange.purpose is Purpose.DOCUMENT and exchange.location
    ]


def _quote(sighting: QuoteSighting) -> Json:
    # W3C Web Annotation Data Model 4.2.4, Text Quote Selector
    return {
        "text": readable(sighting.text),
        "match": sighting.match.value,
        "required": sighting.required,
        "found": sighting.found,
        "score": sighting.score,
        "selector": {
            "type": "TextQuoteSelector",
            "exact": readable(sighting.exact),
            "prefix": readable(sighting.prefix),
            "suffix": readable(sighting.suffix),
        },
        "record": sighting.record,
        "url": readable(sighting.url),
    }


def artefact_json(artefact: Artefact) -> Json:
    """Tell a file with its size and digests."""
    return {
        "path": readable(artefact.path),
        "size": artefact.size,
        "digests": {digest.algorithm: digest.hex for digest in artefact.digests},
        "media_type": readable(artefact.media_type),
        "derived_from": readable(artefact.derived_from),
    }


def _previous(previous: Previous | None) -> Json:
    if previous is None:
        return None
    return {
        "bag": previous.bag,
        "verdict": previous.verdict.value,
        "captured_at": stamp(previous.captured_at),
        "tagmanifest": told(previous.tagmanifest),
    }


def _difference(found: Difference | None) -> Json:
    if found is None:
        return None
    return {
        "before": found.before,
        "removed": found.removed,
        "added": found.added,
        "whole": found.is_whole,
        "lines": told(found.lines),
    }


def _exchange(one: Exchange) -> dict[str, Json]:
    """Tell one exchange, every field by its name; a page has thousands of them."""
    return {
        "url": readable(one.url),
        "purpose": one.purpose.value,
        "started": stamp(one.started),
        "method": one.method,
        "seconds": one.seconds,
        "attempt": one.attempt,
        "status": one.status,
        "failure": one.failure,
        "detail": readable(one.detail),
        "ip": one.ip,
        "port": one.port,
        "dns": list(one.dns),
        "protocols": list(one.protocols),
        "cipher": one.cipher,
        "date": stamp(one.date) if one.date else None,
        "media_type": readable(one.media_type),
        "location": readable(one.location),
        "referrer": readable(one.referrer),
        "size": one.size,
        "payload_size": one.payload_size,
        "payload": str(one.payload) if one.payload else None,
        "truncated": one.truncated,
        "anomalies": list(one.anomalies),
        "tls_invalid": readable(one.tls_invalid),
        "connection": one.connection,
        "response": told(one.response),
        "request": told(one.request),
    }


def _line(exchange: Exchange) -> str:
    one, kind = exchange, exchange.media_type.partition(";")[0]
    return (
        f"{stamp(one.started)} {one.status or '-'} {_word(one.method)} "
        f"{one.purpose.value} {one.attempt} {_word(one.url)} {one.size} {_word(kind)} "
        f"{one.seconds:.3f} {_word(_server(one))} {one.payload or '-'} {_remarks(one)}"
    )


def _server(exchange: Exchange) -> str:
    host = f"[{exchange.ip}]" if ":" in exchange.ip else exchange.ip
    return f"{host}:{exchange.port}" if host else "-"


def _remarks(exchange: Exchange) -> str:
    """Say what was odd, in one line; as a rule nothing was."""
    cut = f"truncated: {exchange.truncated}" if exchange.truncated else ""
    said = (exchange.failure, exchange.detail, cut, *exchange.anomalies)
    return "; ".join(one_line(remark) for remark in said if remark) or "-"


def _word(text: str) -> str:
    """Keep a field in one piece: white space and controls go percent-encoded."""
    plain = readable(text).strip()
    if plain.isprintable() and " " not in plain:
        return plain or "-"
    return "".join(c if c.isprintable() and c != " " else quote(c) for c in plain)
