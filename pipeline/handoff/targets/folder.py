"""A folder on another disk or mount.

What is sent stands in a hidden folder of its transfer until all of it is there and on
disk; then each bag is renamed into its place, if that is free.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.disk import DISK, Disk, sync_folder, sync_tree
from pipeline.errors import StorageError
from pipeline.handoff.consignment import Item, hashed, regular
from pipeline.handoff.target import AbsentError, DepositError, TakenError

ASIDE = ".muniment-"  # and the transfer
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Folder:
    """A folder that is there already: an absent mount is told, and not made up."""

    def __init__(self, root: Path, *, disk: Disk = DISK) -> None:
        self._root = root
        self._disk = disk

    @property
    def location(self) -> str:
        """Tell where it is."""
        return self._root.absolute().as_uri()

    def preflight(self) -> None:
        """Raise DepositError where nothing can be put."""
        if not self._root.is_dir():
            raise DepositError(
                f"{self._root}: expected a folder for deposits, found none; mount the"
                " disk, or make the folder"
            )
        if not os.access(self._root, os.W_OK | os.X_OK):
            raise DepositError(f"{self._root}: this user may not write there")

    def put(self, transfer: str, item: Item) -> str:
        """Write an item aside, behind what an earlier attempt wrote of it."""
        if os.path.lexists(self._root / item.path):
            self._require_same(item)
            return ""
        place = self._aside(transfer) / item.path
        try:
            if item.is_folder:
                place.mkdir(parents=True, exist_ok=True)
                return ""
            place.parent.mkdir(parents=True, exist_ok=True)
            self._append(place, item)
        except OSError as error:
            raise StorageError.at(place, error) from error
        return ""

    def read(self, path: str, *, transfer: str = "") -> Iterator[bytes]:
        """Yield what is kept, or stands aside."""
        places = [self._aside(transfer) / path] if transfer else []
        for place in (*places, self._root / path):
            try:
                descriptor = os.open(place, _READ)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise StorageError.at(place, error) from error
            if not path.endswith("/"):
                yield from regular(descriptor)
            else:
                os.close(descriptor)
            return
        raise AbsentError(f"{self._root / path}: it is not there any more")

    def publish(self, transfer: str, names: tuple[str, ...]) -> str:
        """Rename each bag to its name, once all is on disk."""
        aside = self._aside(transfer)
        waiting = [name for name in names if (aside / name).exists()]
        for name in waiting:
            if os.path.lexists(self._root / name):
                raise TakenError(f"{self._root / name} {TAKEN}")
        try:
            if waiting:
                sync_tree(aside, self._disk)
            for name in waiting:
                self._disk.rename(aside / name, self._root / name)
            sync_folder(self._root, self._disk)
            if aside.is_dir():
                shutil.rmtree(aside)
        except OSError as error:
            raise StorageError.at(aside, error) from error
        return ""

    def close(self) -> None:
        """Nothing is held open."""

    def _aside(self, transfer: str) -> Path:
        return self._root / f"{ASIDE}{transfer}"

    def _append(self, place: Path, item: Item) -> None:
        """Write what is missing of a file, if what is there is its beginning."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(place, flags, 0o644)
        try:
            start = _agreed(descriptor, item)
            os.ftruncate(descriptor, start)
            os.lseek(descriptor, start, os.SEEK_SET)
            for piece in item.read(start):
                view = memoryview(piece)
                while view:
                    view = view[self._disk.write(descriptor, view) :]  # type: ignore[arg-type]
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def _require_same(self, item: Item) -> None:
        place = self._root / item.path
        if item.is_folder and place.is_dir() and not any(place.iterdir()):
            return
        if place.is_file() and hashed(self.read(item.path)) == (item.size, item.digest):
            return
        raise TakenError(f"{place} {TAKEN}")


TAKEN = (
    "stands already with other bytes, and nothing is replaced there; look what it is,"
    " move it away, and retry"
)


def _agreed(descriptor: int, item: Item) -> int:
    """Tell how much of what is there is the beginning of an item."""
    there = os.fstat(descriptor).st_size
    if not 0 < there <= item.size:
        return 0
    at = 0
    for piece in item.read(0):
        wanted = piece[: there - at]
        if os.pread(descriptor, len(wanted), at) != wanted:
            return 0
        at += len(wanted)
        if at == there:
            break
    return at
