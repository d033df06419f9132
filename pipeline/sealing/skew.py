"""How far the clocks of servers stood from ours: evidence of time without NTP (pure).

Every HTTP response may carry a ``Date``. One server's clock proves nothing; the median
of many is hard to be wrong together with ours, and is told with how many there were.
"""

from collections.abc import Iterable
from datetime import datetime
from statistics import median

from msgspec import Struct


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
