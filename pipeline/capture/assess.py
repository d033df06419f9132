"""What a capture is worth: a verdict, every reason, and a sentence for a person.

Pure: exchanges in, an assessment out. Only the source's own URL decides; what a page
needs beside itself never does. Rules are tables, and a reason stands under one verdict.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from pipeline.model import Exchange, Previous, QuoteSighting, Verdict

PRECEDENCE = (Verdict.FAILED, Verdict.REFUSED, Verdict.SUSPECT, Verdict.PARTIAL)
GOOD = frozenset((Verdict.CAPTURED, Verdict.UNCHANGED, Verdict.SKIPPED))
BY_HAND = "if it opens in a browser, keep a copy made there beside this bag"

# Reason to its verdict and what a person should know. ``{detail}`` is what was noticed.
RULES: dict[str, tuple[Verdict, str]] = {
    "dns": (Verdict.FAILED, "the host was not found: {detail}"),
    "connect": (Verdict.FAILED, "no connection was made: {detail}"),
    "tls": (Verdict.FAILED, "{detail}"),
    "timeout": (Verdict.FAILED, "nothing came in time: {detail}"),
    "reset": (Verdict.FAILED, "{detail}"),
    "no-response": (Verdict.FAILED, "{detail}"),
    "blocked-address": (
        Verdict.FAILED,
        "{detail}; --allow-address opens a network that is meant",
    ),
    "redirect-limit": (Verdict.FAILED, "it redirects without end: {detail}"),
    "deferred": (Verdict.FAILED, "{detail}; the next run takes it up"),
    "unsupported-scheme": (Verdict.FAILED, "{detail}"),
    "robots": (Verdict.REFUSED, "{detail}, and the manifest says to obey"),
    "empty": (Verdict.SUSPECT, "the server answered with nothing in it"),
    "quote-missing": (Verdict.SUSPECT, "required words are not there: {detail}"),
    "truncated-length": (
        Verdict.PARTIAL,
        "it is larger than max_size; what came before is kept",
    ),
    "truncated-time": (
        Verdict.PARTIAL,
        "the server fell silent or the deadline passed; what came before is kept",
    ),
    "truncated-disconnect": (
        Verdict.PARTIAL,
        "the server closed the connection early; what came before is kept",
    ),
    "framing": (
        Verdict.PARTIAL,
        "the answer does not keep to HTTP, so where it ends is a guess: {detail}",
    ),
}

# Where these stand, the end of the message is a guess (RFC 9112, 6.3). The others are
# odd and harmless: a message with a length and chunks, say, is framed by its chunks.
MISFRAMED = frozenset(("two-lengths", "bad-length", "bad-chunk", "no-status-line"))

# What a refusal means, where there is more to say than its phrase.
REFUSALS = {
    401: "it asks for a login",
    402: "it asks for money",
    403: f"the server will not show it to us; {BY_HAND}",
    404: "it is not there",
    410: "it was taken down for good",
    429: "the server has had enough of us for now; raise `delay`",
    451: "it is withheld for legal reasons",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A verdict, all its reasons, and the first of them in a sentence."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    detail: str = ""


def judge(
    hops: Sequence[Exchange],
    *,
    reason: str = "",
    detail: str = "",
    quotes: Iterable[QuoteSighting] = (),
) -> Assessment:
    """Judge a visit by the hops to its document, the last of them the answer.

    ``reason`` is one that no exchange shows (robots, redirect-limit, deferred,
    unsupported-scheme), with its ``detail``.
    """
    if reason:
        found = [(reason, detail)]
    elif not hops:
        found = [("no-response", "nothing was asked")]
    else:
        found = list(_reasons(hops[-1], quotes))
    if not found:
        return Assessment(verdict=Verdict.CAPTURED, detail="kept whole")
    found.sort(key=lambda pair: PRECEDENCE.index(_verdict_of(pair[0])))
    first, said = found[0]
    return Assessment(
        verdict=_verdict_of(first),
        reasons=tuple(dict.fromkeys(name for name, _ in found)),
        detail=_sentence(first, said),
    )


def _reasons(
    last: Exchange, quotes: Iterable[QuoteSighting]
) -> Iterator[tuple[str, str]]:
    if last.failure:
        yield last.failure, last.detail
        return
    if last.status is not None and last.status not in range(200, 300):
        yield f"http-{last.status}", ""
        return
    if last.truncated:
        yield f"truncated-{last.truncated}", ""
    if odd := MISFRAMED.intersection(last.anomalies):
        yield "framing", ", ".join(sorted(odd))
    if not last.payload_size and not last.truncated:
        yield "empty", ""
    missing = [q.text for q in quotes if q.required and not q.found]
    if missing:
        yield "quote-missing", "; ".join(f'"{text}"' for text in missing)


def _verdict_of(reason: str) -> Verdict:
    if reason.startswith("http-"):
        return Verdict.REFUSED
    return RULES[reason][0]


def _sentence(reason: str, said: str) -> str:
    if not reason.startswith("http-"):
        return RULES[reason][1].format(detail=said)
    status = int(reason.removeprefix("http-"))
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    more = REFUSALS.get(status, "")
    return f"the server answered {phrase}{': ' + more if more else ''}"


# ---------------------------------------------------------------------------- retries


def retry_after(told: str, now: datetime) -> timedelta | None:
    """Read Retry-After: seconds, or a date (RFC 9110, 10.2.3). None for nonsense."""
    told = told.strip()
    if told.isascii() and told.isdigit():
        seconds = min(float(told), timedelta.max.total_seconds() / 2)
        return timedelta(seconds=math.floor(seconds))
    try:
        moment = parsedate_to_datetime(told)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(timedelta(0), moment - now)


# ------------------------------------------------------------------------------- news


def is_news(
    verdict: Verdict,
    reasons: tuple[str, ...],
    previous: Previous | None,
    expect: tuple[str, ...],
    *,
    strict: bool = False,
) -> bool:
    """Tell whether a source that is not captured is worth waking someone for.

    It is where it was so neither the last time nor expected; under ``strict`` always.
    """
    if verdict in GOOD:
        return False
    if strict:
        return True
    if set(reasons) <= set(expect):
        return False
    if previous is None:
        return True
    return (previous.verdict, set(previous.reasons)) != (verdict, set(reasons))
