"""What came of a visit gets the verdict, the reasons and the words it deserves."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture import wire
from pipeline.capture.assess import (
    ANOMALIES,
    REASONS,
    is_news,
    judge,
    retry_after,
)
from pipeline.intake import terms
from pipeline.model import Exchange, Match, Previous, Purpose, QuoteSighting, Verdict

NOW = datetime(2026, 9, 24, 3, 17, tzinfo=UTC)
V = Verdict


def hop(**options):
    options = {"status": 200, "payload_size": 100} | options
    return Exchange(url="http://a/", purpose=Purpose.DOCUMENT, started=NOW, **options)


def quote(*, found, required=True, text="the words"):
    return QuoteSighting(
        text=text, match=Match.NORMALIZED, required=required, found=found, score=0.0
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    hops: tuple = field(default_factory=lambda: (hop(),))
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    words: str = ""
    reason: str = ""
    detail: str = ""
    quotes: tuple = ()


CASES = {
    "a page": Case(verdict=V.CAPTURED),
    "a page at the end of redirects": Case(
        hops=(hop(status=301), hop(status=302), hop()), verdict=V.CAPTURED
    ),
    "a page after an attempt that failed": Case(
        hops=(hop(status=503), hop()), verdict=V.CAPTURED
    ),
    "a page with a harmless oddity": Case(
        hops=(hop(anomalies=("bare-lf", "length-and-chunked")),), verdict=V.CAPTURED
    ),
    **{
        f"failed: {reason}": Case(
            hops=(hop(status=None, failure=reason, detail="what was seen"),),
            verdict=V.FAILED,
            reasons=(reason,),
            words="what was seen",
        )
        for reason in ("dns", "connect", "tls", "timeout", "reset", "no-response", "blocked-address")
    },
    **{
        f"refused: {status}": Case(
            hops=(hop(status=status),),
            verdict=V.REFUSED,
            reasons=(f"http-{status}",),
            words=str(status),
        )
        for status in (400, 401, 402, 403, 404, 410, 418, 429, 451, 500, 503, 599, 304)
    },
    "a redirect that leads nowhere": Case(
        hops=(hop(status=301),), verdict=V.REFUSED, reasons=("http-301",), words="301"
    ),
    "redirects without end": Case(
        hops=(hop(status=302),), reason="redirect-limit", detail="10 redirects",
        verdict=V.FAILED, reasons=("redirect-limit",), words="10 redirects",
    ),
    "a redirect to a file": Case(
        hops=(hop(status=302),), reason="unsupported-scheme", detail="file: is not followed",
        verdict=V.FAILED, reasons=("unsupported-scheme",), words="file:",
    ),
    "asked to come back much later": Case(
        hops=(hop(status=503),), reason="deferred", detail="wait 2 days",
        verdict=V.FAILED, reasons=("deferred",), words="next run",
    ),
    "disallowed by robots.txt": Case(
        hops=(), reason="robots", detail="robots.txt disallows it",
        verdict=V.REFUSED, reasons=("robots",), words="disallows",
    ),
    "nothing was asked": Case(hops=(), verdict=V.FAILED, reasons=("no-response",)),
    **{
        f"cut by {why}": Case(
            hops=(hop(truncated=why),), verdict=V.PARTIAL, reasons=(f"truncated-{why}",)
        )
        for why in ("length", "time", "disconnect")
    },
    **{
        f"framed by guesswork: {odd}": Case(
            hops=(hop(anomalies=(odd,)),), verdict=V.PARTIAL, reasons=("framing",), words=odd
        )
        for odd, reason in ANOMALIES.items()
        if reason == "framing"
    },
    "cut and misframed": Case(
        hops=(hop(truncated="disconnect", anomalies=("bad-chunk",)),),
        verdict=V.PARTIAL, reasons=("truncated-disconnect", "framing"),
    ),
    "no status line, but bytes": Case(
        hops=(hop(status=None, anomalies=("no-status-line",)),),
        verdict=V.PARTIAL, reasons=("framing",),
    ),
    **{
        f"odd, and whole: {odd}": Case(hops=(hop(anomalies=(odd,)),), verdict=V.CAPTURED)
        for odd, reason in ANOMALIES.items()
        if not reason
    },
    **{
        f"beyond what is read: {odd}": Case(
            hops=(hop(anomalies=(odd,), truncated="length", payload_size=0),),
            verdict=V.PARTIAL, reasons=("limit",), words=odd,
        )
        for odd, reason in ANOMALIES.items()
        if reason == "limit"
    },
    "an anomaly nobody knows": Case(hops=(hop(anomalies=("new",)),), verdict=V.CAPTURED),
    "without its last chunk": Case(
        hops=(hop(truncated="disconnect", anomalies=("missing-last-chunk",)),),
        verdict=V.PARTIAL, reasons=("truncated-disconnect",),
    ),
    "without its last chunk, and not said to be cut": Case(
        hops=(hop(anomalies=("missing-last-chunk",)),),
        verdict=V.PARTIAL, reasons=("truncated-disconnect",),
    ),
    "a part that nobody asked for": Case(
        hops=(hop(status=206),), verdict=V.PARTIAL, reasons=("framing",), words="206"
    ),
    "other successes": Case(hops=(hop(status=203),), verdict=V.CAPTURED),
    "only interim answers": Case(
        hops=(hop(status=103, payload_size=0),), verdict=V.FAILED, reasons=("no-response",)
    ),
    "half a head, and no status": Case(
        hops=(hop(status=None, payload_size=0, truncated="disconnect", anomalies=("no-status-line",)),),
        verdict=V.FAILED, reasons=("reset",),
    ),
    "interim answers without end": Case(
        hops=(hop(status=None, payload_size=0, truncated="length", anomalies=("interim-flood",)),),
        verdict=V.FAILED, reasons=("no-response",),
    ),
    "an anomaly on the way to a page": Case(
        hops=(hop(status=301, anomalies=("bad-length",), truncated="time"), hop()), verdict=V.CAPTURED
    ),
    "a refusal that was cut": Case(
        hops=(hop(status=404, truncated="time"),), verdict=V.REFUSED, reasons=("http-404",)
    ),
    "an empty page": Case(
        hops=(hop(payload_size=0),), verdict=V.SUSPECT, reasons=("empty",)
    ),
    "no content": Case(
        hops=(hop(status=204, payload_size=0),), verdict=V.SUSPECT, reasons=("empty",)
    ),
    "cut before anything came": Case(
        hops=(hop(payload_size=0, truncated="time"),), verdict=V.PARTIAL, reasons=("truncated-time",)
    ),
    "required words that are there": Case(quotes=(quote(found=True),), verdict=V.CAPTURED),
    "words that are not there, nor required": Case(
        quotes=(quote(found=False, required=False),), verdict=V.CAPTURED
    ),
    "required words that are not there": Case(
        quotes=(quote(found=False),), verdict=V.SUSPECT, reasons=("quote-missing",), words='"the words"'
    ),
    "required words that are in one text of two": Case(
        quotes=(quote(found=False), quote(found=True)), verdict=V.CAPTURED
    ),
    "required words of which some are there": Case(
        quotes=(quote(found=True), quote(found=False, text="more")),
        verdict=V.SUSPECT, reasons=("quote-missing",), words=': "more"',
    ),
    "cut, and the words are not in what came": Case(
        hops=(hop(truncated="time"),), quotes=(quote(found=False),),
        verdict=V.SUSPECT, reasons=("quote-missing", "truncated-time"),
    ),
    "words are not sought in a refusal": Case(
        hops=(hop(status=404),), quotes=(quote(found=False),), verdict=V.REFUSED, reasons=("http-404",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_visit_is_judged(case):
    found = judge(case.hops, reason=case.reason, detail=case.detail, quotes=case.quotes)
    assert found.verdict is case.verdict
    assert found.reasons == case.reasons
    assert case.words in found.detail
    assert found.detail


def test_every_reason_stands_where_the_manifest_has_it():
    named = {name: v for v, names in terms.REASONS.items() for name in names}
    assert named == {name: verdict for name, (verdict, _) in REASONS.items()}


@pytest.mark.parametrize(("name", "rule"), REASONS.items(), ids=REASONS.keys())
def test_every_reason_has_a_sentence_that_can_be_filled_in(name, rule):
    said = judge((), reason=name, detail="what was seen").detail
    assert said.startswith(rule[1].partition("{")[0])
    assert "{" not in said


def test_every_anomaly_leads_to_a_reason_of_a_partial_document_or_to_none():
    assert {REASONS[reason][0] for reason in ANOMALIES.values() if reason} == {
        V.PARTIAL
    }


def test_the_recorder_notes_no_anomaly_that_is_not_judged():
    noted = re.findall(r'_note\("([^"]+)"\)', Path(wire.__file__).read_text())
    assert noted
    assert set(noted) <= set(ANOMALIES)


RETRY = {
    "seconds": ("120", timedelta(seconds=120)),
    "none at all": ("0", timedelta(0)),
    "with blanks": (" 5 ", timedelta(seconds=5)),
    "a date": ("Thu, 24 Sep 2026 03:18:00 GMT", timedelta(minutes=1)),
    "a date gone by": ("Thu, 24 Sep 2026 03:16:00 GMT", timedelta(0)),
    "a date without a zone": ("Thu, 24 Sep 2026 03:18:00", timedelta(minutes=1)),
    "nonsense": ("soon", None),
    "negative": ("-5", None),
    "nothing": ("", None),
    "a fraction": ("1.5", None),
}


@pytest.mark.parametrize(("told", "span"), RETRY.values(), ids=RETRY.keys())
def test_retry_after_is_read(told, span):
    assert retry_after(told, NOW) == span


def test_an_absurd_wait_is_long_and_no_error():
    assert retry_after("9" * 40, NOW) > timedelta(days=365)


@given(st.text(max_size=40))
def test_no_header_makes_it_raise(told):
    assert retry_after(told, NOW) is None or retry_after(told, NOW) >= timedelta(0)


def before(verdict, *reasons):
    return Previous(bag="b", verdict=verdict, reasons=reasons, captured_at=NOW)


NEWS = {
    "captured is none": (V.CAPTURED, (), None, (), False),
    "unchanged is none": (V.UNCHANGED, (), before(V.CAPTURED), (), False),
    "the first refusal is": (V.REFUSED, ("http-404",), None, (), True),
    "the same refusal again is none": (V.REFUSED, ("http-404",), before(V.REFUSED, "http-404"), (), False),
    "another refusal is": (V.REFUSED, ("http-410",), before(V.REFUSED, "http-404"), (), True),
    "gone after it was there is": (V.REFUSED, ("http-404",), before(V.CAPTURED), (), True),
    "an expected refusal is none": (V.REFUSED, ("http-404",), None, ("http-404",), False),
    "an expected refusal of another kind is": (V.REFUSED, ("http-403",), None, ("http-404",), True),
    "one reason expected of two is": (V.PARTIAL, ("framing", "truncated-time"), None, ("framing",), True),
}  # fmt: skip


@pytest.mark.parametrize(("verdict", "reasons", "previous", "expect", "news"), NEWS.values(), ids=NEWS.keys())  # fmt: skip
def test_only_what_is_new_is_news(verdict, reasons, previous, expect, news):
    assert is_news(verdict, reasons, previous, expect) is news


def test_under_strict_old_news_is_news_and_captured_is_none():
    assert is_news(
        V.REFUSED,
        ("http-404",),
        before(V.REFUSED, "http-404"),
        ("http-404",),
        strict=True,
    )
    assert not is_news(V.CAPTURED, (), None, (), strict=True)
