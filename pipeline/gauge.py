"""How far a run has come, in numbers and in lines of a given width (pure).

A host is a row of sources, visited one after the other; the rows are visited side by
side. What is left is reckoned from the sources of the same host that are done, so that
a host with a long delay counts as what it is.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.model import Verdict

NARROW = 60  # columns below which a host's line is told in short
UNITS = (("s", 60), ("m", 60), ("h", 24), ("d", 365))
SIZES = ("bytes", "kB", "MB", "GB", "TB")


class Row(Struct, frozen=True, kw_only=True):
    """One host: how many of its sources are done, and which is under way."""

    host: str
    total: int
    done: int = 0
    begun: float = 0.0  # when its first visit began
    spent: float = 0.0  # from then until the last one that is done
    source: str = ""  # under way
    since: float = 0.0


class Course(Struct, frozen=True, kw_only=True):
    """A run under way; every event makes another. Moments are seconds of one clock."""

    rows: Mapping[str, Row] = field(default_factory=dict)
    verdicts: Mapping[Verdict, int] = field(default_factory=dict)
    size: int = 0  # bytes that came, of the sources that are done

    @classmethod
    def planned(cls, hosts: Mapping[str, int]) -> "Course":
        """Begin, with so many sources for each host."""
        return cls(
            rows={host: Row(host=host, total=total) for host, total in hosts.items()}
        )

    def visiting(self, host: str, source: str, now: float) -> "Course":
        """Tell that a visit begins."""
        row = self.rows.get(host, Row(host=host, total=1))
        begun = row.begun if row.source or row.done else now
        return self._with(replace(row, source=source, since=now, begun=begun))

    def kept(self, host: str, verdict: Verdict, size: int, now: float) -> "Course":
        """Tell that a visit came to its end."""
        row = self.rows.get(host, Row(host=host, total=1, begun=now))
        done = replace(row, done=row.done + 1, spent=now - row.begun, source="")
        verdicts = Counter(self.verdicts) + Counter([verdict])
        return replace(self._with(done), verdicts=verdicts, size=self.size + size)

    def _with(self, row: Row) -> "Course":
        return replace(self, rows={**self.rows, row.host: row})

    @property
    def total(self) -> int:
        """How many sources there are."""
        return sum(row.total for row in self.rows.values())

    @property
    def done(self) -> int:
        """How many of them are done."""
        return sum(row.done for row in self.rows.values())

    def left(self, at_once: int) -> float | None:
        """Reckon how many seconds are left; None before anything is done.

        ``at_once`` is how many hosts are visited at the same time: the longest row
        decides, or all of them where they must wait for each other.
        """
        if not self.done:
            return None
        usual = sum(row.spent for row in self.rows.values()) / self.done
        needs = [
            (row.total - row.done) * (row.spent / row.done if row.done else usual)
            for row in self.rows.values()
        ]
        return max(*needs, sum(needs) / at_once)

    def lines(
        self, *, width: int, height: int, now: float, at_once: int
    ) -> tuple[str, ...]:
        """Tell it in so many lines at most, none wider; the hosts as far as they fit.

        Of the hosts under way, those that take longest come first.
        """
        hosts = len(self.rows)
        over = sum(row.done >= row.total for row in self.rows.values())
        left = self.left(at_once)
        sums = [
            f"{self.done:,}/{self.total:,} sources",
            f"{over:,}/{hosts:,} hosts",
            size(self.size),
            *([f"about {span(left)} left"] if left is not None else ()),
        ]
        counts = [f"{count:,} {verdict}" for verdict, count in self.verdicts.items()]
        head = [*packed(sums, ", ", width), *packed(counts, ", ", width)]
        under_way = sorted(
            (row for row in self.rows.values() if row.source), key=lambda row: row.since
        )
        room = max(0, height - len(head))
        shown = under_way if len(under_way) <= room else under_way[: max(0, room - 1)]
        told = [*head, *(of_row(row, width, now) for row in shown)]
        if rest := len(under_way) - len(shown):
            told.append(cut(f"and {rest:,} more", width))
        return tuple(told[:height])


def of_row(row: Row, width: int, now: float) -> str:
    """Tell one host under way: who, how far, which source, for how long."""
    far = f"{min(row.done + 1, row.total):,}/{row.total:,}"
    long = span(now - row.since)
    room = width - len(far) - len(long) - 4
    host = min(len(row.host), max(8, room // 2))
    told = f"{cut(row.host, host)}  {far} {cut(row.source, max(0, room - host))} {long}"
    return cut(told, width)


def packed(parts: Iterable[str], mark: str, width: int) -> list[str]:
    """Put as many parts on a line as there is room for."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(mark) + len(part) <= width:
            lines[-1] += mark + part
        else:
            lines.append(cut(part, width))
    return lines


def cut(text: str, width: int) -> str:
    """Shorten what is too wide, and mark that it was."""
    if len(text) <= width:
        return text
    return f"{text[: max(0, width - 3)]}..."[: max(0, width)]


def span(seconds: float) -> str:
    """Write a span of time in its largest unit: 40s, 3m, 2h."""
    number = max(0.0, seconds)
    for unit, most in UNITS:
        if number < most or unit == UNITS[-1][0]:
            return f"{number:.0f}{unit}"
        number /= most
    raise AssertionError("the last unit takes all")


def size(count: int) -> str:
    """Write a number of bytes in its largest unit: 12.3 MB."""
    number, unit = float(count), SIZES[0]
    for unit in SIZES:
        if number < 1000 or unit == SIZES[-1]:  # noqa: PLR2004 - SI
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == SIZES[0] else f"{number:.1f} {unit}"
