"""Where to begin: the demo, a first manifest, the settings that hold."""

import os
from pathlib import Path
from typing import Any

import click

from pipeline import terminal
from pipeline.commands.session import Session, command
from pipeline.errors import Exit, UsageError


@click.command()
@command
def demo(session: Session) -> Exit:
    """Run the whole story on a built-in site on loopback."""
    from pipeline import demo  # noqa: PLC0415 - start-up time
    from pipeline.progress import progress_of  # noqa: PLC0415 - likewise

    progress = progress_of(quiet=session.json)

    def told_of(outcome: dict[str, Any]) -> None:
        progress.ended(outcome)
        if not session.json:
            terminal.outcome(outcome)

    try:
        told = demo.tell(
            session.config().archive.absolute() / "demo",
            show=lambda one: told_of(one.told),
            progress=progress,
        )
    finally:
        progress.close()
    if session.json:
        terminal.say_json(told.json())
    return Exit.OK if told.went_well else Exit.UNEXPECTED


@click.command()
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


@click.command(name="config")
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
