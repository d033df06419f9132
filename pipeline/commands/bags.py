"""Bags in folders and in files: made, verified, handed out, taken in."""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import __version__, terminal
from pipeline.commands import evidence
from pipeline.commands.session import Session, command, existing
from pipeline.errors import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.handoff.export import Exported, Writer
    from pipeline.packaging.opinion import Opinion
    from pipeline.packaging.validate import Report

LEVELS = ("oxum", "complete", "full")
FORMS = ("tar", "tar.gz", "zip", "kit", "certificate")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="full",
    help="Count and size, names, or every digest.",
)
@click.option(
    "--profile",
    metavar="FILE|NAME",
    help="Hold bags to a BagIt profile: muniment, btr, aptrust, or a JSON file.",
)
@click.option(
    "--second-opinion", is_flag=True, help="Ask bagit, warcio and fastwarc as well."
)
@click.option("--html", metavar="OUT.html", help="Write a page to show or print.")
@evidence.demands
@command
def verify(
    session: Session,
    *,
    paths: tuple[str, ...],
    level: str,
    profile: str | None,
    second_opinion: bool,
    html: str | None,
    **demand: Any,
) -> Exit:
    """Say what is wrong with bags: folders, folders of bags, tar, tar.gz, zip."""
    from pipeline.model import Level  # noqa: PLC0415 - start-up time
    from pipeline.packaging import profile as profiles  # noqa: PLC0415 - likewise
    from pipeline.packaging import serial, validate  # noqa: PLC0415 - likewise

    if html is not None:
        require_free(Path(html))  # before hours of reading
    agreed = profiles.load(profile) if profile is not None else None
    places = [existing(path) for path in paths]
    judged = [
        one
        for place in places
        for one in serial.judged(place, level=Level(level), profile=agreed)
    ]
    judged, seals = evidence.assured(session, judged, **demand)
    reports, heard = asked(judged) if second_opinion else (judged, [()] * len(judged))
    if any(map(in_archive, (*places, *(one.path for one in reports)))):
        from pipeline.holdings.verify import beside_logs  # noqa: PLC0415 - likewise

        reports = beside_logs(reports, places, level=Level(level))
    heard += [()] * (len(reports) - len(heard))  # of bags that are gone
    is_ok = bool(reports) and all(one.ok for one in reports)
    if html is not None:
        write_page(Path(html), reports, heard)
    if session.json:
        bags = [validate.report_json(one) for one in reports]
        if second_opinion:
            add_opinions(bags, heard)
        for bag, found in zip(bags, seals, strict=False):  # of those gone, none
            bag["seals"] = found.told() if found else []
        terminal.say_json({"bags": bags, "ok": is_ok})
    else:
        pairs = zip(reports, seals, strict=False)
        terminal.reports(reports, {one.path: s.sentence() for one, s in pairs if s})
        for one, opinions in zip(reports, heard, strict=True):
            terminal.opinions(one, opinions)
    return Exit.OK if is_ok else Exit.FIXITY


def in_archive(path: Path) -> bool:
    """Tell whether a path is, or stands in, what may be an archive with its log."""
    here = path.absolute()
    return any((one / ".muniment").is_dir() for one in (here, *here.parents))


def asked(
    judged: "list[Report]",
) -> "tuple[list[Report], list[tuple[Opinion, ...]]]":
    """Ask the other readers of bags and WARCs, and weigh what they say."""
    from pipeline.packaging import opinion  # noqa: PLC0415 - start-up time

    heard = [opinion.opinions(one) for one in judged]
    pairs = zip(judged, heard, strict=True)
    return [opinion.heard(*pair) for pair in pairs], heard


def add_opinions(
    bags: list[dict[str, object]], heard: "Sequence[tuple[Opinion, ...]]"
) -> None:
    """Tell beside each bag what others say of it."""
    from pipeline.packaging.opinion import opinion_json  # noqa: PLC0415 - start-up time

    for bag, opinions in zip(bags, heard, strict=True):
        bag["opinions"] = [opinion_json(one) for one in opinions]


def require_free(out: Path) -> None:
    """Refuse to write a page over what stands there. Raises UsageError."""
    from pipeline import sheet  # noqa: PLC0415 - start-up time

    sheet.require_free(out)


def write_page(
    out: Path, reports: "Sequence[Report]", heard: "Sequence[tuple[Opinion, ...]]"
) -> None:
    """Write what a verification found as a page."""
    from pipeline import report  # noqa: PLC0415 - start-up time
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise

    pairs = zip(reports, heard, strict=True)
    told = [report.Judged(report=one, opinions=said) for one, said in pairs]
    software = f"muniment {__version__}"
    report.write(out, told, at=SystemClock().now(), software=software)


@click.command()
@click.argument("name", metavar="BAG|SOURCE|RUN")
@click.argument("out", metavar="OUT")
@click.option(
    "--to", "form", type=click.Choice(FORMS), required=True, help="The form of OUT."
)
@command
def export(session: Session, name: str, out: str, form: str) -> None:
    """Hand out a bag: as one file, or as a kit for whoever trusts nobody.

    BAG is a folder, or a name that `show` knows: of a source its last bag, of a run
    the run's own. What was written is verified before it is told of.
    """
    from pipeline.handoff.export import exported_json  # noqa: PLC0415 - start-up time

    done = exported(session, name, Path(out), form)
    for note in done.notes:
        terminal.remark(note)
    if session.json:
        terminal.say_json(exported_json(done))
        return
    for line in done.said:
        indent = "    " + " " * (len(line) - len(line.lstrip()))
        terminal.say(indent + terminal.line(line))
    logged = "" if done.line is None else f"; line {done.line + 1} of the custody log"
    size = f"{done.size:,} bytes"
    terminal.say(terminal.line(f"wrote {done.out} ({size}), verified{logged}"))
    for digest in done.digests[:1]:
        terminal.say(f"    {digest}")


def exported(session: Session, name: str, out: Path, form: str) -> "Exported":
    """Export a bag by its folder or its name; what the archive holds is logged."""
    from pipeline.clock import SystemClock  # noqa: PLC0415 - start-up time
    from pipeline.handoff import export  # noqa: PLC0415 - likewise

    write = writer(session, form)
    folder, root = Path(name), session.config().archive.absolute()
    if folder.is_dir() and not folder.resolve().is_relative_to(root.resolve()):
        return write(folder, out)
    session.holdings()
    with closing(session.store()) as store:
        holding = export.holding_of(store.catalogue, name)
        if holding is None:
            return write(folder, out)
        return export.export_holding(
            holding, out, write, store=store, clock=SystemClock()
        )


def writer(session: Session, form: str) -> "Writer":
    """Choose who writes a form, and tell them what they go by."""
    from pipeline.handoff import export  # noqa: PLC0415 - start-up time
    from pipeline.packaging.parcel import Form  # noqa: PLC0415 - likewise

    if form in set(Form):
        return export.in_one_file(Form(form))
    from pipeline import notary  # noqa: PLC0415 - loads cryptography
    from pipeline.clock import SystemClock  # noqa: PLC0415 - start-up time
    from pipeline.handoff import certificate, kit  # noqa: PLC0415 - likewise

    judging = {"kit": kit.kit, "certificate": certificate.certificate}
    known = notary.trusted(session.config().authorities)
    return partial(judging[form], authorities=known, now=SystemClock().now())


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--job", metavar="NAME", help="File what is kept under this job.")
@command
def receive(session: Session, files: tuple[str, ...], job: str | None) -> Exit:
    """Take in bags made elsewhere: tar, tar.gz, zip, or a folder.

    What is right is kept; what is wrong is set aside in quarantine; what may do harm
    is not unpacked at all. The file itself is not touched.
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415 - start-up time
    from pipeline.handoff import receive as reception  # noqa: PLC0415 - likewise

    places = [existing(file) for file in files]
    told = []
    exits: set[Exit] = set()
    with closing(session.store()) as store:
        for one in reception.receive_all(
            places,
            store=store,
            clock=SystemClock(),
            job=job or reception.JOB,
            judge=evidence.assay(session),
        ):
            exits.add(one.exit)
            told.append(reception.received_json(one))
            if not session.json:
                terminal.received(one)
    if session.json:
        terminal.say_json({"received": told, "ok": exits <= {Exit.OK}})
    return max(exits)


@click.command(name="bag")
@click.argument("folder", metavar="DIR")
@click.option("--into", required=True, metavar="NEW", help="The bag to be made.")
@click.option("--info", multiple=True, metavar="KEY=VALUE", help="A line of bag-info.")
@command
def make_bag(session: Session, folder: str, into: str, info: tuple[str, ...]) -> None:
    """Make a bag from a folder; the folder is not touched."""
    from pipeline.packaging import bag  # noqa: PLC0415 - start-up time

    pairs = tuple(pair(text) for text in info)
    made = bag.make(Path(folder), Path(into), info=pairs, note=terminal.remark)
    told = {
        "path": str(made.path.absolute()),
        "files": made.files,
        "bytes": made.size,
        "tagmanifest": {d.algorithm: d.hex for d in made.tagmanifests},
    }
    if session.json:
        terminal.say_json(told)
    else:
        told_size = terminal.size(made.files, made.size)
        terminal.say(terminal.line(f"{made.path}: {told_size}"))


def pair(text: str) -> tuple[str, str]:
    """Read KEY=VALUE. Raises UsageError."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError(f"--info {text}: expected KEY=VALUE")
    return key, value
