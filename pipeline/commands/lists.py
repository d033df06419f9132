"""Lists of sources that others keep, taken in as manifests; results, handed back."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import click

from pipeline import terminal
from pipeline.commands.session import Session, command
from pipeline.errors import Exit, UsageError
from pipeline.loglines import Level


@click.command(name="import")
@click.argument("list_file", metavar="LIST")
@click.option("--into", metavar="MANIFEST", help="Write it there; nothing is replaced.")
@click.option("--id", "name", metavar="ID", help="The manifest's id: the file's name.")
@click.option(
    "--form",
    type=click.Choice(["seeds", "csv", "browsertrix"]),
    help="How the list is written; else its name's ending tells.",
)
@click.option("--column", default="", help="Of a CSV: the one with the addresses.")
@command
def import_list(
    session: Session,
    *,
    list_file: str,
    into: str | None,
    name: str | None,
    form: str | None,
    column: str,
) -> Exit:
    """Make a manifest of a list: addresses a line, CSV, browsertrix's seeds.

    What has no place in a manifest is told with its line; what is no address is left
    out, with exit status 4.
    """
    from pipeline import sheet  # noqa: PLC0415 - start-up time
    from pipeline.intake import lists  # noqa: PLC0415 - likewise
    from pipeline.intake.draft import draft  # noqa: PLC0415 - likewise

    if into is not None:
        sheet.require_free(Path(into))
    path = Path(list_file)
    written = lists.Form(form) if form else lists.form_of(path.name)
    if column and written is not lists.Form.CSV:
        raise UsageError("--column goes with a CSV")
    reading = lists.read(content(path), written, name=list_file, column=column)
    made = draft(reading, name=id_of(name, into or list_file), origin=path.name)
    for one in made.remarks:
        place = f"{list_file}:{one.line}" if one.line else list_file
        level = Level.WARN if one.is_bad else Level.INFO
        terminal.remark(terminal.line(f"{place}: {one.message}"), level)
    if into is not None:
        sheet.put(Path(into), (made.text,))
    if session.json:
        terminal.say_json(
            {
                "written": str(Path(into).absolute()) if into else None,
                "manifest": None if into else made.text,
                "sources": made.sources,
                "remarks": [
                    {"line": one.line, "message": one.message, "bad": one.is_bad}
                    for one in made.remarks
                ],
            }
        )
    elif into is None:
        terminal.say(made.text.rstrip("\n"))
    else:
        count = terminal.counted(made.sources, "source")
        terminal.say(terminal.line(f"wrote {into}: {count}"))
    return Exit.OK if made.is_whole else Exit.MANIFEST


def content(path: Path) -> bytes:
    """Read a list, and no more of it than a manifest may have. Raises UsageError."""
    from pipeline.disk import small_file  # noqa: PLC0415 - start-up time
    from pipeline.intake.notation import MAX_BYTES  # noqa: PLC0415 - likewise

    try:
        return small_file(path, MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: {reason}; the list cannot be read") from error


def id_of(name: str | None, file: str) -> str:
    """Choose the manifest's id. Raises UsageError for what is none."""
    from pipeline.intake.terms import Unfit, identifier, slug  # noqa: PLC0415

    try:
        return identifier(slug(Path(file).stem) or "sources" if name is None else name)
    except Unfit as error:
        raise UsageError(f"--id: {error.message}; {error.hint}") from error


def write_results(
    session: Session, out: Path, runs: Iterable[Mapping[str, Any]]
) -> None:
    """Write the results of runs as CSV, to a name that is free.

    Raises UsageError, StorageError, and whatever the catalogue raises.
    """
    from pipeline import results, sheet  # noqa: PLC0415 - start-up time

    with closing(session.catalogue()) as catalogue:

        @cache
        def place(bag: str) -> str:
            found = catalogue.bags(bag=bag)
            return str(found[0].bag.path) if found else ""

        table = results.table(
            runs, lambda job, one: catalogue.visits(job=job, source=one), place
        )
    sheet.put(out, (table.data.decode(),))
