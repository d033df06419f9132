"""The acts that make bytes and names durable, as one value that is handed in.

A test hands in a disk that fails, or dies, at the act it chooses.

Files are synced one by one, then folders from the innermost out. One ``syncfs`` for a
bag is quicker on an idle machine (20 files of 200 kB: 6 ms, not 12), but it waits for
what everyone else has written (120 ms behind 200 MB, and captures are being written
while bags are packed), and before Linux 5.8 it tells of no error. ``sync_file_range``
sets all files going first, which halves the wait for the one-by-one way. A folder of
many files has one ``syncfs`` all the same: 10,000 files would wait 10,000 times.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import IO

from pipeline.errors import StorageError

AT_FDCWD = -100
RENAME_NOREPLACE = 1
SYNC_FILE_RANGE_WRITE = 2
MANY = 500  # files, from which one wait for everybody's data is the shorter one
ABSENT = frozenset({errno.ENOSYS, errno.EINVAL})  # older kernels, some file systems


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def regular(path: Path | str) -> IO[bytes]:
    """Open a file that a person named, to be read; anything else is refused at once.

    Nothing waits on a pipe, and no device is read. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "expected a regular file, found another kind")


def small_file(path: Path | str, most: int) -> bytes:
    """Read a file that a person named, of at most so many bytes. Raises OSError."""
    with regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"expected at most {most:,} bytes, found more")
    return data


class Disk:
    """The file system as it is. Every act raises OSError where it is refused."""

    def write(self, descriptor: int, data: bytes) -> int:
        """Write bytes once and tell how many were taken."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Return when what was written to a file or folder is on disk."""
        os.fsync(descriptor)

    def sync_all(self, descriptor: int) -> None:
        """Return when all of the file system that a folder is on is on disk."""
        syncfs = getattr(_libc(), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def start(self, descriptor: int) -> None:
        """Set a file going towards the disk, without waiting; a hint, no promise."""
        hint = getattr(_libc(), "sync_file_range", None)
        if hint is not None:
            whole = (ctypes.c_int64(0), ctypes.c_int64(0))
            hint(descriptor, *whole, SYNC_FILE_RANGE_WRITE)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or folder a new name that must be free."""
        rename = getattr(_libc(), "renameat2", None)
        if rename is not None:
            names = (AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new))
            if rename(*names, RENAME_NOREPLACE) == 0:
                return
            code = ctypes.get_errno()
            if code not in ABSENT:
                raise OSError(code, os.strerror(code), str(new))
        # Without renameat2 the lock of the archive keeps others from the free name.
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
        old.rename(new)


DISK = Disk()


def sync_folder(folder: Path, disk: Disk = DISK) -> None:
    """Make the names in a folder durable. Raises StorageError."""
    _each((folder,), disk.sync, os.O_DIRECTORY)  # an archive may stand behind a link


def sync_tree(folder: Path, disk: Disk = DISK) -> None:
    """Make everything in a folder durable: files, then folders from the innermost out.

    Links are not followed. Raises StorageError, naming what could not be synced.
    """
    try:
        entries = tuple(_walk(folder))
    except OSError as error:
        raise StorageError.at(folder, error) from error
    files = tuple(path for path, is_folder in entries if not is_folder)
    folders = tuple(path for path, is_folder in entries if is_folder)
    if len(files) > MANY:
        _each((folder,), disk.sync_all, os.O_DIRECTORY)
        return
    _each(files, disk.start, os.O_NOFOLLOW)
    _each(files, disk.sync, os.O_NOFOLLOW)
    _each((*reversed(folders), folder), disk.sync, os.O_NOFOLLOW)


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield regular files and folders, each folder before what it holds."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield path, True
            yield from _walk(path)
        elif entry.is_file(follow_symlinks=False):
            yield path, False


def _each(paths: tuple[Path, ...], act: Callable[[int], None], flag: int) -> None:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | flag | os.O_CLOEXEC)
            try:
                act(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(
                f"{path}: {error.strerror}; it is not sure to be on disk, so nothing "
                "is said to be kept. Mend it and run again"
            ) from error
