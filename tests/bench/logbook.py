"""The bench of the custody log: a hundred thousand lines read, and lines added.

Run as a program, it appends so many entries to a log and knows the root after each:

    python tests/bench/logbook.py LOG ENTRIES
"""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path

from benches import MUNIMENT, PYTHON, Sizes, absent, nothing
from contest import Bench, Contender, Want
from measure import Step

from pipeline.holdings.custody import Act, Entry, Log, line_of
from pipeline.model import Digest

LINES = 100_000
ENTRIES = 200
EACH = 0.020  # seconds for an entry to be on disk and its root known
AT = datetime(2026, 1, 1, tzinfo=UTC)


def entry(number: int) -> Entry:
    """What a fixity check leaves in the log: as long a line as any."""
    bag = f"case_source-{number % 1000}_20260101t000000z_{number:08x}"
    told = [
        Digest(name, hashlib.new(name, bag.encode()).hexdigest())
        for name in ("sha256", "sha512")
    ]
    return Entry(
        act=Act.FIXITY_CHECK,
        at=AT,
        bag=bag,
        job="case",
        path=f"case/2026/{bag}",
        tagmanifests=tuple(told),
        outcome="success",
        software="Muniment",
    )


def bench(place: Path, sizes: Sizes) -> Bench:
    """The whole log checked, and entries added to its end."""
    lines = LINES if sizes == Sizes() else LINES // 10
    own = place / ".muniment"
    own.mkdir()
    log = own / "custody.jsonl"
    with log.open("wb") as file:
        file.writelines(line_of(n, entry(n)) for n in range(lines))
    verify = Step(argv=(*MUNIMENT, "--archive", str(place), "log", "verify"))
    append = (PYTHON, str(Path(__file__)), str(log))
    return Bench(
        name="log-100000",
        job=f"a custody log of {lines:,} lines: checked whole; {ENTRIES} entries added",
        amount=lines,
        unit="lines/s",
        contenders=(
            Contender(
                name="muniment log verify",
                steps=lambda _: [verify],
                proof=nothing,
                absent=absent("muniment"),
            ),
            Contender(
                name="append, root known",
                steps=lambda _: [Step(argv=(*append, str(ENTRIES)))],
                idle=lambda _: [Step(argv=(*append, "0"))],
                proof=nothing,
                absent=absent("muniment"),
            ),
        ),
        wants=(
            Want(contender="append, root known", seconds=ENTRIES * EACH),
            Want(contender="muniment log verify", resident=200),
        ),
        rounds=3,
    )


def main() -> None:
    """Append entries, each durable before the next, and know the root after each."""
    log, entries = Log(Path(sys.argv[1])), int(sys.argv[2])
    head = log.head()
    for _ in range(entries):
        log.append(entry(head.size))
        head = log.head()


if __name__ == "__main__":
    main()
