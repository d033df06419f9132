"""One writer at a time: who holds the archive, and how the next one learns of it."""

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pipeline.clock import stamp
from pipeline.errors import LockedError, StorageError

LARGEST = 1 << 12  # bytes of the lock file that are read


class Lock:
    """A lock on a file; the kernel lets it go when the process ends, however it ends.

    The file tells for people who holds the lock; it is empty when nobody does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_held = False

    @contextmanager
    def held(self, holder: str, *, since: datetime) -> Iterator[None]:
        """Hold the lock; ``holder`` says for what.

        Raises LockedError, naming whoever has it, and StorageError.
        """
        assert not self.is_held, "the lock is held already"
        descriptor = self._opened()
        try:
            self._seize(descriptor, holder, since)
            self.is_held = True
            yield
        finally:
            if self.is_held:
                self.is_held = False
                with suppress(OSError):  # it only tells people who held the lock
                    os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def _opened(self) -> int:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(self._path, flags, 0o644)
        except OSError as error:
            raise StorageError.at(self._path, error) from error

    def _seize(self, descriptor: int, holder: str, since: datetime) -> None:
        told = {
            "command": holder,
            "host": platform.node(),
            "pid": os.getpid(),
            "started": stamp(since),
        }
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(told).encode(), 0)
        except BlockingIOError as error:
            raise LockedError(
                f"{self._path.parent.parent} is in use by {_holder(descriptor)}. Let "
                "it finish, then run this again"
            ) from error
        except OSError as error:
            raise StorageError.at(self._path, error) from error


def _holder(descriptor: int) -> str:
    """Tell who wrote the lock file; for a moment after locking it is still empty."""
    try:
        told = json.loads(os.pread(descriptor, LARGEST, 0))
        return (
            f"{told['command']!r} (process {told['pid']} on {told['host']}, "
            f"since {told['started']})"
        )
    except (ValueError, TypeError, KeyError):
        return "another process"
