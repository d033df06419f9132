"""A sheet: one HTML file that needs nothing beside it, written whole or not at all.

No script, no font, no picture, no request: its policy allows a sheet's own style alone,
by its digest. Whatever comes from a bag is a stranger's, and is written with ``text``.
"""

import hashlib
import os
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from html import escape
from pathlib import Path

from pipeline.disk import DISK, sync_folder
from pipeline.errors import StorageError, UsageError
from pipeline.fixity import create

TAKEN = "{} exists already; nothing was written"


def policy(style: str) -> str:
    """Write the Content-Security-Policy of a sheet with this style."""
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def text(value: object) -> str:
    """Write what a stranger may have written, for HTML and on one line."""
    shown = "".join(c if c.isprintable() else _spelt(c) for c in str(value))
    return escape(shown)


def _spelt(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def put(path: Path, pieces: Iterable[str]) -> None:
    """Write pieces as one file, to a name that is free.

    Raises UsageError where something stands there, StorageError where it can't be
    written.
    """
    require_free(path)
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    file = create(part)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        DISK.rename(part, path)
        sync_folder(path.absolute().parent)
    except FileExistsError as error:  # it came meanwhile
        raise UsageError(TAKEN.format(path)) from error
    except OSError as error:
        raise StorageError.at(path, error) from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def require_free(path: Path) -> None:
    """Refuse to write where something stands already. Raises UsageError."""
    if os.path.lexists(path):
        raise UsageError(TAKEN.format(path))
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path.parent} is no folder; make it, then try again")
