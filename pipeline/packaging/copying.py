"""A folder copied into a payload: every file hashed in the one read that copies it.

The folder is not touched and not trusted: what a bag cannot carry is refused before
anything is copied, and no link is followed.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from pipeline.errors import StorageError, UsageError
from pipeline.fixity import Digester
from pipeline.model import Artefact
from pipeline.packaging.names import show, twins, unportable
from pipeline.packaging.walk import (
    Entry,
    Kind,
    chunks,
    closed,
    folder_beneath,
    open_file,
    opened,
    walk,
)

Note = Callable[[str], None]
_TOLD = 5  # things that cannot be carried, named before the rest is counted


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises StorageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.at(path, error) from error


def copy_payload(
    source: Path, target: Path, algorithms: tuple[str, ...], note: Note
) -> list[Artefact]:
    """Copy everything in a folder into an empty one, and tell it as payload.

    ``note`` hears of empty folders and unportable names. Raises UsageError for what no
    bag can carry, StorageError for what the file system refuses.
    """
    try:
        with opened(source) as root, opened(target) as top:
            entries = list(walk(root))
            _require_carried(source, entries)
            _tell(entries, note)
            for one in entries:
                if one.kind is Kind.FOLDER:
                    make_folder(target / os.fsdecode(one.path))
            return list(_copies(root, top, entries, algorithms))
    except OSError as error:
        raise StorageError.at(source, error) from error


def copy_tree(source: Path, target: Path) -> None:
    """Copy everything in a folder into an empty one, as it is.

    Raises UsageError for what no bag can carry, StorageError for what the file system
    refuses.
    """
    copy_payload(source, target, (), _silent)


def _silent(_: str) -> None:
    pass


def _copies(
    root: int, target: int, entries: Iterable[Entry], algorithms: tuple[str, ...]
) -> Iterator[Artefact]:
    files = (one for one in entries if one.kind is Kind.FILE)
    for parent, inside in groupby(files, lambda one: one.path.rpartition(b"/")[0]):
        with folder_beneath(root, parent) as here, folder_beneath(target, parent) as to:
            for one in inside:
                yield _copy(here, to, one, algorithms)


def _copy(here: int, to: int, entry: Entry, algorithms: tuple[str, ...]) -> Artefact:
    """Copy one file and digest it in the same read; its date goes with it."""
    name = entry.path.rpartition(b"/")[2]
    digester = Digester(algorithms)
    size = 0
    with closed(open_file(here, name)) as old, closed(_create(to, name)) as new:
        for piece in chunks(old):
            digester.update(piece)
            _write(new, piece, entry)
            size += len(piece)
        status = os.fstat(old)
        if status.st_size != size:
            raise StorageError(f"{show(entry.path)} changed while it was copied; retry")
        os.utime(new, ns=(status.st_mtime_ns, status.st_mtime_ns))
    path = "data/" + os.fsdecode(entry.path)
    return Artefact(path=path, size=size, digests=digester.digests())


def _create(folder: int, name: bytes) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o644, dir_fd=folder)


def _write(descriptor: int, data: bytes, entry: Entry) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise StorageError.at(f"the copy of {show(entry.path)}", error) from error


def _require_carried(source: Path, entries: Sequence[Entry]) -> None:
    """Refuse, all at once, what a bag cannot carry."""
    odd = [f"{show(one.path)} ({why})" for one in entries if (why := _odd(one))]
    if odd:
        more = f" and {len(odd) - _TOLD} more" if len(odd) > _TOLD else ""
        raise UsageError(
            f"{source}: a bag carries files and folders with UTF-8 names; found"
            f" {', '.join(odd[:_TOLD])}{more}; take them out or put files there"
        )
    if pair := twins(b"data/" + one.path for one in entries):
        one, other = (show(name.removeprefix(b"data/")) for name in pair)
        raise UsageError(
            f"{source}: {one} and {other} differ in case or Unicode form alone and are"
            " one name on other systems; rename one"
        )


def _odd(entry: Entry) -> str:
    """Say why a bag cannot carry something, or nothing."""
    if entry.kind not in (Kind.FILE, Kind.FOLDER):
        return f"{entry.kind}: {entry.detail}" if entry.detail else str(entry.kind)
    try:
        entry.path.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    return ""


def _tell(entries: Sequence[Entry], note: Callable[[str], None]) -> None:
    for one in sorted(entries, key=lambda entry: entry.path):
        if one.is_empty:  # RFC 8493 2.1.3: manifests list files only
            note(f"{show(one.path)}: an empty folder; no manifest can vouch for it")
        if reason := unportable(b"data/" + one.path):
            note(f"{show(one.path)}: may not survive elsewhere: {reason}")
