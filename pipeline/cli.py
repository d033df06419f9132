"""The command line: its options, and what every end of a command comes to.

Options that hold for every command (--archive, --config, --json, --log-json,
--debug) may stand before or after it. The commands stand in ``commands``.
"""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from typing import NoReturn, TextIO, cast

import click

from pipeline import __version__, terminal
from pipeline.clock import SystemClock
from pipeline.commands import (
    bags,
    beginnings,
    custody,
    evidence,
    finding,
    handing,
    holdings,
    lists,
    manifests,
    running,
    schedules,
    upkeep,
)
from pipeline.commands.session import Session, command
from pipeline.errors import (
    Exit,
    InterruptedRunError,
    PipelineError,
    StorageError,
    UsageError,
)
from pipeline.interruption import treat_alike
from pipeline.loglines import Level, Log

EVERYWHERE = {"--archive": True, "--config": True, "--json": False, "--debug": False}
EVERYWHERE |= {"--log-json": False}


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
@click.option("--log-json", is_flag=True, help="Log JSON lines on standard error.")
@click.option("--debug", is_flag=True, help="Show a traceback of what goes wrong.")
@click.pass_context
def app(
    context: click.Context,
    /,
    *,
    archive: str | None,
    config: str | None,
    as_json: bool,
    debug: bool,
    **_: object,  # --log-json: it was read before
) -> None:
    """Keep the web sources that a document cites, as evidence that still stands.

    Start with `muniment demo`; then `muniment init` writes a manifest to fill in.
    """
    context.obj = Session(
        archive=archive, config_file=config, json=as_json, debug=debug
    )


COMMANDS = (
    manifests.check,
    manifests.schema,
    manifests.plan,
    running.run,
    lists.import_list,
    holdings.list_bags,
    finding.get,
    finding.history,
    finding.search,
    finding.diff,
    holdings.show,
    holdings.catalogue,
    holdings.doctor,
    bags.verify,
    bags.export,
    bags.receive,
    bags.make_bag,
    handing.deposit,
    handing.receipts,
    handing.attach,
    upkeep.audit,
    schedules.due,
    schedules.schedule,
    schedules.tend,
    evidence.seal,
    evidence.keys,
    custody.log,
    beginnings.demo,
    beginnings.init,
    beginnings.show_config,
)
for each in COMMANDS:
    app.add_command(each)


@app.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@command
def completion(_: Session, shell: str) -> None:
    """Print the tab completion of a shell; source it from its start-up file."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    found = get_completion_class(shell)
    assert found is not None, "click knows the shells offered"
    terminal.say(found(app, {}, "muniment", "_MUNIMENT_COMPLETE").source())


# --------------------------------------------------------------- beginning and end


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
    treat_alike()
    gc.set_threshold(50_000)  # values are frozen: there are few circles to look for
    status = _status(gathered(sys.argv[1:] if arguments is None else arguments))
    # Ctrl-C twice: no waiting for what is under way
    if arguments is None or status == Exit.INTERRUPTED:
        leave(status)
    sys.exit(status)


def leave(status: int) -> NoReturn:
    """End at once: what is kept is on disk, and to free memory takes a tenth second.

    Nothing of ours waits for the end of the process to be written or removed.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or never open
            stream.flush()
    os._exit(status)


def _status(words: list[str]) -> int:
    """Turn whatever a command ends with into an exit status and a sentence."""
    front = words[: words.index("--")] if "--" in words else words
    if "--log-json" not in front:
        return _carried_out(words, front)
    log = Log(sys.stderr, SystemClock().now)
    with redirect_stderr(cast("TextIO", log)):
        status = _carried_out(words, front)
        log.flush()
    return status


def _carried_out(words: list[str], front: list[str]) -> int:
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
        import traceback  # noqa: PLC0415 - start-up time

        traceback.print_exception(complaint)
        sys.stderr.flush()
    return _complain(complaint, as_json="--json" in front)


def _complain(error: PipelineError, *, as_json: bool) -> int:
    details = error.details()
    told: dict[str, object] = {
        "code": error.code,
        "message": str(error),
        "exit": int(error.exit),
    }
    told |= details
    if as_json:
        terminal.say_json({"error": told, **details})
        terminal.finish()
    if isinstance(sys.stderr, Log):
        sys.stderr.log(str(error), level=Level.ERROR, details=told)
    elif not as_json:
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
