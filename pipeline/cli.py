"""The command line: parse, call one function, print.

Options that hold for every command (--archive, --config, --json, --debug) may stand
before or after it. What only some commands need is imported by them, so that help and
a bad manifest answer at once.
"""

import gc
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import __version__, terminal
from pipeline.clock import stamp
from pipeline.commands import bags, custody
from pipeline.commands.session import Session, command
from pipeline.errors import (
    Exit,
    FixityError,
    InterruptedRunError,
    PipelineError,
    StorageError,
    UsageError,
)

if TYPE_CHECKING:
    from pipeline.job import Order
    from pipeline.model import Manifest
    from pipeline.outcome import Outcome

EVERYWHERE = {"--archive": True, "--config": True, "--json": False, "--debug": False}


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 ok, 1 unexpected, 2 usage, 3 storage, 4 manifest, "
    "5 fixity, 6 a source is not captured, 7 a required quote is missing, "
    "9 try again, 11 interrupted, 22 a deposit failed.",
)
@click.version_option(__version__, prog_name="muniment")
@click.option("--archive", metavar="DIR", help="The archive folder.")
@click.option("--config", metavar="FILE", help="Read this muniment.toml.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--debug", is_flag=True, help="Show a traceback of what goes wrong.")
@click.pass_context
def app(
    context: click.Context,
    archive: str | None,
    config: str | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
    debug: bool,  # noqa: FBT001 - likewise
) -> None:
    """Keep the web sources that a document cites, as evidence that still stands.

    Start with `muniment demo`; then `muniment init` writes a manifest to fill in.
    """
    context.obj = Session(
        archive=archive, config_file=config, json=as_json, debug=debug
    )


# ------------------------------------------------------------------------ manifests


@app.command()
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


@app.command()
@command
def schema(_: Session) -> None:
    """Print the JSON Schema of a manifest, for editors."""
    from pipeline.intake import manifest  # noqa: PLC0415 - start-up time

    terminal.say_json(manifest.schema())


@app.command()
@click.argument("manifest_file", metavar="MANIFEST")
@click.option("--only", multiple=True, metavar="ID", help="Only this source.")
@command
def plan(session: Session, manifest_file: str, only: tuple[str, ...]) -> None:
    """Show what a run would fetch and what each site will see; touch no network."""
    from pipeline import plan  # noqa: PLC0415 - start-up time
    from pipeline.intake import manifest  # noqa: PLC0415 - likewise

    config = session.config()
    read = manifest.read(Path(manifest_file), operator=config.operator)
    sources = plan.chosen(read, only)
    told = plan.preview(read, sources)
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
    for agent in plan.user_agents(read, sources):
        terminal.say(terminal.line(f"Each site will see: User-Agent: {agent}"))


@app.command()
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
    quiet: bool,
) -> Exit:
    """Visit every source, keep what came, and bag it."""
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
    order = job.Order(only=only, strict=strict, policy=policy, cacert=roots)
    progress = terminal.progress(quiet=quiet)
    try:
        outcomes = []
        for one in read:
            outcome = one_run(session, one, order, progress)
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
    session: Session, read: "Manifest", order: "Order", progress: terminal.Quiet
) -> "Outcome":
    """Run one manifest through a door of its own."""
    from pipeline import job  # noqa: PLC0415 - start-up time
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise
    from pipeline.config import own_folder  # noqa: PLC0415 - likewise

    with (
        closing(job.network_for(read, order, SystemClock())) as network,
        closing(session.store()) as store,
    ):
        return job.run(
            read,
            order=order,
            store=store,
            network=network,
            progress=progress,
            keys=own_folder(os.environ),
        )


# ------------------------------------------------------------------------- holdings

for one in (bags.verify, bags.export, bags.receive, custody.log):
    app.add_command(one)


@app.command(name="list")
@click.argument("job", required=False)
@command
def list_bags(session: Session, job: str | None) -> None:
    """List the captures that the archive holds, of one job or of all."""
    with closing(session.catalogue()) as catalogue:
        held = [one for one in catalogue.bags(job=job) if one.source]
        captures = {one.bag: one for one in catalogue.captures(job=job)}
    rows = [
        (
            stamp(one.at) if one.at else "",
            one.job,
            one.source,
            captures[one.bag.id].verdict,
            ", ".join(captures[one.bag.id].reasons),
            one.bag.path,
        )
        for one in held
        if one.bag.id in captures
    ]
    columns = ("captured_at", "job", "source", "verdict", "reasons", "path")
    if session.json:
        told = [dict(zip(columns, map(str, row), strict=True)) for row in rows]
        terminal.say_json({"captures": told})
    else:
        terminal.table(columns, rows)


@app.command()
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
        path = found.bags[-1].bag.path
        told = {"path": str(path), **story_of(path)}
    if session.json:
        terminal.say_json(told)
    else:
        terminal.story(told)


@app.group()
def catalogue() -> None:
    """Tend the index, which can always be made anew."""


@catalogue.command()
@command
def rebuild(session: Session) -> None:
    """Make the catalogue anew from the bags and the log."""
    session.holdings()
    with closing(session.store()) as store:
        problems = store.rebuild()
        count = len(store.catalogue.bags())
    if session.json:
        terminal.say_json({"bags": count, "problems": list(problems)})
        return
    for sentence in problems:
        terminal.say(terminal.line(sentence))
    terminal.say(f"the catalogue lists {terminal.counted(count, 'bag')}")


@app.command(name="bag")
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


# ------------------------------------------------------------------------ beginnings


@app.command()
@command
def demo(session: Session) -> Exit:
    """Run the whole story on a built-in site on loopback."""
    from pipeline import demo  # noqa: PLC0415 - start-up time

    progress = terminal.progress(quiet=session.json)
    try:
        told = demo.tell(
            session.config().archive.absolute() / "demo",
            show=lambda one: None if session.json else terminal.outcome(one.told),
            progress=progress,
        )
    finally:
        progress.close()
    if session.json:
        terminal.say_json(told.json())
    return Exit.OK if told.went_well else Exit.UNEXPECTED


@app.command()
@click.argument("folder", default=".", metavar="[DIR]")
@command
def init(session: Session, folder: str) -> None:
    """Write a commented muniment.toml and a manifest to fill in."""
    from pipeline.config import STARTER_MANIFEST, STARTER_TOML  # noqa: PLC0415
    from pipeline.fixity import create  # noqa: PLC0415 - start-up time

    place = Path(folder)
    made = {
        place / "muniment.toml": STARTER_TOML,
        place / "manifests" / "example.yaml": STARTER_MANIFEST,
    }
    for path in made:
        if path.exists():
            raise UsageError(f"{path} exists already; nothing was written")
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(create(path), "w", encoding="utf-8") as file:
            file.write(text)
    if session.json:
        terminal.say_json({"written": [str(path.absolute()) for path in made]})
        return
    for path in made:
        terminal.say(terminal.line(f"wrote {path}"))
    terminal.say("next: fill in the manifest, then `muniment check` and `muniment run`")


@app.command(name="config")
@click.option("--show-origin", is_flag=True, help="Say where each value comes from.")
@command
def show_config(session: Session, *, show_origin: bool) -> None:
    """Show the settings that hold."""
    from pipeline import config  # noqa: PLC0415 - start-up time

    rows = config.show(session.config())
    if session.json:
        keys = ("name", "value", "origin")
        told = [dict(zip(keys, row, strict=True)) for row in rows]
        terminal.say_json({"settings": told})
    elif show_origin:
        terminal.table(("setting", "value", "origin"), rows)
    else:
        terminal.table(("setting", "value"), [row[:2] for row in rows])


@app.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@command
def completion(_: Session, shell: str) -> None:
    """Print the tab completion of a shell; source it from its start-up file."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    found = get_completion_class(shell)
    assert found is not None, "click knows the shells offered"
    terminal.say(found(app, {}, "muniment", "_MUNIMENT_COMPLETE").source())


# ------------------------------------------------------------- what commands share


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


def pair(text: str) -> tuple[str, str]:
    """Read KEY=VALUE. Raises UsageError."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError(f"--info {text}: expected KEY=VALUE")
    return key, value


def gathered(arguments: Sequence[str]) -> list[str]:
    """Move the options that hold everywhere to the front, wherever they stand."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for word in waiting:
        name, sign, _ = word.partition("=")
        if word == "--":
            return [*front, *rest, word, *waiting]
        if name not in EVERYWHERE:
            rest.append(word)
            continue
        front.append(word)
        if EVERYWHERE[name] and not sign:
            front += [value for value in (next(waiting, None),) if value is not None]
    return front + rest


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    gc.set_threshold(50_000)  # values are frozen: there are few circles to look for
    status = _status(gathered(sys.argv[1:] if arguments is None else arguments))
    if status == Exit.INTERRUPTED:  # Ctrl-C twice: no waiting for what is under way
        os._exit(status)
    sys.exit(status)


def _status(words: list[str]) -> int:
    """Turn whatever a command ends with into an exit status and a sentence."""
    front = words[: words.index("--")] if "--" in words else words
    try:
        status = app.main(words, prog_name="muniment", standalone_mode=False)
        terminal.finish()
        return int(status or 0)
    except click.ClickException as error:
        complaint: PipelineError = UsageError(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        complaint = InterruptedRunError("interrupted")
    except PipelineError as error:
        complaint = error
    except OSError as error:
        complaint = StorageError.at(error.filename or "the file system", error)
    except Exception as error:  # noqa: BLE001 - the last boundary: a sentence
        complaint = PipelineError(
            f"{type(error).__name__}: {error}; this is a fault of Muniment, "
            f"--debug shows where"
        )
        complaint.__cause__ = error
    if "--debug" in front:
        traceback.print_exception(complaint)
    return _complain(complaint, as_json="--json" in front)


def _complain(error: PipelineError, *, as_json: bool) -> int:
    if as_json:
        told = {"code": error.code, "message": str(error), "exit": int(error.exit)}
        details = error.details()
        terminal.say_json({"error": told | details, **details})
        terminal.finish()
    else:
        terminal.remark(complaint(error))
        terminal.kept_before([path for _, path in error.bags])
    return int(error.exit)


def complaint(error: PipelineError) -> str:
    """Write an error for a person, on one line unless it was laid out in several."""
    if "problems" in error.details():
        return f"muniment: {error}"
    is_help = str(error).startswith("Usage:")  # no command was given
    return str(error) if is_help else terminal.line(f"muniment: {error}")


if __name__ == "__main__":
    main()
