"""What is held of an address, of a source, with some words; and what changed."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import terminal
from pipeline.clock import stamp
from pipeline.commands.session import Session, command
from pipeline.errors import Exit, UsageError

if TYPE_CHECKING:
    from pipeline.holdings.cards import Holding, Kept, Visit
    from pipeline.model import Difference

MOST_TEXT = 1 << 24  # bytes of a text that is compared


@click.command()
@click.argument("url", metavar="URL")
@command
def get(session: Session, url: str) -> Exit:
    """Find every response that is kept to an address, however it is spelt.

    Each has its bag, its record in the WARC, and where the record stands.
    """
    with closing(session.catalogue()) as catalogue:
        found = catalogue.responses(url)
    if session.json:
        terminal.say_json({"url": url, "captures": [kept_json(one) for one in found]})
        return Exit.OK
    if not found:
        terminal.say(terminal.line(f"nothing is kept of {url}"))
    for one in found:
        status = "" if one.status is None else str(one.status)
        at = stamp(one.at) if one.at else ""
        terminal.say(terminal.line(f"{at}  {status}  {one.verdict}  {one.bag}"))
        place = f"{one.record.offset}, {one.record.length} bytes"
        terminal.say("    " + terminal.line(f"{one.record.id} at {place}"))
    return Exit.OK


def kept_json(one: "Kept") -> dict[str, Any]:
    """Tell a response as ``get --json`` does."""
    return {
        "bag": one.bag.name,
        "path": str(one.bag),
        "record": one.record.id,
        "offset": one.record.offset,
        "length": one.record.length,
        "captured_at": stamp(one.at) if one.at else None,
        "verdict": str(one.verdict),
        "status": one.status,
        "url": one.url,
    }


@click.command()
@click.argument("name", metavar="SOURCE")
@command
def history(session: Session, name: str) -> Exit:
    """Tell every visit to a source, the newest last: what came of it, what changed."""
    with closing(session.catalogue()) as catalogue:
        job, source = source_named(catalogue.find(name).id, name)
        visits = catalogue.visits(job=job, source=source)
    if session.json:
        told = [visit_json(one) for one in visits]
        terminal.say_json({"source": f"{job}/{source}", "captures": told})
        return Exit.OK
    rows = [
        (
            stamp(one.at) if one.at else "",
            one.verdict,
            one.change,
            ", ".join(one.reasons),
            one.bag or f"in {one.run}",
        )
        for one in visits
    ]
    terminal.table(("captured_at", "verdict", "change", "reasons", "bag"), rows)
    return Exit.OK


def source_named(found: str, name: str) -> tuple[str, str]:
    """Take a name apart that stands for a source. Raises UsageError."""
    job, slash, source = found.partition("/")
    if not slash:
        raise UsageError(
            f"{name}: expected a source, as job/source; it is a bag or run"
        )
    return job, source


def visit_json(one: "Visit") -> dict[str, Any]:
    """Tell a visit as ``history --json`` does."""
    return {
        "bag": one.bag or None,
        "run": one.run,
        "captured_at": stamp(one.at) if one.at else None,
        "verdict": str(one.verdict),
        "reasons": list(one.reasons),
        "change": str(one.change),
        "changed": str(one.change) not in {"unchanged", "first"},
        "url": one.url,
        "title": one.title,
        "payload": str(one.payload) if one.payload else None,
    }


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="WORDS...")
@click.option("--most", default=50, metavar="N", help="At most so many: 50.")
@command
def search(session: Session, words: tuple[str, ...], most: int) -> Exit:
    """Find the captures in whose title, address or text all the words stand."""
    if most < 1:
        raise UsageError(f"--most {most}: expected 1 or more")
    with closing(session.catalogue()) as catalogue:
        found = catalogue.search(" ".join(words), most=most)
    if session.json:
        terminal.say_json(
            {
                "words": " ".join(words),
                "captures": [
                    {
                        "bag": one.bag,
                        "source": f"{one.job}/{one.source}",
                        "title": one.title,
                        "url": one.url,
                        "passage": one.passage,
                    }
                    for one in found
                ],
            }
        )
        return Exit.OK
    if not found:
        terminal.say("nothing that is kept has all these words")
    for one in found:
        terminal.say(terminal.line(f"{one.job}/{one.source}  {one.bag}"))
        terminal.say("    " + terminal.line(f"{one.title}  {one.url}"))
        terminal.say("    " + terminal.line(f"{one.passage}"))
    return Exit.OK


@click.command()
@click.argument("before", metavar="BAG|SOURCE")
@click.argument("after", required=False, metavar="[BAG]")
@click.option("--html", metavar="OUT.html", help="Write a page to show or print.")
@command
def diff(session: Session, before: str, after: str | None, html: str | None) -> Exit:
    """Show which words of a page went and which came, between two captures.

    A SOURCE alone stands for its last two captures with a bag.
    """
    from pipeline.capture.difference import difference  # noqa: PLC0415 - start-up time

    old, new = pair(session, before, after)
    found = difference(words_of(old), words_of(new), bag=old.bag.id)
    if html is not None:
        write_page(Path(html), old, new, found)
    if session.json:
        terminal.say_json(
            {
                "before": old.bag.id,
                "after": new.bag.id,
                "removed": found.removed,
                "added": found.added,
                "whole": found.is_whole,
                "lines": list(found.lines),
            }
        )
        return Exit.OK
    for side, one in (("---", old), ("+++", new)):
        at = stamp(one.at) if one.at else ""
        terminal.say(terminal.line(f"{side} {one.bag.id}  {at}"))
    for line in found.lines:
        terminal.say(line[:1] + terminal.line(line[1:]))
    if not found.lines:
        terminal.say("the words are the same")
    if not found.is_whole:
        terminal.say("and more, which is not shown")
    return Exit.OK


def pair(session: Session, before: str, after: str | None) -> "tuple[Holding, Holding]":
    """Find the two bags that are compared. Raises UsageError."""
    with closing(session.catalogue()) as catalogue:
        found = catalogue.find(before)
        if after is not None:
            return found.bags[-1], catalogue.find(after).bags[-1]
    held = [one for one in found.bags if not one.is_received]
    if found.sort != "source" or len(held) < 2:  # noqa: PLR2004 - a pair
        raise UsageError(
            f"{before}: it has no two captures to compare; name two bags, as `history` "
            "lists them"
        )
    return held[-2], held[-1]


def words_of(one: "Holding") -> str:
    """Read the text of a capture. Raises UsageError where there is none."""
    from pipeline.capture.visit import TEXT_PATH  # noqa: PLC0415 - start-up time
    from pipeline.disk import small_file  # noqa: PLC0415 - likewise

    try:
        return small_file(one.bag.path / TEXT_PATH, MOST_TEXT).decode(
            "utf-8", "replace"
        )
    except OSError as error:
        raise UsageError(
            f"{one.bag.id}: no text to compare: {error.strerror}; only pages have it"
        ) from error


def write_page(out: Path, old: "Holding", new: "Holding", found: "Difference") -> None:
    """Write a difference as a page."""
    from pipeline import report, sheet  # noqa: PLC0415 - start-up time

    verdict = (
        "warn" if found.lines else "good",
        f"{found.added:,} lines came, {found.removed:,} went",
    )
    sheet.put(
        out,
        (
            *report.head("What changed", verdict),
            *report.facts_list({"before": old.bag.id, "after": new.bag.id}),
            "<pre>\n",
            *(_marked(line) for line in found.lines),
            "</pre>\n</main>\n</body>\n</html>\n",
        ),
    )


def _marked(line: str) -> str:
    from pipeline.sheet import text  # noqa: PLC0415 - start-up time

    tag = {"+": "ins", "-": "del"}.get(line[:1], "span")
    return f"<{tag}>{text(line)}</{tag}>\n"
