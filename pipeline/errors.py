"""What can go wrong, and the exit status of each.

A ``PipelineError`` stops a command. Its message names the object, what was expected,
what was found and what to do. A 404 or a damaged bag is no error but a result.
"""

from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """The exit statuses of the command line, a contract with scripts."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    STORAGE = 3
    MANIFEST = 4
    FIXITY = 5
    NOT_CAPTURED = 6
    QUOTE_MISSING = 7
    RETRY = 9
    INTERRUPTED = 11
    DEPOSIT = 22


PRECEDENCE = (
    Exit.STORAGE,
    Exit.FIXITY,
    Exit.DEPOSIT,
    Exit.QUOTE_MISSING,
    Exit.NOT_CAPTURED,
    Exit.RETRY,
)


def first_exit(exits: Iterable[Exit]) -> Exit:
    """Choose the one status a command ends with when several apply."""
    found = set(exits)
    return next((code for code in PRECEDENCE if code in found), Exit.OK)


class PipelineError(Exception):
    """An end to what was asked, told in words a person can act on.

    ``bags`` has the ids and paths of those that the command had kept by then.
    """

    code = "unexpected"
    exit = Exit.UNEXPECTED
    bags: tuple[tuple[str, str], ...] = ()

    def details(self) -> dict[str, object]:
        """Return what a program may want to know beyond code, message and exit."""
        if not self.bags:
            return {}
        return {"bags": [{"id": name, "path": path} for name, path in self.bags]}


class UsageError(PipelineError):
    """The command or configuration makes no sense, or a path is absent."""

    code = "usage"
    exit = Exit.USAGE


class MissingExtraError(UsageError):
    """A feature needs an optional part that is not installed; the message says how."""

    code = "missing-extra"


class KeyFileError(UsageError):
    """The file with the signing key is not one that can be signed with."""

    code = "seal-key"


class StorageError(PipelineError):
    """The file system would not: no space, no permission, an I/O error."""

    code = "storage"
    exit = Exit.STORAGE

    @classmethod
    def at(cls, path: object, error: OSError) -> "StorageError":
        """Tell an operating system error with the path it struck."""
        reason = error.strerror or type(error).__name__
        return cls(
            f"{path}: {reason}; what was being written is not published, "
            f"what was kept before is safe; mend it and retry"
        )


class FixityError(PipelineError):
    """A bag, a seal or a log is not what it was."""

    code = "fixity"
    exit = Exit.FIXITY


class LockedError(PipelineError):
    """Another run holds the archive."""

    code = "locked"
    exit = Exit.RETRY


class InterruptedRunError(PipelineError):
    """A person stopped the run; what was kept is kept."""

    code = "interrupted"
    exit = Exit.INTERRUPTED
