"""Manifests: checked and planned."""

import os
from pathlib import Path

import click

from pipeline import terminal
from pipeline.commands.session import Session, command
from pipeline.errors import Exit


@click.command()
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@command
def check(session: Session, manifests: tuple[str, ...]) -> Exit:
    """Validate manifests; every problem at once, nothing fetched."""
    from pipeline.intake import manifest  # noqa: PLC0415 - start-up time

    config = session.config()
    checked = [
        manifest.check(
            Path(name),
            operator=config.operator,
            environ=os.environ,
            authorities=[one.name for one in config.authorities],
        )
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
    known = [one.name for one in config.authorities]
    manifest.require_known(read, known)
    authorities = tuple(known if read.timestamp is None else read.timestamp)
    sources = plan.chosen(read, only)
    deposits = tuple(destination.known(config, (read,)).values())
    told = plan.preview(read, sources, deposits, authorities)
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
    whose = ", ".join(authorities) or "nobody: this machine's own word on the time"
    terminal.say(terminal.line(f"Timestamps: asked of {whose}"))
    for agent in plan.user_agents(read, sources):
        terminal.say(terminal.line(f"Each site will see: User-Agent: {agent}"))
