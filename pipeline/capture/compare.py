"""What changed since the last capture of a source: decisions, nothing else.

A visit is compared by its verdict, its reasons, the digest of the source's own
document and, where that differs, the words of the page. ``is_unchanged`` and
``says_the_same`` tell whether a bag is needed at all; ``change`` names the visit.
"""

from pipeline.model import Change, Digest, Previous, Verdict

ANSWERED = frozenset({Verdict.CAPTURED, Verdict.PARTIAL, Verdict.SUSPECT})


def is_unchanged(
    previous: Previous | None,
    payload: Digest | None,
    *,
    verdict: Verdict = Verdict.CAPTURED,
) -> bool:
    """Tell whether a visit brought the same document as a capture that is kept.

    Only what was ``captured``, then and now, is worth pointing back to; refusals,
    walls and cut documents are kept again each time.
    """
    return (
        previous is not None
        and previous.verdict is Verdict.CAPTURED
        and verdict in {Verdict.CAPTURED, Verdict.UNCHANGED}
        and payload is not None
        and previous.payload == payload
    )


def says_the_same(
    previous: Previous | None, words: Digest | None, *, verdict: Verdict
) -> bool:
    """Tell whether a page says what a whole capture of it said, in other bytes.

    An advertisement that rotates, a token in a form, a date in a script are no change:
    what a reader sees as words is. The other bytes are kept all the same.
    """
    return (
        previous is not None
        and previous.verdict is Verdict.CAPTURED
        and verdict is Verdict.CAPTURED
        and words is not None
        and previous.words == words
    )


def change(
    previous: Previous | None,
    verdict: Verdict,
    reasons: tuple[str, ...] = (),
    payload: Digest | None = None,
) -> Change:
    """Name what a visit is beside the capture before it.

    Two refusals are compared by their reasons and never by their bodies: error pages
    carry request numbers and the time of day. A skipped source was not visited, so
    nothing is known to have changed.
    """
    if previous is None:
        return Change.FIRST
    if verdict in {Verdict.UNCHANGED, Verdict.SKIPPED}:
        return Change.UNCHANGED
    had, has = previous.verdict in ANSWERED, verdict in ANSWERED
    if had != has:
        return Change.BACK if has else Change.GONE
    same_worth = (previous.verdict, set(previous.reasons)) == (verdict, set(reasons))
    same_bytes = not has or previous.payload == payload
    return Change.UNCHANGED if same_worth and same_bytes else Change.CHANGED
