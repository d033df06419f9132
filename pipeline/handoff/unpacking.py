"""A parcel unpacked: beneath one folder, through no link, over nothing that is there.

Every byte is digested on its way, and the bag is judged by what came.
"""

import os
from contextlib import suppress
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.model import Level
from pipeline.packaging.members import Member, Pieces
from pipeline.packaging.names import show
from pipeline.packaging.parcel import Parcel
from pipeline.packaging.rules import Verdicts
from pipeline.packaging.validate import Report, check, concluded
from pipeline.packaging.walk import Kind, closed

MOST_FINDINGS = 10_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpacked(parcel: Parcel, folder: Path) -> Report:
    """Unpack a bag into an empty folder, and say what is wrong with it.

    Raises OSError for the folder, StorageError for what can't be written in it.
    """
    with closed(os.open(folder, _FOLDER)) as root:
        parcel.copy = _Unpacking(root, parcel).copy
        verdicts = Verdicts(limit=MOST_FINDINGS)
        report = Report(path=parcel.contents.file, level=Level.FULL)
        return concluded(check(parcel, report, verdicts), verdicts)


class _Unpacking:
    """Writes the members of a parcel beneath an open folder, each new, by no link."""

    def __init__(self, root: int, parcel: Parcel) -> None:
        self._root = root
        self._parcel = parcel

    def copy(self, one: Member) -> Pieces:
        """Write one member and yield its bytes. Raises StorageError."""
        path = self._parcel.inside(one.entry.path)
        try:
            if one.entry.kind is Kind.FOLDER:
                os.close(self._folder(path))
                return
            parent, _, name = path.rpartition(b"/")
            with closed(self._folder(parent)) as folder:
                new = os.open(name, _NEW, 0o644, dir_fd=folder)
        except OSError as error:
            raise StorageError.at(show(path), error) from error
        with closed(new):
            for piece in one.pieces():
                _write(new, piece, path)
                yield piece

    def _folder(self, path: bytes) -> int:
        """Open a folder beneath the root, made where it is not there yet."""
        here = os.dup(self._root)
        for part in path.split(b"/") if path else ():
            try:
                here, above = _below(here, part), here
                os.close(above)
            except OSError:
                os.close(here)
                raise
        return here


def _below(folder: int, part: bytes) -> int:
    with suppress(FileExistsError):  # by an earlier member, or what follows fails
        os.mkdir(part, 0o755, dir_fd=folder)
    return os.open(part, _FOLDER, dir_fd=folder)


def _write(descriptor: int, data: bytes, path: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise StorageError.at(show(path), error) from error
