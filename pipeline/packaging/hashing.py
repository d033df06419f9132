"""Digests of many files: one read for all algorithms, every core at work.

Large files are taken the largest first, one for each core; where there are fewer, each
algorithm has a thread of its own, as hashlib frees the interpreter lock. A small file
costs system calls, not hashing, so small ones run in one thread, folder by folder: two
threads only wait for one another (100,000 files of 2 kB: 1.6 s, not 1.9).
"""

import errno
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from enum import StrEnum
from functools import cache
from itertools import chain, cycle
from mmap import mmap
from threading import Lock
from typing import Any, NamedTuple, Self

from pipeline.fixity import Hash
from pipeline.packaging.walk import (
    Irregular,
    chunks,
    file_beneath,
    folder_beneath,
    open_file,
    reason,
)

LARGE = 1 << 20  # bytes from which a file is worth threads
_PIECE = 1 << 21  # bytes read and hashed at a time; smaller hand over too often
_SMALLEST_PIECE = 1 << 17
_PIECES = 64  # of a file, at the least
_BUFFERS = 4  # pieces of a file in memory
CORES = len(os.sched_getaffinity(0))


class Failure(StrEnum):
    """Why a file has no digests."""

    NONE = ""
    GONE = "gone"
    IRREGULAR = "irregular"
    UNREADABLE = "unreadable"


class Job(NamedTuple):
    """A file to digest, by which of hashlib's algorithms; ``row`` is the caller's."""

    row: int
    path: bytes
    size: int
    hashes: tuple[str, ...]


class Outcome(NamedTuple):
    """The digests of a file, in the order asked for, or why there are none."""

    row: int
    size: int = 0
    digests: tuple[bytes, ...] = ()
    failure: Failure = Failure.NONE
    reason: str = ""


class _Crowd:
    """How many large files are being digested at this moment."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1

    @property
    def is_full(self) -> bool:
        """Tell whether every core has a file of its own."""
        return self._inside >= CORES


def digest_files(
    root: int, large: Iterable[Job], small: Iterable[Outcome]
) -> Iterator[Outcome]:
    """Digest large files beneath an open folder, while small ones come as they are had.

    Yields outcomes in no certain order. Nothing is raised for a file: a failure is an
    outcome.
    """
    jobs = sorted(large, key=lambda job: -job.size)
    if not jobs:
        yield from small
        return
    crowd = _Crowd()
    with ThreadPoolExecutor(min(CORES, len(jobs)), "file") as files:
        futures = [files.submit(_large, root, job, crowd) for job in jobs]
        yield from small
        yield from (future.result() for future in as_completed(futures))


def small_files(root: int, jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Digest small files one by one, keeping the folder open from one to the next.

    Those of one folder should stand together.
    """
    here: bytes | None = None
    folder = -1
    with ExitStack() as opened:
        for job in jobs:
            parent, _, name = job.path.rpartition(b"/")
            try:
                if parent != here:
                    opened.close()
                    here = None
                    folder = opened.enter_context(folder_beneath(root, parent))
                    here = parent
                yield _small_one(folder, name, job)
            except OSError as error:
                yield _failed(job, error)


@cache
def _makers(hashes: tuple[str, ...]) -> tuple[Callable[[bytes], Any], ...]:
    return tuple(getattr(hashlib, one) for one in hashes)


def _small_one(folder: int, name: bytes, job: Job) -> Outcome:
    descriptor = open_file(folder, name)
    try:
        data = os.read(descriptor, job.size + 1)  # a buffer no larger than it needs
        if len(data) <= job.size:
            digests = tuple([make(data).digest() for make in _makers(job.hashes)])
            return Outcome(job.row, len(data), digests)
        return _streamed(job, chain((data,), chunks(descriptor)))  # it grew meanwhile
    finally:
        os.close(descriptor)


def _streamed(job: Job, pieces: Iterable[bytes]) -> Outcome:
    hashes = [hashlib.new(one) for one in job.hashes]
    size = 0
    for piece in pieces:
        size += len(piece)
        for one in hashes:
            one.update(piece)
    return Outcome(job.row, size, tuple(one.digest() for one in hashes))


def _large(root: int, job: Job, crowd: _Crowd) -> Outcome:
    hashes = [hashlib.new(one) for one in job.hashes]
    try:
        with crowd, file_beneath(root, job.path) as descriptor, _Lanes(hashes) as lanes:
            size = 0
            for piece in _pieces(descriptor, job.size):
                lanes.update(piece, apart=not crowd.is_full)
                size += len(piece)
    except OSError as error:
        return _failed(job, error)
    return Outcome(job.row, size, tuple(one.digest() for one in hashes))


class _Lanes:
    """Several digests of one stream, in threads of their own where there is room.

    Each thread has the next pieces waiting, so that the slowest never pauses.
    """

    def __init__(self, hashes: Sequence[Hash]) -> None:
        self._hashes = hashes
        self._threads = [ThreadPoolExecutor(1, "hash") for _ in hashes]
        self._waiting: deque[list[Future[None]]] = deque()

    def update(self, piece: memoryview, *, apart: bool) -> None:
        """Take the next piece; all but the last few before it are done with then."""
        if apart:
            pairs = zip(self._threads, self._hashes, strict=True)
            self._waiting.append([one.submit(h.update, piece) for one, h in pairs])
            self._wait(_BUFFERS - 1)
        else:
            self._wait(0)
            for one in self._hashes:
                one.update(piece)

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            for future in self._waiting.popleft():
                future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(0)
        for one in self._threads:
            one.shutdown()


def _pieces(descriptor: int, size: int) -> Iterator[memoryview]:
    """Yield the pieces of a file, in a few buffers by turns; small ones if it is small.

    The buffers are whole pages: the kernel copies four times slower to odd addresses.
    """
    piece = max(_SMALLEST_PIECE, min(size // _PIECES, _PIECE))
    for buffer in cycle([memoryview(mmap(-1, piece)) for _ in range(_BUFFERS)]):
        filled = os.readv(descriptor, [buffer])
        if not filled:
            return
        yield buffer[:filled]


def _failed(job: Job, error: OSError) -> Outcome:
    """Say why a file has no digests, by what stands in its place."""
    if isinstance(error, Irregular) or error.errno in (errno.ELOOP, errno.ENXIO):
        failure = Failure.IRREGULAR  # ELOOP: O_NOFOLLOW met a link; ENXIO: a socket
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        failure = Failure.GONE
    else:
        failure = Failure.UNREADABLE
    return Outcome(job.row, failure=failure, reason=reason(error))
