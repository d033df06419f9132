"""What a run came to, as a table for people: a row a source (pure).

The first columns are auto-archiver's, by the names that its sheets have, so that a list
that came in as CSV goes back as one; the others are ours. A title is a stranger's
words: no cell is a formula to a spreadsheet.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipeline.clock import stamp
from pipeline.holdings.cards import Visit
from pipeline.packaging.rendering import Rendering, csv_file, inert

COLUMNS = (
    "Link",
    "Archive status",
    "Archive location",
    "Archive date",
    "Upload title",
    "Hash",
    "Source",
    "Verdict",
    "Reasons",
    "In words",
    "Change",
    "News",
    "HTTP status",
    "Quotes found",
    "Quotes missing",
    "Requisites kept",
    "Requisites wanted",
    "Bag",
    "Bag sha256",
    "Run",
)

Seen = Callable[[str, str], Sequence[Visit]]  # visits of a job's source, in time
Place = Callable[[str], str]  # where a bag stands


def table(runs: Iterable[Mapping[str, Any]], seen: Seen, place: Place) -> Rendering:
    """Render the documents of runs, as ``run`` prints them, as one table."""
    rows = (
        tuple(map(inert, _row(told, source, seen(told["job"], source["id"]), place)))
        for told in runs
        for source in told["sources"]
    )
    return csv_file("results.csv", COLUMNS, rows)


def _row(
    told: Mapping[str, Any],
    source: Mapping[str, Any],
    visits: Sequence[Visit],
    place: Place,
) -> tuple[str, ...]:
    at = next((n for n, one in enumerate(visits) if one.run == told["run"]), None)
    visit = None if at is None else visits[at]
    # An unchanged source has no bag of this run; the last one before holds the bytes.
    past = [] if at is None else visits[: at + 1]
    held = next((one for one in reversed(past) if one.bag), None)
    bag = next((one for one in told["bags"] if one["id"] == source["bag"]), None)
    quotes = bag["quotes"] if bag else []
    reasons = ", ".join(source["reasons"])
    verdict = str(source["verdict"])
    needed = source["requisites"]
    return (
        source["url"],
        f"{verdict}: {reasons}" if reasons else verdict,
        place(held.bag) if held else "",
        stamp(visit.at) if visit and visit.at else "",
        held.title if held else "",
        str(held.payload) if held and held.payload else "",
        source["id"],
        verdict,
        reasons,
        source["detail"],
        source["change"] or "",
        "yes" if source.get("news") else "no",
        str(bag["status"]) if bag and bag["status"] is not None else "",
        str(sum(one["found"] for one in quotes)),
        str(sum(not one["found"] for one in quotes)),
        str(needed["kept"]),
        str(needed["wanted"]),
        source["bag"] or "",
        bag["tagmanifest"].get("sha256", "") if bag else "",
        told["run"],
    )
