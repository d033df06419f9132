"""What every command is told, and how one is made."""

import os
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from pipeline.errors import Exit, UsageError

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.holdings.catalogue import Catalogue
    from pipeline.holdings.store import Store


class Session(Struct, frozen=True, kw_only=True):
    """What every command is told."""

    archive: str | None
    config_file: str | None
    json: bool
    debug: bool

    def config(self) -> "Config":
        """Read the configuration. Raises UsageError."""
        from pipeline import config  # noqa: PLC0415 - start-up time

        if self.archive == "":
            raise UsageError("--archive: expected a folder, found nothing")
        flags = {"archive": self.archive} if self.archive else {}
        file = Path(self.config_file) if self.config_file else None
        return config.load(
            flags=flags, environ=os.environ, cwd=Path.cwd(), config_file=file
        )

    def store(self) -> "Store":
        """Open the archive, made where there is none. Raises StorageError."""
        from pipeline.clock import SystemClock  # noqa: PLC0415 - start-up time
        from pipeline.holdings.store import Store  # noqa: PLC0415 - likewise

        return Store.open(self.config().archive.absolute(), SystemClock())

    def holdings(self) -> Path:
        """Return the archive's folder. Raises UsageError where there is none."""
        root = self.config().archive.absolute()
        if not root.exists():
            raise UsageError(f"{root}: there is no archive; --archive names another")
        return root

    def catalogue(self) -> "Catalogue":
        """Open the archive's index to be read, and write nothing.

        Raises UsageError where there is no archive, DatabaseError where its index is
        to be built first.
        """
        from pipeline.holdings.store import Store  # noqa: PLC0415 - start-up time

        return Store.reading(self.holdings())


def command(
    function: Callable[..., Exit | None],
) -> Callable[..., int]:
    """Hand the session to a command, and its exit status to the caller."""

    @click.pass_obj
    def told(session: Session, /, **options: Any) -> int:
        return int(function(session, **options) or Exit.OK)

    return update_wrapper(told, function)


def existing(path: str) -> Path:
    """Return a path that is there. Raises UsageError."""
    found = Path(path)
    if not found.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    return found
