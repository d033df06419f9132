"""What changed since the last capture: rules as tables."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from pipeline.capture.compare import change, is_unchanged
from pipeline.model import Change, Digest, Previous, Verdict

ONE, OTHER = Digest("sha256", "11" * 32), Digest("sha256", "22" * 32)
CAPTURED, PARTIAL, SUSPECT = Verdict.CAPTURED, Verdict.PARTIAL, Verdict.SUSPECT
REFUSED, FAILED = Verdict.REFUSED, Verdict.FAILED


def before(
    verdict: Verdict = CAPTURED,
    payload: Digest | None = ONE,
    reasons: tuple[str, ...] = (),
) -> Previous:
    return Previous(
        bag="b",
        verdict=verdict,
        reasons=reasons,
        captured_at=datetime(2026, 9, 24, tzinfo=UTC),
        payload=payload,
    )


@dataclass(frozen=True)
class Case:
    previous: Previous | None
    verdict: Verdict
    told: Change
    payload: Digest | None = ONE
    reasons: tuple[str, ...] = ()


CASES = {
    "never visited": Case(None, CAPTURED, Change.FIRST),
    "never visited, and refused": Case(None, REFUSED, Change.FIRST, None),
    "the same document": Case(before(), CAPTURED, Change.UNCHANGED),
    "said to be unchanged": Case(before(), Verdict.UNCHANGED, Change.UNCHANGED, OTHER),
    "another document": Case(before(), CAPTURED, Change.CHANGED, OTHER),
    "a document without digest now": Case(before(), CAPTURED, Change.CHANGED, None),
    "captured, then a wall": Case(before(), SUSPECT, Change.CHANGED, OTHER),
    "the same bytes, now suspect": Case(
        before(), SUSPECT, Change.CHANGED, ONE, ("quote-missing",)
    ),
    "the same wall": Case(
        before(SUSPECT, ONE, ("login-wall",)),
        SUSPECT,
        Change.UNCHANGED,
        ONE,
        ("login-wall",),
    ),
    "another wall": Case(
        before(SUSPECT, ONE, ("login-wall",)),
        SUSPECT,
        Change.CHANGED,
        ONE,
        ("paywall",),
    ),
    "the same reasons in another order": Case(
        before(SUSPECT, ONE, ("empty", "js-shell")),
        SUSPECT,
        Change.UNCHANGED,
        ONE,
        ("js-shell", "empty"),
    ),
    "a wall that fell": Case(before(SUSPECT, OTHER), CAPTURED, Change.CHANGED),
    "cut, then refused": Case(before(PARTIAL), REFUSED, Change.GONE, None),
    "captured, then refused": Case(before(), REFUSED, Change.GONE, None),
    "captured, then nobody there": Case(before(), FAILED, Change.GONE, None),
    "suspect, then refused": Case(before(SUSPECT), REFUSED, Change.GONE, None),
    "refused, then captured": Case(before(REFUSED, None), CAPTURED, Change.BACK),
    "failed, then cut": Case(before(FAILED, None), PARTIAL, Change.BACK),
    "failed, then a wall": Case(before(FAILED, None), SUSPECT, Change.BACK),
    "refused again, with another error page": Case(
        before(REFUSED, ONE, ("http-404",)),
        REFUSED,
        Change.UNCHANGED,
        OTHER,
        ("http-404",),
    ),
    "refused for another reason": Case(
        before(REFUSED, None, ("http-404",)),
        REFUSED,
        Change.CHANGED,
        None,
        ("http-451",),
    ),
    "refused, then nobody there": Case(
        before(REFUSED, None, ("http-404",)), FAILED, Change.CHANGED, None, ("dns",)
    ),
    "not visited": Case(before(), Verdict.SKIPPED, Change.UNCHANGED, None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_visit_is_named_beside_the_one_before(case: Case) -> None:
    told = change(case.previous, case.verdict, case.reasons, case.payload)
    assert told is case.told


@dataclass(frozen=True)
class Same:
    previous: Previous | None
    payload: Digest | None
    told: bool
    verdict: Verdict = CAPTURED


SAMES = {
    "the same document": Same(before(), ONE, told=True),
    "never visited": Same(None, ONE, told=False),
    "another document": Same(before(), OTHER, told=False),
    "the same hexadecimal by another algorithm": Same(
        before(payload=Digest("sha512", "11" * 32)), ONE, told=False
    ),
    "no document, then and now": Same(before(payload=None), None, told=False),
    "the same cut document": Same(before(PARTIAL), ONE, told=False),
    "the same wall": Same(before(SUSPECT), ONE, told=False),
    "the same error page": Same(before(REFUSED), ONE, told=False),
    "the same document, now suspect": Same(before(), ONE, told=False, verdict=SUSPECT),
}


@pytest.mark.parametrize("case", SAMES.values(), ids=SAMES)
def test_only_the_same_captured_document_needs_no_bag(case: Same) -> None:
    told = is_unchanged(case.previous, case.payload, verdict=case.verdict)
    assert told is case.told
