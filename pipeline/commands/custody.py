"""The custody log: checked, signed, and what it proves."""

import os
from contextlib import closing
from pathlib import Path

import click

from pipeline import terminal
from pipeline.commands.session import Session, command
from pipeline.errors import Exit, PipelineError


@click.group()
def log() -> None:
    """Check the custody log, sign it, and prove what it holds."""


@log.command(name="verify")
@click.option(
    "--since",
    multiple=True,
    metavar="FILE",
    help="A checkpoint kept elsewhere: exposes a log that was rolled back.",
)
@command
def verify_log(session: Session, since: tuple[str, ...]) -> Exit:
    """Say what is wrong with the log, beside its checkpoints and its bags."""
    from pipeline.holdings import ledger  # noqa: PLC0415 - start-up time

    told = ledger.examine(session.holdings(), since=[Path(one) for one in since])
    if session.json:
        terminal.say_json(ledger.examined_json(told))
    else:
        terminal.examined(told)
    return Exit.OK if told.ok else Exit.FIXITY


@log.command(name="checkpoint")
@click.option("--out", metavar="FILE", help="Write it to this new file as well.")
@command
def checkpoint_log(session: Session, out: str | None) -> None:
    """Sign the log as it stands: a few lines to be kept elsewhere."""
    from pipeline.config import own_folder  # noqa: PLC0415 - start-up time
    from pipeline.fixity import write_file  # noqa: PLC0415 - likewise
    from pipeline.holdings import proof  # noqa: PLC0415 - likewise
    from pipeline.holdings.checkpoints import Checkpoints  # noqa: PLC0415 - likewise

    root = session.holdings()
    with closing(session.store()) as store, store.lock("log checkpoint"):
        made = store.checkpoint(own_folder(os.environ))
    if out:
        write_file(Path(out).parent, Path(out).name, bytes(made.note))
    if session.json:
        terminal.say_json(proof.checkpoint_json(made, Checkpoints(root)))
        return
    terminal.say(bytes(made.note).decode().removesuffix("\n"))
    terminal.remark(f"kept as {made.path}. It exposes a later change of the log to")
    terminal.remark("whoever has it from elsewhere: send it to somebody, or print it.")
    terminal.remark("It is signed by the log's own key, a machine's and no person's:")
    for verifier in Checkpoints(root).verifiers():
        terminal.remark(f"    {verifier}")


@log.command()
@click.argument("bag", metavar="BAG|SOURCE|RUN")
@command
def prove(session: Session, bag: str) -> None:
    """Prove, as JSON, that the lines about a bag are under the newest checkpoint.

    BAG is a folder, or a name that `show` knows: of a source its last bag, of a run
    the run's own.
    """
    from pipeline.holdings import proof  # noqa: PLC0415 - start-up time

    terminal.say_json(proof.inclusion(session.holdings(), bag_named(session, bag)))


def bag_named(session: Session, name: str) -> str:
    """Tell which bag a folder or a name means; one that is gone by its own name."""
    if Path(name).is_dir():
        return Path(name).absolute().name
    try:
        with closing(session.catalogue()) as catalogue:
            known = catalogue.find(name)
            return known.id if known.sort == "run" else known.bags[-1].bag.id
    except PipelineError:
        return Path(name).name


@log.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@command
def consistency(session: Session, old: str, new: str) -> Exit:
    """Prove, as JSON, that the log only grew from OLD to NEW: files or sizes."""
    from pipeline.holdings import proof  # noqa: PLC0415 - start-up time

    told = proof.consistency(session.holdings(), old, new)
    terminal.say_json(told)
    return Exit.OK if told["ok"] else Exit.FIXITY
