"""A folder of a stranger's, looked at without trusting it.

Everything is opened beneath one directory descriptor, part by part, through no link,
and only regular files are ever opened for their bytes: a walk cannot be led out of its
folder, nor made to wait on a fifo or a device.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

DEEPEST = 500  # folders within folders; more is taken for an attack, and said
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BENEATH = _FOLDER | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Kind(StrEnum):
    """What stands at a name."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "symbolic link"
    FIFO = "fifo"
    SOCKET = "socket"
    BLOCK = "block device"
    CHARACTER = "character device"
    OTHER = "unknown kind of file"
    UNREADABLE = "unreadable"
    TOO_DEEP = "too deep"


_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.FOLDER,
    stat.S_IFLNK: Kind.LINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFCHR: Kind.CHARACTER,
}


_PIECE = 1 << 20  # bytes read at a time


class Entry(NamedTuple):  # made by the million: a dataclass takes four times as long
    """One name in a folder: its path from the top, with slashes, and what it is."""

    path: bytes
    kind: Kind
    size: int = 0
    links: int = 1
    inode: tuple[int, int] = (0, 0)
    detail: str = ""  # why a folder could not be read; where a link points
    is_empty: bool = False  # of a folder


class Irregular(OSError):  # noqa: N818 - an OSError by another name
    """What was opened is no regular file."""


def reason(error: OSError) -> str:
    """Say in words why something could not be opened."""
    if isinstance(error, Irregular) or error.errno == errno.ELOOP:  # O_NOFOLLOW
        return "something other than a file stands there"
    return error.strerror or type(error).__name__


@contextmanager
def closed(descriptor: int) -> Iterator[int]:
    """Yield an open descriptor and close it in the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened(folder: Path | bytes) -> Iterator[int]:
    """Open the top folder and yield its descriptor. Raises OSError."""
    descriptor = os.open(folder, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def folder_beneath(root: int, path: bytes) -> Iterator[int]:
    """Open a folder beneath another, through no link. Raises OSError."""
    descriptor = os.dup(root)
    try:
        for part in path.split(b"/") if path else ():
            below = os.open(part, _BENEATH, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(folder: int, name: bytes) -> int:
    """Open a regular file in a folder, through no link and without waiting.

    Raises OSError, and Irregular where something else stands there.
    """
    descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Irregular(f"{os.fsdecode(name)} is no regular file")
    return descriptor


@contextmanager
def file_beneath(root: int, path: bytes) -> Iterator[int]:
    """Open a regular file beneath a folder, through no link. Raises OSError."""
    parent, _, name = path.rpartition(b"/")
    with folder_beneath(root, parent) as folder:
        descriptor = open_file(folder, name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def names(folder: int) -> list[str]:
    """List the names in an open folder, sorted. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def chunks(descriptor: int, *, most: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of an open file, at most so many. Raises OSError."""
    left = sys.maxsize if most is None else most
    size = min(_PIECE, os.fstat(descriptor).st_size + 1)  # small files, small buffers
    while left > 0 and (piece := os.read(descriptor, min(size, left))):
        left -= len(piece)
        yield piece


def walk(root: int) -> Iterator[Entry]:
    """Yield everything beneath a folder, a folder after what it holds, unsorted."""
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        if path.count(b"/") >= DEEPEST:
            yield Entry(path, Kind.TOO_DEEP)
            continue
        try:
            with folder_beneath(root, path) as folder:
                yield from _listed(folder, path, waiting)
        except OSError as error:
            yield Entry(path, Kind.UNREADABLE, detail=error.strerror or "no reason")


def _listed(folder: int, path: bytes, waiting: list[bytes]) -> Iterator[Entry]:
    prefix = path + b"/" if path else b""
    is_empty = True
    with os.scandir(folder) as names:
        for name in names:
            is_empty = False
            entry = _entry(name, prefix, folder)
            if entry is None:
                continue
            if entry.kind is Kind.FOLDER:
                waiting.append(entry.path)
            else:
                yield entry
    if path:
        yield Entry(path, Kind.FOLDER, is_empty=is_empty)


def _entry(name: "os.DirEntry[str]", prefix: bytes, folder: int) -> Entry | None:
    try:
        status = name.stat(follow_symlinks=False)
    except FileNotFoundError:  # gone since it was listed
        return None
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), Kind.OTHER)
    base = os.fsencode(name.name)
    detail = ""
    if kind is Kind.LINK:
        detail = os.fsdecode(os.readlink(base, dir_fd=folder))
    return Entry(
        prefix + base,
        kind,
        status.st_size,
        status.st_nlink,
        (status.st_dev, status.st_ino),
        detail,
    )
