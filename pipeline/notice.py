"""Notices: what a person asked to be told of, in words for a subject and a body (pure).

A notice is of one occasion and one job. Old news makes none: a source that is missing
as it was the last time was told then. What is told to strangers' servers is what the
operator's own words and the verdicts say, never the content of a page.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from pipeline.clock import stamp
from pipeline.model import Change, Manifest, Occasion, Recipient, Verdict

MOST = 50  # lines of a notice; the rest is counted
CHANGED = {Change.CHANGED.value, Change.BACK.value}
GOOD = {Verdict.CAPTURED.value, Verdict.UNCHANGED.value, Verdict.SKIPPED.value}


class Notice(Struct, frozen=True, kw_only=True):
    """One thing to be told, and to whom: references to addresses, never the secrets."""

    at: datetime
    occasion: Occasion
    subject: str
    lines: tuple[str, ...]
    to: tuple[str, ...]

    def text(self) -> str:
        """Write the body, as long as a person will read."""
        more = len(self.lines) - MOST
        rest = (f"and {more:,} more",) if more > 0 else ()
        return "\n".join((*self.lines[:MOST], *rest))


def recipients(told: Iterable[Recipient], occasion: Occasion) -> tuple[str, ...]:
    """Find who asked to be told of an occasion, each address once."""
    return tuple(dict.fromkeys(one.url for one in told if occasion in one.on))


def of_run(
    told: Mapping[str, Any], whom: Iterable[Recipient], at: datetime
) -> Iterator[Notice]:
    """Tell what a run came to, by the document that it prints."""
    everyone = tuple(whom)
    sources = told["sources"]
    found = {
        Occasion.GONE: [one for one in sources if one["change"] == Change.GONE],
        Occasion.FAILED: [one for one in sources if _failed(one)],
        Occasion.CHANGED: [one for one in sources if one["change"] in CHANGED],
    }
    for occasion, some in found.items():
        to = recipients(everyone, occasion)
        if some and to:
            yield Notice(
                at=at,
                occasion=occasion,
                subject=f"{told['job']}: {_counted(len(some))} {_WORDS[occasion]}",
                lines=(*map(_line, some), "", f"run {told['run']}", told["run_bag"]),
                to=to,
            )


_WORDS = {
    Occasion.GONE: "gone",
    Occasion.FAILED: "not captured",
    Occasion.CHANGED: "changed",
}


def of_failure(
    job: str, reason: str, whom: Iterable[Recipient], at: datetime
) -> Iterator[Notice]:
    """Tell of a run, or a part of the upkeep, that came to no end."""
    to = recipients(whom, Occasion.FAILED)
    if to:
        yield Notice(
            at=at,
            occasion=Occasion.FAILED,
            subject=f"{job}: it failed",
            lines=(reason,),
            to=to,
        )


def of_damage(
    archive: str, lines: Iterable[str], whom: Iterable[Recipient], at: datetime
) -> Iterator[Notice]:
    """Tell of bags, seals or a log that are not what they were."""
    to, wrong = recipients(whom, Occasion.FIXITY), tuple(lines)
    if to and wrong:
        yield Notice(
            at=at,
            occasion=Occasion.FIXITY,
            subject=f"damage found in {archive}",
            lines=wrong,
            to=to,
        )


def of_warnings(
    archive: str, lines: Iterable[str], whom: Iterable[Recipient], at: datetime
) -> Iterator[Notice]:
    """Tell of what will go wrong if nobody acts: what ends, what is overdue."""
    to, told = recipients(whom, Occasion.FAILED), tuple(lines)
    if to and told:
        yield Notice(
            at=at,
            occasion=Occasion.FAILED,
            subject=f"something to see to in {archive}",
            lines=told,
            to=to,
        )


def whom_of(manifest: Manifest, others: Iterable[Recipient]) -> tuple[Recipient, ...]:
    """Return whom a manifest and the configuration name."""
    return (*manifest.notify, *others)


def gathered(notices: Iterable[Notice]) -> tuple[str, str]:
    """Write several notices to one person as one message: subject and body."""
    some = tuple(notices)
    if len(some) == 1:
        return some[0].subject, some[0].text()
    parts = (f"{one.subject} ({stamp(one.at)})\n{one.text()}" for one in some)
    return f"{len(some)} notices", "\n\n".join(parts)


def _failed(one: Mapping[str, Any]) -> bool:
    is_bad = one["verdict"] not in GOOD and one["change"] != Change.GONE
    return is_bad and bool(one.get("news"))


def _line(one: Mapping[str, Any]) -> str:
    reasons = f" ({', '.join(one['reasons'])})" if one["reasons"] else ""
    said = f": {one['detail']}" if one["detail"] else ""
    return f"{one['id']}: {one['verdict']}{reasons}{said}\n    {one['url']}"


def _counted(number: int) -> str:
    return f"{number:,} source{'' if number == 1 else 's'}"
