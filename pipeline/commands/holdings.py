"""What the archive holds: listed, shown, indexed anew, looked after."""

import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pipeline import terminal
from pipeline.clock import stamp
from pipeline.commands import evidence
from pipeline.commands.session import Session, command
from pipeline.errors import Exit, FixityError, UsageError

RECEIVED = "received, not captured here"


@click.command(name="list")
@click.argument("job", required=False)
@command
def list_bags(session: Session, job: str | None) -> None:
    """List what the archive holds, of one job or of all: captured here, or received."""
    with closing(session.catalogue()) as catalogue:
        held = catalogue.bags(job=job)
        captures = {one.bag: one for one in catalogue.captures(job=job)}
        jobs = sorted({one.job for one in catalogue.bags()} - {""})
    if job is not None and not held:
        known = ", ".join(jobs) or "none"
        raise UsageError(f"{job}: no job of this name has a bag; there are: {known}")
    rows = [
        (
            stamp(one.at) if one.at else "",
            one.job,
            one.source,
            "received" if one.is_received else "captured",
            captures[one.bag.id].verdict if one.bag.id in captures else "",
            ", ".join(captures[one.bag.id].reasons) if one.bag.id in captures else "",
            one.bag.path,
        )
        for one in held
        if one.is_received or one.bag.id in captures
    ]
    columns = ("captured_at", "job", "source", "origin", "verdict", "reasons", "path")
    if session.json:
        told = [dict(zip(columns, map(str, row), strict=True)) for row in rows]
        terminal.say_json({"captures": told})
    else:
        terminal.table(columns, rows)


@click.command()
@click.argument("name", metavar="BAG|SOURCE|RUN")
@command
def show(session: Session, name: str) -> None:
    """Show a bag, the last bag of a source, or what a run made."""
    with closing(session.catalogue()) as catalogue:
        found = catalogue.find(name)
    if found.sort == "run":
        paths = [str(one.bag.path) for one in found.bags]
        told: dict[str, Any] = {"run": found.id, "bags": paths}
    else:
        last = found.bags[-1]
        told = {"path": str(last.bag.path), **sealed(session, last.bag.path)}
        if last.is_received:  # what it says of itself is a stranger's word
            told |= {"bag": last.bag.id, "origin": RECEIVED, "info": last.info}
        else:
            told |= story_of(last.bag.path)
    if session.json:
        terminal.say_json(told)
    else:
        terminal.story(told)


def sealed(session: Session, bag: Path) -> dict[str, Any]:
    """Tell what the seals of a bag are worth by this machine's configuration."""
    if not evidence.is_sealed(bag):
        return {}
    found = evidence.assurance_of(session, bag)
    proofs = [proof for one in found.seals for proof in one.proofs]
    told = {"sealed": found.sentence(), "seals": found.told()}
    if proofs:
        told["basis"] = "by this machine's clock; see the seal for others' word"
    return told


@click.group()
def catalogue() -> None:
    """Tend the index, which can always be made anew."""


@catalogue.command()
@command
def rebuild(session: Session) -> None:
    """Make the catalogue anew from the bags and the log."""
    from pipeline.holdings.verify import against_logs  # noqa: PLC0415 - start-up time

    session.holdings()
    with closing(session.store()) as store:
        problems = store.rebuild()
        bags = [one.bag.path for one in store.catalogue.bags()]
    wrong = [f"{bag}: {one.message} [{one.code}]" for bag, one in against_logs(bags)]
    problems, count = (*problems, *wrong), len(bags)
    if session.json:
        terminal.say_json({"bags": count, "problems": list(problems)})
        return
    for sentence in problems:
        terminal.say(terminal.line(sentence))
    terminal.say(f"the catalogue lists {terminal.counted(count, 'bag')}")


@click.command()
@click.option("--repair", is_flag=True, help="Do what every run does first.")
@command
def doctor(session: Session, *, repair: bool) -> Exit:
    """Say how the archive and this machine are; write nothing without --repair."""
    from pipeline import doctor, identity  # noqa: PLC0415 - start-up time
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise
    from pipeline.notary import key_of  # noqa: PLC0415 - likewise

    config = session.config()
    root = config.archive.absolute()
    repaired: tuple[str, ...] = ()
    if repair:
        session.holdings()
        with closing(session.store()) as store:
            repaired = doctor.repair(store)
    seen = doctor.look(
        root,
        environment=identity.environment(),
        now=SystemClock().now(),
        key=key_of(config, os.environ),
    )
    told = replace(seen, repaired=repaired)
    if session.json:
        terminal.say_json(told.told())
    else:
        terminal.health(told)
    return Exit.OK if told.ok else Exit.FIXITY


def story_of(bag: Path) -> dict[str, Any]:
    """Read what a bag tells of itself. Raises FixityError where it tells nothing."""
    for name in ("capture.json", "run.json"):
        file = bag / "data" / "metadata" / name
        try:
            if file.is_file():
                story: dict[str, Any] = json.loads(file.read_bytes())
                return story
        except ValueError as error:
            raise FixityError(f"{file}: expected JSON, found {error}") from error
    raise FixityError(f"{bag}: neither capture.json nor run.json is in it")
