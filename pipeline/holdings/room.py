"""The room: where things stand in the archive folder, and moving them so that it lasts.

    <job>/<yyyy>/<bag>/          plain folders, readable by anyone and any tool
    .muniment/custody.jsonl      the custody log
    .muniment/catalogue.sqlite   the index, rebuildable
    .muniment/lock               who is at work
    .muniment/staging/           bags in the making
    .muniment/quarantine/        what could not be kept; nothing in it is ever deleted

Folders get the permissions that the umask gives; an archive of closed material is
closed at its root. What the file system refuses is a StorageError that names the path.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pipeline.disk import DISK, Disk, sync_folder
from pipeline.errors import StorageError, UsageError

OWN = ".muniment"
YEAR = re.compile(r"[0-9]{4}")
TAKEN = "a bag of this name is kept already; nothing was replaced"
REFUSALS = {
    errno.EEXIST: TAKEN,
    errno.ENOTEMPTY: TAKEN,
    errno.EXDEV: "it is on another file system than .muniment/staging, and a bag is "
    "put in place by one rename; keep the archive on one file system",
}


class Room:
    """The archive folder at ``root``, whether or not it is there yet."""

    def __init__(self, root: Path, disk: Disk = DISK) -> None:
        self.root = root
        self.own = root / OWN
        self.staging = self.own / "staging"
        self.quarantine = self.own / "quarantine"
        self._disk = disk

    def furnish(self) -> None:
        """Make the folders that are not there yet."""
        for folder in (self.root, self.staging, self.quarantine):
            self.make(folder)

    def make(self, folder: Path) -> None:
        """Make a folder and those above it, and make them last."""
        with told(folder):
            if os.path.lexists(folder) and not folder.is_dir():
                raise StorageError(
                    f"{folder}: expected a folder, found something else; move it out "
                    "of the way or name another archive"
                )
            missing = [one for one in (folder, *folder.parents) if not one.exists()]
            folder.mkdir(parents=True, exist_ok=True)
        for one in reversed(missing):
            sync_folder(one.parent, self._disk)

    def bags(self) -> Iterator[Path]:
        """Yield every bag in its place, in order of job, year and name.

        A folder with a ``.muniment`` of its own is another archive and is passed over.
        """
        for job in folders(self.root):
            if not (job / OWN).exists():
                for year in folders(job):
                    if YEAR.fullmatch(year.name):
                        yield from folders(year)

    def place(self, bag: str, job: str, started: datetime) -> Path:
        """Tell where a bag of a job belongs. Raises UsageError for a name unfit."""
        place = self.root / name_of(job) / f"{started:%Y}" / name_of(bag)
        for folder in (place.parent.parent, place.parent):
            if folder.is_symlink():
                raise UsageError(
                    f"{folder} is a link, and bags stand in plain folders, on one file "
                    "system; put the folder itself there"
                )
        if (self.root / job / OWN).exists():
            raise UsageError(
                f"{self.root / job} is an archive of its own and takes no bags of the "
                f"archive around it; give the manifest another id than {job}"
            )
        return place

    def move(self, old: Path, new: Path) -> None:
        """Rename to a name that is free, and make it last."""
        try:
            self._disk.rename(old, new)
        except OSError as error:
            reason = REFUSALS.get(error.errno or 0)
            if reason is None:
                raise StorageError.at(new, error) from error
            raise StorageError(f"{new}: {reason}") from error
        sync_folder(new.parent, self._disk)
        sync_folder(old.parent, self._disk)

    def set_aside(self, path: Path) -> str:
        """Move something to quarantine under a name that is free there."""
        new, number = self.quarantine / path.name, 1
        while os.path.lexists(new):
            number += 1
            new = self.quarantine / f"{path.name}~{number}"
        self.move(path, new)
        return self.relative(new)

    def relative(self, path: Path) -> str:
        """Tell a path from the archive down, with slashes."""
        return path.relative_to(self.root).as_posix()


def name_of(name: str) -> str:
    """Let a name through that can be a visible folder; UsageError for any other."""
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise UsageError(
            f"{name!r} cannot be a folder of the archive: a name is wanted that has no "
            "slash and begins with no dot"
        )
    return name


def folders(path: Path) -> tuple[Path, ...]:
    """List the folders in a folder that are no links and not hidden, sorted."""
    return tuple(
        one
        for one in entries(path)
        if one.is_dir() and not one.is_symlink() and not one.name.startswith(".")
    )


def entries(path: Path) -> tuple[Path, ...]:
    """List everything in a folder, sorted."""
    with told(path):
        return tuple(sorted(path.iterdir()))


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell what the file system refuses as a StorageError that names the path."""
    try:
        yield
    except OSError as error:
        raise StorageError.at(path, error) from error
