"""What a capture is worth: a verdict, every reason, and a sentence for a person.

Pure: exchanges in, an assessment out. Only the source's own URL decides; what a page
needs beside itself never does. Rules are tables, and a reason stands under one verdict.
``judge`` finds what HTTP alone tells, and words that are missing; walls, soft 404s and
the like are found by ``walls`` and weighed here with the others.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from msgspec import Struct

from pipeline.capture.walls import Sign
from pipeline.model import Exchange, Previous, QuoteSighting, Verdict

PRECEDENCE = (Verdict.FAILED, Verdict.REFUSED, Verdict.SUSPECT, Verdict.PARTIAL)
GOOD = frozenset((Verdict.CAPTURED, Verdict.UNCHANGED, Verdict.SKIPPED))
BY_HAND = "if it opens in a browser, keep a copy made there beside this bag"
KEPT = "what came before is kept"
SUCCESS = range(200, 300)
EXPLAINING = ("bot-wall", "login-wall")  # reasons that stand beside a refusal too

# Reason to its verdict and what a person should know. ``{detail}`` is what was noticed.
# Beside these stands ``http-NNN``, a refusal in the words of REFUSALS.
REASONS: dict[str, tuple[Verdict, str]] = {
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
    "tls-invalid": (
        Verdict.SUSPECT,
        "the server's certificate is not valid, so it may be another's page: {detail}",
    ),
    "bot-wall": (Verdict.SUSPECT, f"a check for robots stands before it; {BY_HAND}"),
    "login-wall": (Verdict.SUSPECT, f"a login stands before it; {BY_HAND}"),
    "paywall": (Verdict.SUSPECT, f"a paywall stands before it; {BY_HAND}"),
    "consent-wall": (
        Verdict.SUSPECT,
        f"a request for consent stands before it; {BY_HAND}",
    ),
    "soft-404": (
        Verdict.SUSPECT,
        "the page says that it is not there; look for where it moved",
    ),
    "parked": (
        Verdict.SUSPECT,
        "the domain is parked or for sale; look for a copy in another archive",
    ),
    "redirected-home": (
        Verdict.SUSPECT,
        "it leads to the front page; look for where the page moved",
    ),
    "js-shell": (
        Verdict.SUSPECT,
        f"the page is empty until its scripts have run; {BY_HAND}",
    ),
    "empty": (Verdict.SUSPECT, "the server answered with nothing in it"),
    "quote-missing": (Verdict.SUSPECT, "required words are not there: {detail}"),
    "truncated-length": (
        Verdict.PARTIAL,
        f"it is larger than max_size; {KEPT}",
    ),
    "truncated-time": (
        Verdict.PARTIAL,
        f"the server fell silent or the deadline passed; {KEPT}",
    ),
    "truncated-disconnect": (
        Verdict.PARTIAL,
        f"the server closed the connection early; {KEPT}",
    ),
    "framing": (
        Verdict.PARTIAL,
        "the answer does not keep to HTTP, so where it ends is a guess: {detail}",
    ),
    "limit": (
        Verdict.PARTIAL,
        f"the answer goes beyond what is read of any server: {{detail}}; {KEPT}",
    ),
}

# What was noticed on the wire, and the reason it is; "" = odd, and the document whole.
ANOMALIES: dict[str, str] = {
    "bare-lf": "",  # RFC 9112, 2.2: may be taken for a line end
    "obs-fold": "",  # RFC 9112, 5.2: read as blanks
    "header-junk": "",  # a line that is no field says nothing of the body
    "nul": "",  # RFC 9110, 5.5: invalid in a value, no matter for the body
    "overlong": "",  # RFC 9112, 6.3: what comes too much is not of the message
    # RFC 9112, 6.3 item 3: chunks override the length. A sign of smuggling, yet whole.
    "length-and-chunked": "",
    "two-lengths": "framing",  # RFC 9112, 6.3 item 5: an unrecoverable error
    "bad-length": "framing",  # likewise
    "bad-chunk": "framing",  # RFC 9112, 7.1
    "no-status-line": "framing",  # RFC 9112, 4: whatever came, it is not HTTP/1.1
    "http-0.9": "framing",  # without a head nothing tells whether it is whole
    "missing-last-chunk": "truncated-disconnect",  # RFC 9112, 8
    "too-many-headers": "limit",
    "header-too-large": "limit",
    "trailer-too-large": "limit",
    "chunk-line-too-large": "limit",
    "interim-flood": "limit",
}

# What a refusal means, where there is more to say than its phrase.
REFUSALS = {
    401: f"it asks for a login; {BY_HAND}",
    402: "it asks for money",
    403: f"the server will not show it to us; {BY_HAND}",
    404: "it is not there; look for where it moved, or in another archive",
    410: "it was taken down for good; look in another archive",
    429: "the server has had enough of us for now; raise `delay`",
    451: "it is withheld for legal reasons; it may open from elsewhere",
}


class Assessment(Struct, frozen=True, kw_only=True):
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
    signs: Iterable[Sign] = (),
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
        found = [*_reasons(hops[-1], quotes), *_of_signs(hops[-1], signs)]
    found += [("tls-invalid", hop.tls_invalid) for hop in hops if hop.tls_invalid]
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
    status = last.status
    if last.failure:
        yield last.failure, last.detail
    elif (status is None and not last.payload_size) or (status or 200) < min(SUCCESS):
        cut = {"time": "timeout", "disconnect": "reset"}.get(last.truncated, "")
        yield cut or "no-response", "the server never came to an answer"
    elif status is None or status in SUCCESS:
        yield from _of_document(last)
        yield from _of_quotes(quotes)
    else:
        yield f"http-{status}", ""


def _of_document(last: Exchange) -> Iterator[tuple[str, str]]:
    """Name what is wrong with a document that came."""
    found: dict[str, list[str]] = {}
    for name in sorted(last.anomalies):
        if reason := ANOMALIES.get(name):
            found.setdefault(reason, []).append(name)
    if last.status == HTTPStatus.PARTIAL_CONTENT:
        # RFC 9110, 15.3.7: only to one who asked for a part, which we never do.
        found.setdefault("framing", []).append("a part (206), not asked for")
    if last.truncated and "limit" not in found:
        yield f"truncated-{last.truncated}", ""
    for reason, names in found.items():
        yield reason, ", ".join(names)
    if not last.payload_size and not last.truncated:
        yield "empty", ""


def _of_signs(last: Exchange, signs: Iterable[Sign]) -> Iterator[tuple[str, str]]:
    """Name what stands in the page's place; of a refusal, why it may be one."""
    if last.failure:
        return
    for sign in signs:
        if last.status in SUCCESS or sign.name in EXPLAINING:
            yield sign.name, sign.evidence


def _of_quotes(quotes: Iterable[QuoteSighting]) -> Iterator[tuple[str, str]]:
    """Name required words that were seen nowhere; once is enough."""
    seen = tuple(quotes)
    found = {quote.text for quote in seen if quote.found}
    required = dict.fromkeys(quote.text for quote in seen if quote.required)
    missing = [text for text in required if text not in found]
    if missing:
        yield "quote-missing", "; ".join(f'"{text}"' for text in missing)


def _verdict_of(reason: str) -> Verdict:
    if reason.startswith("http-"):
        return Verdict.REFUSED
    return REASONS[reason][0]


def _sentence(reason: str, said: str) -> str:
    if not reason.startswith("http-"):
        return REASONS[reason][1].format(detail=said)
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
