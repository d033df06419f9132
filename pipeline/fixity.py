"""Digests, computed while the bytes stream past.

A ``Digester`` runs every algorithm over the same bytes in one pass; a ``Sink`` is a new
file that is digested as it is written, so that nothing is read again to be hashed.
hashlib frees the interpreter lock: on large pieces each algorithm has a thread.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

from pipeline.errors import StorageError
from pipeline.model import Artefact, Digest

ALGORITHMS = ("sha256", "sha512")
PIECE = 1 << 20  # bytes read or hashed at a time
HOLD = 1 << 19  # bytes gathered before they are written
WORTH_A_THREAD = 1 << 18  # below this, handing over costs more than it saves


class Hash(Protocol):
    """What hashlib's objects have in common."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next bytes of the stream."""


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="digest")


class Digester:
    """Several message digests over one stream of bytes.

    Raises ValueError for an algorithm that hashlib does not know.
    """

    def __init__(self, algorithms: Iterable[str] = ALGORITHMS) -> None:
        self._hashes = {name: hashlib.new(name) for name in algorithms}

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the stream."""
        hashes = list(self._hashes.values())
        if len(data) < WORTH_A_THREAD or len(hashes) < 2:  # noqa: PLR2004 - one, or none
            for one in hashes:
                one.update(data)
            return
        others = [_threads().submit(one.update, data) for one in hashes[1:]]
        hashes[0].update(data)
        for other in others:
            other.result()

    def digests(self) -> tuple[Digest, ...]:
        """Return the digests of everything taken so far."""
        return tuple(Digest(name, h.hexdigest()) for name, h in self._hashes.items())


@contextmanager
def alongside(one: Hash, data: bytes | memoryview) -> Iterator[None]:
    """Hash a large piece in a thread while the body of the ``with`` does other work."""
    hashing = _threads().submit(one.update, data)
    try:
        yield
    finally:
        hashing.result()


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    """Digest bytes that are already in hand."""
    return Digest(algorithm, hashlib.new(algorithm, data).hexdigest())


def create(path: Path) -> int:
    """Open a file that must not exist yet, through no link, and return its descriptor.

    Raises StorageError where the file system refuses.
    """
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o644)
    except OSError as error:
        raise StorageError.at(path, error) from error


class Sink:
    """A new file in a folder, digested as it is written, ending as an ``Artefact``.

    Parents are made. Raises StorageError for whatever the file system refuses.
    """

    def __init__(
        self,
        folder: Path,
        path: str,
        *,
        algorithms: Iterable[str] = ALGORITHMS,
        media_type: str = "application/octet-stream",
        derived_from: str = "",
    ) -> None:
        self._file = folder / path
        self._path = path
        self._media_type = media_type
        self._derived_from = derived_from
        self._digester = Digester(algorithms)
        self._held: list[bytes | memoryview] = []
        self._holds = 0
        self.size = 0
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError.at(self._file.parent, error) from error
        self._fd = create(self._file)

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes. They are written and digested in pieces of half a MiB."""
        self.size += len(data)
        self._held.append(data)
        self._holds += len(data)
        if self._holds >= HOLD:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Hand what was gathered to the file system, and digest it."""
        data = b"".join(self._held)
        self._held, self._holds = [], 0
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise StorageError.at(self._file, error) from error
        self._digester.update(data)

    def finish(self) -> Artefact:
        """Close the file and tell what it holds; ``store`` makes it durable."""
        self.close()
        return Artefact(
            path=self._path,
            size=self.size,
            digests=self._digester.digests(),
            media_type=self._media_type,
            derived_from=self._derived_from,
        )

    def close(self) -> None:
        """Write what was gathered and close the file; safe to call twice."""
        if self._fd < 0:
            return
        try:
            self.flush()
            found = os.fstat(self._fd).st_size
            if found != self.size:  # a disk that lies about its writes is told early
                raise StorageError(
                    f"{self._file}: {self.size} bytes were written and {found} are "
                    "there; what was being written is not published. Mend the disk"
                )
        finally:
            descriptor, self._fd = self._fd, -1
            os.close(descriptor)


def write_file(
    folder: Path,
    path: str,
    data: bytes,
    *,
    algorithms: Iterable[str] = ALGORITHMS,
    media_type: str = "application/octet-stream",
    derived_from: str = "",
) -> Artefact:
    """Write a whole new file at once and tell what it holds."""
    sink = Sink(
        folder,
        path,
        algorithms=algorithms,
        media_type=media_type,
        derived_from=derived_from,
    )
    try:
        sink.write(data)
        return sink.finish()
    finally:
        sink.close()
