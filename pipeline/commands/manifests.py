"""Manifests: checked, planned, run."""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from pipeline import terminal
from pipeline.commands import evidence, handing
from pipeline.commands.session import Session, command
from pipeline.errors import Exit, InterruptedRunError, PipelineError
from pipeline.interruption import Interruption

if TYPE_CHECKING:
    from pipeline.job import Order
    from pipeline.model import Manifest
    from pipeline.outcome import Outcome


@click.command()
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@command
def check(session: Session, manifests: tuple[str, ...]) -> Exit:
    """Validate manifests; every problem at once, nothing fetched."""
    from pipeline.intake import manifest  # noqa: PLC0415 - start-up time

    operator = session.config().operator
    checked = [
        manifest.check(Path(name), operator=operator, environ=os.environ)
        for name in manifests
    ]
    problems = [problem for _, found in checked for problem in found]
    is_ok = all(read is not None for read, _ in checked)
    if session.json:
        terminal.say_json(manifest.problems_as_json(problems))
    else:
        for name, (read, found) in zip(manifests, checked, strict=True):
            if found:
                terminal.say(manifest.render(found))
            if read is not None:
                quotes = sum(len(source.quotes) for source in read.sources)
                counts = (
                    terminal.counted(len(read.sources), "source"),
                    terminal.counted(quotes, "quote"),
                    terminal.counted(len(read.claims), "claim"),
                )
                terminal.say(terminal.line(f"{name}: ok, {', '.join(counts)}"))
    return Exit.OK if is_ok else Exit.MANIFEST


@click.command()
@command
def schema(_: Session) -> None:
    """Print the JSON Schema of a manifest, for editors."""
    from pipeline.intake import manifest  # noqa: PLC0415 - start-up time

    terminal.say_json(manifest.schema())


@click.command()
@click.argument("manifest_file", metavar="MANIFEST")
@click.option("--only", multiple=True, metavar="ID", help="Only this source.")
@command
def plan(session: Session, manifest_file: str, only: tuple[str, ...]) -> None:
    """Show what a run would fetch and what each site will see; touch no network."""
    from pipeline import plan  # noqa: PLC0415 - start-up time
    from pipeline.handoff import destination  # noqa: PLC0415 - likewise
    from pipeline.intake import manifest  # noqa: PLC0415 - likewise

    config = session.config()
    read = manifest.read(Path(manifest_file), operator=config.operator)
    sources = plan.chosen(read, only)
    deposits = tuple(destination.known(config, (read,)).values())
    told = plan.preview(read, sources, deposits)
    if session.json:
        terminal.say_json(told)
        return
    terminal.table(
        ("source", "host", "engine", "delay", "robots", "address"),
        [
            (
                s.id,
                plan.host_of(s),
                plan.engine_of(s),
                terminal.span(s.delay),
                s.robots,
                s.url,
            )
            if not s.skip
            else (s.id, "", "skipped", "", "", s.skip)
            for s in sources
        ],
    )
    terminal.say()
    count = terminal.counted(len(sources), "source")
    hosts = terminal.counted(
        len({plan.host_of(s) for s in sources if not s.skip}), "host"
    )
    terminal.say(f"{count} on {hosts}; nothing was asked.")
    for one in deposits:
        where = one.url or " ".join(one.command) or str(one.to)
        told_when = "not by itself" if one.when == "manual" else f"when {one.when}"
        terminal.say(terminal.line(f"Deposit: {one.name}, {told_when}, to {where}"))
    for agent in plan.user_agents(read, sources):
        terminal.say(terminal.line(f"Each site will see: User-Agent: {agent}"))


@click.command()
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@click.option("--only", multiple=True, metavar="ID", help="Only this source.")
@click.option(
    "--allow-address",
    multiple=True,
    metavar="CIDR",
    help="Open a network beyond the public internet, and any port.",
)
@click.option(
    "--connect-to",
    multiple=True,
    metavar="H:P:H:P",
    help="Go to the second host and port instead of the first, as in curl.",
)
@click.option("--cacert", metavar="FILE", help="Trust these roots as well.")
@click.option(
    "--strict", is_flag=True, help="Old news counts; every quote is required."
)
@click.option("--fresh", is_flag=True, help="Begin anew, even where a run was stopped.")
@click.option("--quiet", is_flag=True, help="No progress.")
@command
def run(
    session: Session,
    *,
    manifests: tuple[str, ...],
    only: tuple[str, ...],
    allow_address: tuple[str, ...],
    connect_to: tuple[str, ...],
    cacert: str | None,
    strict: bool,
    fresh: bool,
    quiet: bool,
) -> Exit:
    """Visit every source, keep what came, and bag it.

    A run that was stopped is gone on with by the same command: what it kept is not
    visited again.
    """
    from pipeline import job  # noqa: PLC0415 - start-up time
    from pipeline.capture import address  # noqa: PLC0415 - likewise
    from pipeline.intake import manifest  # noqa: PLC0415 - likewise

    config = session.config()
    read = [manifest.read(Path(name), operator=config.operator) for name in manifests]
    for one in read:  # before the first of them is run
        job.preflight(one, only)
    policy = address.Policy(
        allow=(*config.allow, *map(address.parse_allow, allow_address)),
        connect_to=tuple(map(address.parse_connect_to, connect_to)),
    )
    roots = Path(cacert) if cacert else None
    order = job.Order(
        only=only, strict=strict, policy=policy, cacert=roots, fresh=fresh
    )
    progress = terminal.progress(quiet=quiet)
    interruption = Interruption(terminal.alarm)
    try:
        outcomes = []
        with interruption.listening():
            for one in read:
                if interruption.is_asked:
                    raise InterruptedRunError(f"interrupted before {one.id} was begun")
                outcome = one_run(session, one, order, progress, interruption)
                outcomes.append(outcome)
    except PipelineError as error:
        error.bags = (*(bag for made in outcomes for bag in made.bags), *error.bags)
        raise
    finally:
        progress.close()
    from pipeline.outcome import together  # noqa: PLC0415 - start-up time

    told = together(outcomes)
    if session.json:
        terminal.say_json(told)
    else:
        for outcome in outcomes:
            terminal.outcome(outcome.told)
    return Exit(told["exit"])


def one_run(
    session: Session,
    read: "Manifest",
    order: "Order",
    progress: terminal.Quiet,
    interruption: Interruption,
) -> "Outcome":
    """Run one manifest through a door of its own."""
    from pipeline import job  # noqa: PLC0415 - start-up time
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise
    from pipeline.config import own_folder  # noqa: PLC0415 - likewise

    with (
        closing(job.network_for(read, order, SystemClock())) as network,
        closing(session.store()) as store,
        closing(evidence.appointed(session.config(), order)) as notary,
    ):
        interruption.ends(network.stop)
        return job.run(
            read,
            order=replace(
                order,
                notary=notary,
                courier=handing.courier(session.config(), read, store),
            ),
            store=store,
            network=network,
            progress=progress,
            keys=own_folder(os.environ),
        )
