"""How far the clocks of servers stood from ours: evidence of time without NTP (pure).

Every HTTP response may carry a ``Date``. One server's clock proves nothing; the median
of many is hard to be wrong together with ours, and is told with how many there were.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from msgspec import Struct

from pipeline.clock import unstamp

FAR = timedelta(minutes=1)  # beyond, a machine's time is doubtful


class Skew(Struct, frozen=True, kw_only=True):
    """The middle of what servers' clocks said beside ours, and of how many."""

    seconds: float  # positive where theirs were ahead
    servers: int


def offsets(
    seen: Iterable[tuple[str, datetime, datetime]],
) -> tuple[tuple[str, float], ...]:
    """Tell how many seconds each server was ahead, by the median of what it said.

    ``seen`` holds a server, its ``Date``, and our clock when the answer began. A Date
    has whole seconds: half of one is added.
    """
    servers: dict[str, list[float]] = {}
    for server, theirs, ours in seen:
        servers.setdefault(server, []).append((theirs - ours).total_seconds() + 0.5)
    return tuple((server, median(said)) for server, said in servers.items())


def median_skew(seen: Iterable[tuple[str, datetime, datetime]]) -> Skew | None:
    """Take the median over servers, each by its own median: a busy one counts once."""
    return skew_of(offsets(seen))


def skew_of(told: Iterable[tuple[str, float]]) -> Skew | None:
    """Take the median over servers of what ``offsets`` told, of one capture or many."""
    servers: dict[str, list[float]] = {}
    for server, ahead in told:
        servers.setdefault(server, []).append(ahead)
    if not servers:
        return None
    middle = median(median(one) for one in servers.values())
    return Skew(seconds=round(middle, 3), servers=len(servers))


def machine_ahead(facts: Mapping[str, Any], stamped: Iterable[datetime]) -> timedelta:
    """Tell how far the clock of the machine that sealed was ahead, at the most.

    ``facts`` are those of a statement, ``stamped`` the times of its timestamps: a seal
    is never younger than these, but they may come much later. The plan's come at once.
    """
    told = (_told_by_tokens, _told_by_servers)
    found = [one for each in told for one in _readable(each(facts))]
    sealed = _readable(_own_time(facts))
    found += [own - at for own in sealed for at in stamped if own > at]
    return max(found, key=abs, default=timedelta())


def _own_time(facts: Mapping[str, Any]) -> Iterator[datetime]:
    yield unstamp(facts["sealed_at"])


def _told_by_tokens(facts: Mapping[str, Any]) -> Iterator[timedelta]:
    for one in facts["start"]["tokens"]:
        yield unstamp(facts["start"]["machine_clock"]) - unstamp(one["at"])


def _told_by_servers(facts: Mapping[str, Any]) -> Iterator[timedelta]:
    for one in facts["clock"]["sntp"]:
        yield timedelta(seconds=-one.get("offset_seconds", 0))


def _readable(found: Iterator[Any]) -> list[Any]:
    """Take what can be read: a stranger's statement may hold anything."""
    try:
        return list(found)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return []
